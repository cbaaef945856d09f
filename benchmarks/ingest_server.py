"""``watchkeeper`` as it is, with two levers: SIGUSR1 forces a checkpoint, ``facts_only`` leaves what follows the facts.

``facts_only`` shows what a row costs up to its committed facts: no rollups, no profiles, no matching.
"""

from __future__ import annotations

import signal
import sys
import threading

from watchkeeper.app import cli
from watchkeeper.store.facts import load
from watchkeeper.store.facts.connection import FactStore

stores: list[FactStore] = []
opened = FactStore.__init__


def remember(self: FactStore, *arguments, **named) -> None:
    opened(self, *arguments, **named)
    stores.append(self)


def checkpoint(*_: object) -> None:
    threading.Thread(target=stores[0].checkpoint).start()


def nothing(*_: object) -> int:
    return 0


if sys.argv.pop(1) == "facts_only":
    segments = load.rollups.segment_rows
    load.add_moments = load.add_bins = load.rollups.add = load.outcomes.retry_pending = nothing
    load.rollups.segment_rows = lambda rows, *_: segments(rows, {}, load.rollups.SegmentValues())
FactStore.__init__ = remember
signal.signal(signal.SIGUSR1, checkpoint)
cli.main()

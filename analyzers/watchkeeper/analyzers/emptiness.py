"""Stretches in which nothing is: whoever catches up jumps over them, or one very old event costs a core for hours.

It is jumped only where no evaluation could say anything: every analyzer was asked and had neither finding nor reading,
no finding is open, and for sixty days there was no event, outcome, sample, count, reading or look at the books of
clients, which is further back than any of them looks. Then nothing changes until there is something again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

REACH = timedelta(days=60)


class EmptyStretch:
    """Notes who was silent when last asked, and finds where there is something again."""

    def __init__(self, names: Iterable[str], facts: FactReader) -> None:
        self._silent = dict.fromkeys(names, False)
        self._facts = facts
        self._next_look: datetime | None = None

    def note(self, due: Iterable[str], *, silent: bool) -> None:
        """Note whether those that were asked had nothing to say, with nothing open."""
        self._silent.update(dict.fromkeys(due, silent))

    def until(self, at: datetime, latest: datetime) -> datetime | None:
        """Give the moment up to which nothing is, at most the latest; None where it is not sure or not worth it."""
        if at >= latest or not all(self._silent.values()) or (self._next_look is not None and at < self._next_look):
            return None
        before, after = self._facts.moments_around(at)
        if before is not None and at - before < REACH:
            self._next_look = before + REACH
            return None
        return latest if after is None else min(after, latest)

"""May predictions of a window carry an optional field? Asked once for all who need one, and once a week of a replay.

The read reaches to the borders of calendar weeks, past the window's end too: so a yes may be too early, and whoever
reads the field then finds nothing; a no is sure.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from watchkeeper.analyzers.evaluation import Scope
from watchkeeper.analyzers.memo import once
from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts.carried import carried

WEEK = timedelta(days=7)
_EPOCH = datetime.fromtimestamp(0, UTC)


def may_carry(scope: Scope, field: str, window: Window | None = None) -> bool:
    """Say whether any prediction of the window (the evaluated one unless another is given) may have it."""
    asked = window or scope.window
    start = asked.start - (asked.start - _EPOCH) % WEEK
    read = Window(start, asked.end + (_EPOCH - asked.end) % WEEK)
    key = ("optional fields", scope.pair, read)
    return field in once(scope.facts, key, lambda: carried(scope.facts.store(), scope.pair, read))

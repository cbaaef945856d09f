"""What time it is, passed in: the wall's for a live server, the events' own for a replay of history."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def wall() -> datetime:
    """Give the time now, in UTC."""
    return datetime.now(UTC)


class EventClock:
    """Time stands at the newest event that was loaded, so that a replayed year passes in a minute.

    Misleads while one service runs ahead of the others: what they still send counts as late.

    >>> clock = EventClock()
    >>> clock.advance(datetime(2026, 1, 2, tzinfo=UTC)); clock.advance(datetime(2026, 1, 1, tzinfo=UTC))
    >>> clock().isoformat()
    '2026-01-02T00:00:00+00:00'
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = datetime.fromtimestamp(0, UTC)

    def __call__(self) -> datetime:
        """Give the time of the newest event."""
        return self._now

    def advance(self, to: datetime) -> None:
        """Move forward; never back, and never past the wall."""
        with self._lock:
            self._now = max(self._now, min(to, wall()))


def utc(naive: datetime) -> datetime:
    """Mark a stored (naive UTC) time as UTC."""
    return naive.replace(tzinfo=UTC)


def stored(aware: datetime) -> datetime:
    """Give the naive UTC form in which times are stored."""
    return aware.astimezone(UTC).replace(tzinfo=None)

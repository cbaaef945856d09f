"""Where lines wait when no disk takes them: bounded by count and by bytes, and gone with the process."""

from __future__ import annotations

import threading
from collections import deque


class MemoryQueue:
    """First in, first out; what finds no room is not taken, and the caller is told why."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        # Re-entrant: a signal handler may log while its own thread is inside ``put``.
        self._lock = threading.RLock()
        self._lines: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._max_events = max_events
        self._max_bytes = max_bytes

    def put(self, number: int, line: bytes) -> str | None:
        """Append one line; or give the reason why there is no room for it."""
        with self._lock:
            if len(self._lines) >= self._max_events:
                return "queue_full"
            if self._bytes + len(line) > self._max_bytes:
                return "queue_bytes"
            self._bytes += len(line)
            self._lines.append((number, line))
            return None

    def take(self, count: int, size: int) -> list[tuple[int, bytes]]:
        """Hand over and forget the oldest lines: at most ``count`` and ``size`` bytes, but at least one."""
        taken: list[tuple[int, bytes]] = []
        held = 0
        with self._lock:
            while self._lines and len(taken) < count and (not taken or held + len(self._lines[0][1]) <= size):
                taken.append(self._lines.popleft())
                held += len(taken[-1][1])
            self._bytes -= held
        return taken

    def first(self) -> int:
        """The number of the oldest line; 0 where there is none."""
        with self._lock:
            return self._lines[0][0] if self._lines else 0

    def __len__(self) -> int:
        return len(self._lines)

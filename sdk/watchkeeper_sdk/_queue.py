"""Where events wait between the host's call and the sender: bounded by count and by bytes."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Event: TypeAlias = tuple[str, Mapping[str, object], int]
    """Kind, fields, and the estimate of their size: a bare tuple, it is made in the host's call."""

NO_ROOM = 0
NO_BYTES = -1
_NESTED = frozenset({dict, list, tuple})


class MemoryQueue:
    """First in, first out, in memory: what it holds dies with the process.

    The rest knows only ``put``, ``take`` and ``len``; neither call ever waits for the other side.
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        # Re-entrant: a signal handler may log while its own thread is inside ``put``.
        self._lock = threading.RLock()
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._max_events = max_events
        self._max_bytes = max_bytes

    def put(self, event: Event) -> int:
        """Append and tell the new length; or ``NO_ROOM`` or ``NO_BYTES``, and nothing is taken."""
        with self._lock:
            events = self._events
            if len(events) >= self._max_events:
                return NO_ROOM
            held = self._bytes + event[2]
            if held > self._max_bytes:
                return NO_BYTES
            self._bytes = held
            events.append(event)
            return len(events)

    def take(self, count: int) -> list[Event]:
        """Hand over and forget the oldest ``count`` events, fewer when there are fewer."""
        with self._lock:
            pop = self._events.popleft
            taken = [pop() for _ in range(min(count, len(self._events)))]
            self._bytes -= sum(size for _, _, size in taken)
            return taken

    def __len__(self) -> int:
        return len(self._events)


def estimate(fields: Mapping[str, object]) -> int:
    """About how many bytes of memory does this event hold? Cheap, as it runs in the host's call.

    Text counts by its length, any other value a fixed sum, and one level of nesting is looked into.
    It misleads for text deeper down and for large objects of other types.

    >>> estimate({"features": {"note": "x" * 1000}}) - estimate({"features": {"note": ""}})
    1000
    """
    size = 400 + 60 * len(fields)
    for value in fields.values():
        if type(value) is str:
            size += len(value)
        elif type(value) in _NESTED:
            nested = cast("dict[str, object]", value)
            parts = nested.values() if type(value) is dict else nested
            size += 60 * len(parts)
            for part in parts:
                if type(part) is str:
                    size += len(part)
    return size

"""How much one key may send in a minute: two token buckets in memory, which start full with each start."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.types import Message, Receive


class Bucket:
    """A minute's worth that fills steadily; what is spent beyond it is paid back before more is let through.

    >>> now = [0.0]
    >>> bucket = Bucket(60, lambda: now[0])
    >>> bucket.spend(61); bucket.wait()
    2.0
    >>> now[0] = 2.0; bucket.wait()
    0.0
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / 60
        self._most = self._left = float(per_minute)
        self._clock = clock
        self._at = clock()

    def wait(self) -> float:
        """Give the seconds until something may pass: 0.0 where at least one is left."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        return 0.0 if self._left >= 1 else (1 - self._left) / self._per_second

    def spend(self, amount: int) -> None:
        """Take some out, even more than is left: the size of a body is known only when it has come."""
        self._left -= amount


class Quota:
    """The buckets of one key."""

    def __init__(self, requests: int | None, size: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = (requests, size)
        self._requests = Bucket(requests, clock) if requests is not None else None
        self._bytes = Bucket(size, clock) if size is not None else None

    def admit(self) -> tuple[float, str]:
        """Let one request in: 0.0, or the seconds to wait and what was used up."""
        for bucket, limit, what in zip((self._requests, self._bytes), self.limits, ("requests", "bytes"), strict=True):
            if bucket is not None and (wait := bucket.wait()) > 0:
                return wait, f"{limit} {what} a minute"
        if self._requests is not None:
            self._requests.spend(1)
        return 0.0, ""

    def counted(self, receive: Receive) -> Receive:
        """Count the bytes of a body as they come."""
        bucket = self._bytes
        if bucket is None:
            return receive

        async def counting() -> Message:
            message = await receive()
            bucket.spend(len(message.get("body", b"")))
            return message

        return counting

"""A wall clock that runs fast, for real processes: ``python fast_clock.py serve`` is ``watchkeeper serve``.

Only what is asked for the time of day runs fast; what waits (sockets, threads, timers) is as ever. All processes that
are given the same settings agree on the time.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime

ORIGIN, FACTOR = "FAST_CLOCK_ORIGIN", "FAST_CLOCK_FACTOR"


def settings(factor: float) -> dict[str, str]:
    """The environment of every process that is to live in the same fast time, which begins now."""
    return {"FAST_CLOCK": __file__, ORIGIN: repr(time.time()), FACTOR: repr(factor)}


def fast(environ: dict[str, str]) -> float:
    """The time by these settings, in seconds since 1970."""
    origin = float(environ[ORIGIN])
    return origin + (_real() - origin) * float(environ[FACTOR])


def begin() -> None:
    """Let this process live in fast time; before anything else of ours is imported."""
    given = dict(os.environ)
    time.time = lambda: fast(given)
    time.time_ns = lambda: int(fast(given) * 1e9)


_real = time.time

if __name__ == "__main__":
    begin()
    from watchkeeper.store import clock

    clock.wall = lambda: datetime.fromtimestamp(time.time(), UTC)
    from watchkeeper.app.cli import main

    sys.exit(main())

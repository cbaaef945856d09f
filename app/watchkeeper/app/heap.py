"""What glibc keeps of memory that nobody uses, given back; elsewhere nothing is done."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8


def share() -> None:
    """Let threads share two heaps: each has one of its own otherwise, and what one lets go of no other can use."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)


def give_back() -> None:
    """Give free memory back to the system: after a round of the analyzers there is much of it, until the next one."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)

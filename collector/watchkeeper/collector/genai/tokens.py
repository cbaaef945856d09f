"""Disjoint token classes from counts that may hold each other.

The conventions want the input to include what was read from and written to a cache, and the output to include the
reasoning. Anthropic counts the input without the cache, and not every emitter adds it; so the numbers decide where
they can: a cache that is larger than the input cannot be a part of it, and a total says which sum was meant.
"""

from __future__ import annotations

from collections.abc import Mapping

from watchkeeper.schemas.events import Tokens

MAX_COUNT = 2**53
INCLUDES = ".includes"
"""A count whose name holds other classes too fills a second field: its own name and this."""
_CLASSES = ("input", "output", "cache_read", "cache_write", "reasoning", "total")


def tokens(found: Mapping[str, object]) -> Tokens | None:
    """Give the classes, or None where nothing was counted.

    >>> from watchkeeper.collector.genai.aliases import aliases
    >>> read = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 60}
    >>> tokens(aliases().fields(read))
    Tokens(input=40, cache_read=60, cache_write=0, output=0, reasoning=0)
    """
    counts = {name: count(found[name]) for name in _CLASSES if name in found}
    if not counts:
        return None
    cached = (counts.get("cache_read") or 0) + (counts.get("cache_write") or 0)
    reasoning = counts.get("reasoning") or 0
    given_in, given_out = counts.get("input"), counts.get("output")
    total = counts.get("total")
    if given_in is None and total is not None and given_out is None:
        given_in = total
    sent, answered = given_in or 0, given_out or 0
    if cached and _holds(found, "input", sent, cached, None if total is None else total - answered):
        sent -= cached
    if reasoning and _holds(found, "output", answered, reasoning, None if total is None else total - (given_in or 0)):
        answered -= reasoning
    return Tokens(
        input=sent,
        cache_read=counts.get("cache_read") or 0,
        cache_write=counts.get("cache_write") or 0,
        output=answered,
        reasoning=reasoning,
    )


def _holds(found: Mapping[str, object], side: str, number: int, part: int, rest: int | None) -> bool:
    """Say whether a count holds a part: by the numbers where they can tell, else as the convention has it."""
    if part > number:
        return False
    if rest is not None and rest == number + part:
        return False
    return side in found and (side + INCLUDES in found or rest == number)


def count(value: object) -> int | None:
    """Give a whole number that is no less than zero, or None.

    >>> count("12"), count(3.0), count(-1), count(True), count("many")
    (12, 3, None, None, None)
    """
    if type(value) is int:  # as nearly all are
        return value if 0 <= value <= MAX_COUNT else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        whole = int(float(value)) if isinstance(value, str) else int(value)
    except (ValueError, OverflowError):
        return None
    return whole if 0 <= whole <= MAX_COUNT else None


def number(value: object) -> float | None:
    """Give a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < float("inf") else None

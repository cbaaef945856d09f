"""Times as senders write them: seconds, ms, µs or ns since 1970 (told apart by size), or ISO 8601 text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from watchkeeper.store.facts.batch import TIME

OLDEST, NEWEST = 1e8, 7.2e9
"""Seconds since 1970 that can be meant: March 1973 to 2198. What lies outside is no time of an event."""
_LEAP = re.compile(r"(T\d\d:(?:14|29|44|59)):60(?:\.\d+)?")


def problem(value: float | str | None) -> str | None:
    """Say what is wrong with a time, or None.

    >>> problem(1767225600), problem("2026-01-01T00:00:00Z"), problem(None)
    (None, None, None)
    >>> problem("yesterday")
    "'yesterday' is not an ISO 8601 time"
    """
    if value is None:
        return None
    if isinstance(value, str):
        try:
            seconds = _text_seconds(value)
        except ValueError:
            return f"{value[:40]!r} is not an ISO 8601 time"
    else:
        seconds = in_seconds(value)
    if not OLDEST <= seconds <= NEWEST:
        shown = repr(value)[:40]
        return f"{shown} is not a time between 1973 and 2198: give seconds, ms, µs or ns since 1970, or ISO 8601"
    return None


def plausible(values: Sequence[float | str] | NDArray[np.generic]) -> bool:
    """Say whether all are numbers that pass ``problem`` for sure, without looking at each in Python."""
    if not isinstance(values, np.ndarray) and str in map(type, values):  # NumPy would take "1767225600" for a number
        return not any(problem(value) for value in values)
    try:
        size = np.asarray(values, dtype=np.float64)
    except OverflowError:
        return False
    seconds = size / _per_second(size)
    return bool(((seconds >= OLDEST) & (seconds <= NEWEST)).all())


def _per_second(size: NDArray[np.float64]) -> float | NDArray[np.float64]:
    """Give how many of each number's unit are a second: one number where all are of one unit, as nearly always."""
    low, high = size.min(initial=math.inf), size.max(initial=0.0)
    for limit, unit, least in ((1e11, 1.0, 0.0), (1e14, 1e3, 1e11), (1e17, 1e6, 1e14), (math.inf, 1e9, 1e17)):
        if least <= low and high < limit:
            return unit
    return np.select([size < 1e11, size < 1e14, size < 1e17], [1.0, 1e3, 1e6], 1e9)


def in_seconds(value: float) -> float:
    """Give seconds since 1970, whatever the unit was.

    >>> [in_seconds(t) for t in (1767225600, 1767225600e3, 1767225600e6, 1767225600e9)]
    [1767225600.0, 1767225600.0, 1767225600.0, 1767225600.0]
    """
    for limit, unit in ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9)):
        if abs(value) < limit:
            return value / unit
    return math.inf


def series(name: str, values: Sequence[float | int | str | None] | pl.Series) -> pl.Series:
    """Give a column of naive UTC times (µs) from values that ``problem`` found good; a series is of numbers."""
    if isinstance(values, pl.Series):
        return _stamps(name, values.cast(pl.Float64))
    if str in set(map(type, values)):
        values = [_text_seconds(value) if isinstance(value, str) else value for value in values]
    return _stamps(name, pl.Series(name, values, pl.Float64, strict=False))


def _stamps(name: str, raw: pl.Series) -> pl.Series:
    nothing = raw.is_null() if raw.null_count() else None
    numbers = raw.to_numpy() if nothing is None else np.nan_to_num(raw.to_numpy())
    stamps = pl.Series(name, np.rint(numbers * (1e6 / _per_second(np.abs(numbers)))).astype(np.int64)).cast(TIME)
    return stamps if nothing is None else stamps.set(nothing, None)


def parsed(text: str) -> datetime:
    """Give the moment of ISO 8601 text, in UTC where it names no zone; ValueError for what is none.

    RFC 3339 lets its letters be small, and has leap seconds: one is the last microsecond before it, so that it stays
    on its day.

    >>> parsed("2016-12-31t23:59:60z").isoformat()
    '2016-12-31T23:59:59.999999+00:00'
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.fromisoformat(_LEAP.sub(r"\1:59.999999", text.upper()))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text_seconds(text: str) -> float:
    return parsed(text).timestamp()

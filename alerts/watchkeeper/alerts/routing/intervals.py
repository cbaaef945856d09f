"""Is a moment inside a declared time interval? In its own zone, as Alertmanager reads it. Pure.

Days and times are those of a clock on the wall there: over a change to summer time 09:00 stays 09:00, an hour that the
change leaves out is never met, one that comes twice is met twice.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from watchkeeper.schemas.declared import TimeInterval
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.times import Times

WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = tuple(name.lower() for name in calendar.month_name)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|(24):(00)")


def contains(interval: TimeInterval, at: datetime) -> bool:
    """Tell whether one of its times is met.

    >>> from datetime import UTC
    >>> from watchkeeper.schemas.times import TimeRange
    >>> office = Times(weekdays=["monday:friday"], times=[TimeRange(start_time="09:00", end_time="17:00")],
    ...                location="Europe/Oslo")
    >>> [contains(TimeInterval(time_intervals=[office]), datetime(2026, 7, 1, hour, 30, tzinfo=UTC)) for hour in (6, 7)]
    [False, True]
    """
    return any(_met(times, at) for times in interval.time_intervals)


def problems(interval: TimeInterval) -> list[str]:
    """Say what of it cannot be read."""
    found: list[str] = []
    for times in interval.time_intervals:
        try:
            _met(times, datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
        except SettingsError as error:
            found.append(str(error))
    return found


def _met(times: Times, at: datetime) -> bool:
    local = at.astimezone(_zone(times.location))
    last = calendar.monthrange(local.year, local.month)[1]
    minute = local.hour * 60 + local.minute
    met = (
        not times.times or _one([_clock(r.start_time) <= minute < _clock(r.end_time) for r in times.times]),
        _in_names(times.weekdays, WEEKDAYS, local.isoweekday() % 7),
        _in_days(times.days_of_month, local.day, last),
        _in_names(times.months, MONTHS, local.month),
        _in_years(times.years, local.year),
    )
    return all(met)


def _one(met: list[bool]) -> bool:
    """Tell whether one is met; all of them were read, so that a wrong one never hides behind a right one."""
    return True in met


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(f"location {name!r} is not the name of a time zone, as in Europe/Oslo") from None


def _clock(text: str) -> int:
    if not _CLOCK.fullmatch(text):
        raise SettingsError(f"time {text!r} is not like 09:30")
    return int(text[:2]) * 60 + int(text[3:])


def _in_names(ranges: Sequence[str], names: Sequence[str], value: int) -> bool:
    def place(word: str) -> int:
        lower = word.strip().lower()
        if lower in names and lower:
            return names.index(lower)
        if names is MONTHS and lower.isdigit() and 1 <= int(lower) <= 12:
            return int(lower)
        raise SettingsError(f"{word!r} is not one of {', '.join(filter(None, names))}")

    return not ranges or _one([_within(*_ends(text, place), value, text) for text in ranges])


def _in_days(ranges: Sequence[str], day: int, last: int) -> bool:
    def number(word: str) -> int:
        value = int(word) if re.fullmatch(r"\s*-?\d+\s*", word) else 0
        if not 1 <= abs(value) <= 31:
            raise SettingsError(f"day {word!r} of the month is not in 1 to 31, or -31 to -1 from its end")
        return value

    def met(text: str) -> bool:
        start, end = (value if value > 0 else last + 1 + value for value in _ends(text, number))
        return start <= day <= end  # a day that this month has not is not met

    return not ranges or _one([met(text) for text in ranges])


def _in_years(ranges: Sequence[str], year: int) -> bool:
    def number(word: str) -> int:
        if not word.strip().isdigit():
            raise SettingsError(f"year {word!r} is not a number")
        return int(word)

    return not ranges or _one([_within(*_ends(text, number), year, text) for text in ranges])


def _ends(text: str, read: Callable[[str], int]) -> tuple[int, int]:
    first, _, second = text.partition(":")
    start = read(first)
    return start, (read(second) if second else start)


def _within(start: int, end: int, value: int, text: str) -> bool:
    if start > end:
        raise SettingsError(f"{text!r} ends before it begins")
    return start <= value <= end

"""Where a calendar period begins and ends: local midnights of its zone, right across summer time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from watchkeeper.schemas.findings import Window
from watchkeeper.schemas.objectives import Calendar

_MONTHS = {"M": 1, "Q": 3, "Y": 12}
_DAYS = {"D": 1, "W": 7}


def period(calendar: Calendar, at: datetime) -> Window:
    """Give the period that a time lies in, in UTC; its length in hours differs with the clocks.

    >>> month = Calendar(unit="M", count=1, start="2026-01-01 00:00:00", zone="Europe/Berlin")
    >>> march = period(month, datetime(2026, 3, 15, tzinfo=UTC))
    >>> march.start.isoformat(), march.end.isoformat(), march.length / timedelta(hours=1)
    ('2026-02-28T23:00:00+00:00', '2026-03-31T22:00:00+00:00', 743.0)
    """
    zone = ZoneInfo(calendar.zone)
    begun = datetime.fromisoformat(calendar.start)
    local = at.astimezone(zone).replace(tzinfo=None)
    number = _guess(calendar, begun, local)
    while _start(calendar, begun, number + 1, zone) <= at:
        number += 1
    while _start(calendar, begun, number, zone) > at:
        number -= 1
    return Window(_start(calendar, begun, number, zone), _start(calendar, begun, number + 1, zone))


def _guess(calendar: Calendar, begun: datetime, local: datetime) -> int:
    if calendar.unit in _DAYS:
        return (local - begun) // timedelta(days=_DAYS[calendar.unit] * calendar.count)
    months = (local.year - begun.year) * 12 + local.month - begun.month
    return months // (_MONTHS[calendar.unit] * calendar.count)


def _start(calendar: Calendar, begun: datetime, number: int, zone: ZoneInfo) -> datetime:
    """Give the start of a period; a day that its month lacks becomes the month's last."""
    if calendar.unit in _DAYS:
        local = begun + timedelta(days=_DAYS[calendar.unit] * calendar.count * number)
        return local.replace(tzinfo=zone).astimezone(UTC)
    months = begun.year * 12 + begun.month - 1 + _MONTHS[calendar.unit] * calendar.count * number
    year, month = divmod(months, 12)
    following = datetime(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)  # noqa: DTZ001  # local on purpose
    last = (following - timedelta(days=1)).day
    local = begun.replace(year=year, month=month + 1, day=min(begun.day, last))
    return local.replace(tzinfo=zone).astimezone(UTC)

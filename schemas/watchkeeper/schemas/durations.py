"""How long: one way to write a span of time in files, settings and options, and one to say it roughly."""

from __future__ import annotations

from datetime import timedelta

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def duration(text: str) -> timedelta:
    """Read a span like ``30s``, ``15m``, ``12h``, ``90d`` or ``4w``; ValueError for anything else.

    >>> duration("15m"), duration("1.5h")
    (datetime.timedelta(seconds=900), datetime.timedelta(seconds=5400))
    """
    try:
        span = timedelta(seconds=float(text[:-1]) * UNITS[text[-1]])
    except (KeyError, ValueError, IndexError, OverflowError):
        raise ValueError(f"{text!r} is not like 30s, 15m, 12h, 90d or 4w") from None
    if span <= timedelta(0):
        raise ValueError(f"{text!r} is not longer than nothing")
    return span


def rough(length: timedelta) -> str:
    """Round a time to one unit.

    >>> rough(timedelta(hours=50)), rough(timedelta(hours=5)), rough(timedelta(minutes=7))
    ('2 days', '5 hours', '7 minutes')
    """
    hours = length / timedelta(hours=1)
    number, unit = (hours / 24, "day") if hours >= 48 else (hours, "hour") if hours >= 2 else (hours * 60, "minute")
    return f"{round(number)} {unit}{'' if round(number) == 1 else 's'}"

"""Words for people: shares, days and sentences that fit one line."""

from __future__ import annotations

from datetime import datetime, timedelta

MAX_SUMMARY = 200


def percent(share: float) -> str:
    """Write a share as people do.

    >>> percent(0.1623), percent(0.0004), percent(1.0), percent(0.0)
    ('16.2 %', '0.04 %', '100 %', '0 %')
    """
    value = 100 * share
    if value == 0:
        return "0 %"
    if abs(value) >= 99.95:
        return f"{value:.0f} %"
    return f"{value:.1f} %" if abs(value) >= 0.1 else f"{value:.2g} %"


def day(time: datetime) -> str:
    """Name a day without its year.

    >>> day(datetime(2026, 6, 5, 23))
    '5 Jun'
    """
    return f"{time.day} {time:%b}"


def span_words(span: timedelta) -> str:
    """Write a length of time as people do.

    >>> span_words(timedelta(days=7)), span_words(timedelta(hours=6)), span_words(timedelta(minutes=5))
    ('7 d', '6 h', '5 min')
    """
    seconds = int(span.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds % size == 0 and seconds:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def amount(value: float) -> str:
    """Write a number with as many digits as matter.

    >>> amount(1234567.0), amount(12.345), amount(0.0012345), amount(0.0)
    ('1,234,567', '12.3', '0.00123', '0')
    """
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def quoted(value: str) -> str:
    """Quote a value, cut so that one long value does not fill the sentence.

    >>> quoted("B6"), quoted("x" * 60)
    ("'B6'", "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'")
    """
    return f"'{value if len(value) <= 40 else value[:39] + '…'}'"


def sentence(text: str) -> str:
    """Cut a summary to its longest allowed length.

    >>> len(sentence("x" * 300))
    200
    """
    return text if len(text) <= MAX_SUMMARY else text[: MAX_SUMMARY - 1] + "…"

"""How numbers, times and money are written: one way everywhere.

Thin spaces stand before units. Deltas carry an ASCII minus, because Streamlit reads the typographic one as a gain.
Times are UTC. What is not known is an en dash, never a zero.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

THIN = "\u2009"
UNKNOWN = "–"
MOST_PERCENTS = 999
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£"}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~$:&/-])")
_SCALES = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with at most ``digits`` significant digits; from ten thousand on with k, M, G.

    >>> number(1234), number(48213), number(0.05126), number(None)
    ('1\\u2009234', '48.2\\u2009k', '0.0513', '–')
    """
    if value is None:
        return UNKNOWN
    for least, scale, letter in _SCALES:
        if abs(value) >= least:
            return f"{_significant(value / scale, digits)}{THIN}{letter}"
    return _significant(value, max(digits, 4) if abs(value) >= 1000 else digits)


def count(value: int) -> str:
    """Write a count in full, its thousands apart.

    >>> count(336776)
    '336\\u2009776'
    """
    return f"{value:,}".replace(",", THIN)


def percent(share: float | None, digits: int | None = None) -> str:
    """Write a share of 1 as percent: whole from 10 %, one decimal below, two below 0.1 %.

    >>> percent(0.73), percent(0.0312), percent(0.9998, 2), percent(None)
    ('73\\u2009%', '3.1\\u2009%', '99.98\\u2009%', '–')
    """
    if share is None:
        return UNKNOWN
    value = share * 100
    places = digits if digits is not None else 0 if abs(value) >= 10 or value == 0 else 1 if abs(value) >= 0.1 else 2
    return f"{value:.{places}f}{THIN}%"


def completeness(share: float) -> str:
    """Write a share that must not be rounded up to all: 100 % only if nothing is missing.

    >>> completeness(1.0), completeness(0.99998), completeness(0.9998)
    ('100\\u2009%', '99.99\\u2009%', '99.98\\u2009%')
    """
    return f"100{THIN}%" if share >= 1 else f"{min(share * 100, 99.99):.2f}{THIN}%"


def milliseconds(value: float | None) -> str:
    """Write a duration that was measured in milliseconds.

    >>> milliseconds(18.3), milliseconds(891), milliseconds(12_340)
    ('18\\u2009ms', '891\\u2009ms', '12.3\\u2009s')
    """
    if value is None:
        return UNKNOWN
    if value >= 10_000:
        return f"{value / 1000:.1f}{THIN}s"
    return f"{value:.1f}{THIN}ms" if value < 10 else f"{value:.0f}{THIN}ms"


def money(value: float | None, currency: str = "USD") -> str:
    """Write money: cents below a thousand, whole above, three digits below a cent.

    >>> money(13.9), money(4200.4), money(0.00314), money(-2.5, "CHF")
    ('$13.90', '$4\\u2009200', '$0.00314', '-CHF\\u20092.50')
    """
    if value is None:
        return UNKNOWN
    size = abs(value)
    words = count(round(size)) if size >= 1000 else f"{size:.2f}" if size >= 0.01 or size == 0 else f"{size:.3g}"
    return f"{'-' if value < 0 else ''}{symbol(currency)}{words}"


def symbol(currency: str) -> str:
    """Give what stands before an amount.

    >>> symbol("EUR"), symbol("CHF")
    ('€', 'CHF\\u2009')
    """
    return _SYMBOLS.get(currency) or f"{currency}{THIN}"


def delta(words: str, positive: bool) -> str:
    """Put an ASCII sign before the size of a change.

    >>> delta(percent(0.04), True), delta("8.1 pt", False)
    ('+4.0\\u2009%', '-8.1 pt')
    """
    return f"{'+' if positive else '-'}{words}"


def points(change: float) -> str:
    """Write the difference of two shares in percentage points, with its sign.

    >>> points(-0.38), points(0.0004), points(0.0949)
    ('-38\\u2009pt', '0\\u2009pt', '+9\\u2009pt')
    """
    rounded = round(change * 100) if abs(change) >= 0.02 else round(change * 100, 1)
    return f"0{THIN}pt" if not rounded else f"{rounded:+}{THIN}pt"


def relative(new: float | None, old: float | None) -> str | None:
    """Write how much ``new`` is above or below ``old``; nothing where there is no old.

    >>> relative(104, 100), relative(3, 0), relative(50, 100), relative(99, 1)
    ('+4\\u2009%', None, '-50\\u2009%', '+999+\\u2009%')
    """
    if new is None or not old:
        return None
    percents = (new - old) / abs(old) * 100
    if abs(percents) > MOST_PERCENTS:
        return f"{'+' if percents > 0 else '-'}{MOST_PERCENTS}+{THIN}%"
    change = round(percents)
    return f"0{THIN}%" if not change else f"{change:+d}{THIN}%"


def utc(moment: datetime) -> datetime:
    """Give the moment in UTC."""
    return moment.astimezone(UTC)


def epoch_ms(moment: datetime) -> int:
    """Give milliseconds since 1970, as charts count time."""
    return round(moment.timestamp() * 1000)


def clock(moment: datetime, now: datetime) -> str:
    """Write a moment as short as it stays clear, in UTC: the time today, the weekday within six days, else the date.

    >>> now = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    >>> [clock(now - timedelta(hours=h), now) for h in (1, 76, 400)]
    ['08:00', 'Wed 05:00', '4 Nov 17:00']
    """
    moment, now = utc(moment), utc(now)
    if moment.date() == now.date():
        return f"{moment:%H:%M}"
    if timedelta(0) <= now - moment < timedelta(days=6):
        return f"{moment:%a %H:%M}"
    year = f" {moment.year}" if moment.year != now.year else ""
    return f"{moment.day} {moment:%b}{year} {moment:%H:%M}"


def days(start: datetime, end: datetime) -> str:
    """Write a span by its first and last day.

    >>> days(datetime(2026, 11, 14, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))
    '14 Nov to 21 Nov 2026'
    """
    start, end = utc(start), utc(end)
    year = f" {start.year}" if start.year != end.year else ""
    return f"{start.day} {start:%b}{year} to {end.day} {end:%b} {end.year}"


def since(moment: datetime, now: datetime) -> str:
    """Say since when, in words that a reader need not compute.

    >>> now = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    >>> since(datetime(2026, 11, 18, 4, 50, tzinfo=UTC), now)
    'since Wed 04:50 UTC'
    """
    return f"since {clock(moment, now)} UTC"


def duration(span: timedelta) -> str:
    """Write a length of time in its one or two largest units.

    >>> [duration(timedelta(seconds=s)) for s in (42, 5400, 208_800, 1_900_800)]
    ['42\\u2009s', '1\\u2009h 30\\u2009min', '2.4\\u2009days', '22\\u2009days']
    """
    seconds = max(span.total_seconds(), 0)
    if seconds < 90:
        return f"{seconds:.0f}{THIN}s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes}{THIN}min"
    if minutes < 36 * 60:
        rest = f" {minutes % 60}{THIN}min" if minutes % 60 else ""
        return f"{minutes // 60}{THIN}h{rest}"
    days = seconds / 86400
    return f"{days:.1f}{THIN}days" if days < 10 else f"{days:.0f}{THIN}days"


def plural(many: int, word: str) -> str:
    """Count a thing in words.

    >>> plural(1, "model"), plural(6, "model")
    ('1 model', '6 models')
    """
    return f"{count(many)} {word}{'' if many == 1 else 's'}"


def ended(text: str) -> str:
    """End a sentence that has no end.

    >>> ended("It is late"), ended("Never seen…")
    ('It is late.', 'Never seen…')
    """
    return text if text.endswith((".", "…", "!", "?")) else f"{text}."


def literal(text: str) -> str:
    r"""Escape a text that others wrote, so that Markdown shows it as it is: no link, formula, colour or image.

    >>> print(literal("costs $5 [see](http://x) :red[now]"))
    costs \$5 \[see\]\(http\:\/\/x\) \:red\[now\]
    """
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _significant(value: float, digits: int) -> str:
    """Write ``digits`` significant digits without an exponent and without trailing zeros after the point."""
    if value == 0:
        return "0"
    words = f"{value:.{digits}g}"
    if "e" in words:
        words = f"{float(words):.10f}".rstrip("0").rstrip(".")
    whole, point, rest = words.partition(".")
    sign, whole = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(whole):,}".replace(",", THIN) + point + rest

"""Numbers, times and probabilities in the words of someone who was just woken. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from watchkeeper.schemas.findings import Finding


def one_line(text: str, limit: int) -> str:
    """Give at most ``limit`` characters on one line: a subject may hold line ends and worse, and must not fake a line.

    >>> one_line("carrier\\nRESOLVED all is well", 20)
    'carrier RESOLVED al…'
    """
    clean = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return clean if len(clean) <= limit else clean[: limit - 1].rstrip() + "…"


def number(value: float, unit: str = "") -> str:
    """Give three digits, and a share in percent.

    >>> number(0.3127, "share"), number(1234.5, "ms"), number(0.00012), number(2.5, "USD")
    ('31.3 %', '1 234 ms', '0.00012', '2.5 USD')
    """
    if unit in {"share", "ratio"}:
        return f"{number(value * 100)} %"
    digits = f"{value:,.0f}".replace(",", " ") if 1000 <= abs(value) < 1e15 else f"{value:.3g}"
    return f"{digits} {unit}".rstrip()


def moment(at: datetime) -> str:
    """Give a time to the minute.

    >>> moment(datetime(2026, 3, 1, 9, 5, tzinfo=UTC))
    '2026-03-01 09:05 UTC'
    """
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def duration(length: timedelta) -> str:
    """Give the largest whole unit.

    >>> duration(timedelta(hours=49)), duration(timedelta(minutes=61)), duration(timedelta(seconds=3))
    ('2 days', '1 hour', 'less than a minute')
    """
    for unit, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(length.total_seconds() // seconds)
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


def chance(p_value: float) -> str:
    """Say a corrected p-value as a frequency.

    >>> chance(4.1e-5), chance(0.0), chance(0.04)
    ('by chance less than once in 24 000 times', 'by chance practically never', 'by chance about once in 25 times')
    """
    if p_value < 1e-12:
        return "by chance practically never"
    times = 1 / p_value
    size = 10.0 ** max(0, len(str(int(times))) - 2)
    about = "about" if times < 100 else "less than"
    return f"by chance {about} once in {number(times // size * size)} times"


def measured(finding: Finding) -> str:
    """Say what was measured, how exactly, and against what."""
    words = f"{number(finding.observed, finding.unit)}"
    if finding.interval is not None:
        low, high = (number(end, finding.unit) for end in finding.interval)
        words += f" (most likely between {low} and {high})"
    if finding.reference is not None:
        words += f", expected {number(finding.reference, finding.unit)}"
    return words


def how_sure(finding: Finding) -> str:
    """Say why to believe it: rows, test, chance, grade."""
    evidence = finding.evidence
    rows = f"{evidence.n:,} row{'' if evidence.n == 1 else 's'}".replace(",", " ")
    if evidence.p_value is None:
        words = f"{rows}, by rule ({evidence.test}), grade {evidence.grade}"
    else:
        words = (
            f"{rows}, {evidence.test}: {chance(evidence.p_value)} "
            f"(corrected p = {evidence.p_value:.2g}), grade {evidence.grade}"
        )
    if finding.maturity is not None:
        words += f"; {number(finding.maturity, 'share')} of the outcomes are known"
    return words

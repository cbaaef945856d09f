"""Numbers, times and probabilities in the words of someone who was just woken. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from watchkeeper.alerts.routing.labels import RECEIVED
from watchkeeper.schemas.durations import rough
from watchkeeper.schemas.findings import SPOKEN, ErrorBudget, Finding

LONGEST_WORD = 25


def one_line(text: str, limit: int) -> str:
    """Give at most ``limit`` characters on one line: a subject may hold line ends and worse, and must not fake a line.

    >>> one_line("carrier\\nRESOLVED all is well", 20)
    'carrier RESOLVED…'
    """
    clean = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if len(clean) <= limit:
        return clean
    cut = clean[: limit - 1]
    word = cut.rfind(" ", max(limit - LONGEST_WORD, 1))  # a word is not cut in two, unless it is a very long one
    return (cut if word < 0 or clean[limit - 1] == " " else cut[:word]).rstrip() + "…"


def named(subject: str) -> str:
    """Name a subject in a message.

    >>> named("ok"), named("segment:UA")
    ('failed requests', 'segment:UA')
    """
    return one_line(SPOKEN.get(subject, subject), 80)


def number(value: float, unit: str = "") -> str:
    """Give three digits, and a share in percent.

    >>> number(0.3127, "share"), number(1234.5, "ms"), number(0.00012), number(2.5, "USD")
    ('31.3 %', '1 234 ms', '0.00012', '2.5 USD')
    >>> number(7200.0, "s"), number(1.5, "s")
    ('2 hours', '1.5 s')
    """
    if unit == "s" and abs(value) >= 120:
        return rough(timedelta(seconds=value))
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


def proven(finding: Finding, *, now: bool = True) -> str:
    """Say what was measured and how sure that is; of another system's alert, that it said no more."""
    if finding.analyzer == RECEIVED:
        return "Told by another system, which measured it."
    return f"{'Measured' if now else 'Last measured'}: {measured(finding)}. How sure: {how_sure(finding)}."


def measured(finding: Finding) -> str:
    """Say what was measured, how exactly, and against what."""
    budget = finding.budget
    if budget is not None and finding.unit == "share":
        told = f"told from {number(finding.reference, finding.unit)}" if finding.reference is not None else ""
        return f"{number(finding.observed, finding.unit)} of the error budget is spent, {told}".removesuffix(", ")
    if budget is not None:
        allowed = f"{number(1 - budget.target, 'share')} is allowed (target {_exact(budget.target)})"
        return f"{number(budget.bad, 'share')} bad{_between(budget.interval, 'share')}, {allowed}"
    words = number(finding.observed, finding.unit) + _between(finding.interval, finding.unit)
    if finding.reference is not None:
        words += f", expected {number(finding.reference, finding.unit)}"
    return words


def burning(budget: ErrorBudget) -> str:
    """Say how fast an error budget goes.

    >>> from watchkeeper.schemas.findings import Window
    >>> span = Window(datetime(2026, 3, 1, 9, tzinfo=UTC), datetime(2026, 3, 1, 10, tzinfo=UTC))
    >>> one = ErrorBudget("fast", 0.99, span, 0.24, (0.2, 0.29), 24.0, 0.6, None, 13.44)
    >>> burning(one)
    '24 times what fast allows over the last 60 minutes (most likely between 20 and 29), told from 13.4; 1 is on budget'
    """
    low, high = (end / (1 - budget.target) for end in budget.interval)
    words = f"{number(budget.burn)} times what {one_line(budget.objective, 80)} allows"
    words += f" over the last {rough(budget.over.length)}{_between((low, high))}"
    return (
        words
        + (f", told from {number(budget.burn_limit)}" if budget.burn_limit is not None else "")
        + "; 1 is on budget"
    )


def left(budget: ErrorBudget, *, over: bool = False) -> str:
    """Say how much of an error budget is left, and (unless it is over) how long that lasts at this burn rate.

    >>> from watchkeeper.schemas.findings import Window
    >>> span = Window(datetime(2026, 3, 1, 9, tzinfo=UTC), datetime(2026, 3, 1, 10, tzinfo=UTC))
    >>> gone = datetime(2026, 3, 1, 22, tzinfo=UTC)
    >>> left(ErrorBudget("fast", 0.99, span, 0.24, (0.2, 0.29), 24.0, 0.6, gone))
    '60 % is left, gone in about 12 hours at this rate (2026-03-01 22:00 UTC)'
    >>> left(ErrorBudget("fast", 0.99, span, 0.24, (0.2, 0.29), 24.0, -0.25))
    'spent, and 25 % more than there was'
    """
    if budget.left <= 0:
        more = number(-budget.left, "share")
        return "spent" if budget.left > -0.0005 else f"spent, and {more} more than there was"
    words = f"{number(budget.left, 'share')} is left"
    if over:
        return f"{words}, as of {moment(budget.over.end)}"
    if budget.gone_at is None:
        return f"{words}, enough for the whole period at this rate"
    return f"{words}, gone in about {rough(budget.gone_at - budget.over.end)} at this rate ({moment(budget.gone_at)})"


def _between(interval: tuple[float, float] | None, unit: str = "") -> str:
    if interval is None:
        return ""
    low, high = (number(end, unit) for end in interval)
    return f" (most likely between {low} and {high})"


def _exact(share: float) -> str:
    """Give a target with all its nines.

    >>> _exact(0.9995)
    '99.95 %'
    """
    return f"{100 * share:.8g} %"


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

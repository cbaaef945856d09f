"""Which windows are looked at, from which burn rate they alert, and what can be seen at all at a given traffic.

Burn rates are derived from the period: fraction of the budget x period / window. For periods under 28 days the windows
shrink with the period; no row fires below burn 1, which is on budget.
Source: Google SRE workbook, Alerting on SLOs, 6: multiwindow, multi-burn-rate alerts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.phrases import span_words
from watchkeeper.schemas.durations import duration
from watchkeeper.schemas.findings import Severity
from watchkeeper.schemas.objectives import Objective

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
FULL_PERIOD = timedelta(days=28)
MIN_BAD = 3
BLIND = 4.0
"""Failing this many times as often as allowed must be noticed by some window, else an objective is not measurable."""

_POLICY = (
    (Severity.PAGE, 0.02, HOUR, 5 * MINUTE),
    (Severity.PAGE, 0.05, 6 * HOUR, 30 * MINUTE),
    (Severity.TICKET, 0.10, 24 * HOUR, 2 * HOUR),
    (Severity.TICKET, 0.10, 72 * HOUR, 6 * HOUR),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One pair of windows and the burn rate over which both must be, for as long as ``after``."""

    severity: Severity
    long: timedelta
    short: timedelta
    burn: float
    after: timedelta = timedelta(0)

    def can_fire(self, budget: float) -> bool:
        """Whether requests that all fail would be enough."""
        return self.burn * budget < 1.0

    @property
    def name(self) -> str:
        """The long window, as in ``1 h``."""
        return span_words(self.long).replace(" ", "")


def policy(period: timedelta) -> tuple[Row, ...]:
    """Derive the rows from the objective's period; never copy a 14.4 that belongs to another one.

    >>> [round(row.burn, 2) for row in policy(timedelta(days=30))]
    [14.4, 6.0, 3.0, 1.0]
    >>> [(row.name, round(row.burn, 2)) for row in policy(timedelta(days=7))]
    [('15min', 13.44), ('90min', 5.6), ('6h', 2.8), ('18h', 1.0)]
    """
    scale = min(period / FULL_PERIOD, 1.0)
    rows: list[Row] = []
    for severity, fraction, long, short in _POLICY:
        scaled = _minutes(long * scale)
        rows.append(Row(severity, scaled, _minutes(short * scale), max(fraction * (period / scaled), 1.0)))
    return tuple(rows)


def rows_of(objective: Objective, finest: timedelta = MINUTE) -> tuple[Row, ...]:
    """Give the declared rules, else the derived rows; windows that hold less than one step are left out.

    >>> from watchkeeper.schemas.objectives import Sli
    >>> one = Objective(name="x", service="s", sli=Sli(measure="quality"), target=0.9, days=28)
    >>> [(row.name, row.short == DAY) for row in rows_of(one, DAY)]
    [('1d', True), ('3d', True)]
    """
    if objective.rules:
        listed = tuple(
            Row(
                Severity(rule.severity),
                rule.long_span,
                rule.short_span,
                rule.limit(objective.period),
                duration(rule.after) if rule.after else timedelta(0),
            )
            for rule in objective.rules
        )
    else:
        listed = policy(objective.period)
    return tuple(
        Row(row.severity, row.long, max(row.short, finest), row.burn, row.after) for row in listed if row.long >= finest
    )


def _minutes(length: timedelta) -> timedelta:
    return max(round(length / MINUTE), 1) * MINUTE


def sure(limit: float, long: Count, min_bad: float = MIN_BAD) -> bool:
    """Whether a window is over a share beyond what few requests do by chance: the gate for low traffic.

    At least ``min_bad`` bad ones that came, and the lower 95 % Wilson bound over the limit.
    """
    return long.affected_came >= min_bad and long.share > limit and long.interval[0] > limit


def burning(row: Row, budget: float, long: Count, short: Count, min_bad: float) -> bool:
    """Whether both windows burn faster than the row allows, beyond what few requests do by chance.

    A short window without any request says nothing, and the long one decides.

    >>> row = policy(timedelta(days=28))[0]
    >>> burning(row, 0.01, Count(30, 100), Count(3, 8), 3), burning(row, 0.01, Count(1, 5), Count(1, 1), 3)
    (True, False)
    """
    limit = row.burn * budget
    return sure(limit, long, min_bad) and (short.rows == 0 or short.share > limit)


def detectable(row: Row, budget: float, per_hour: float) -> float | None:
    """Give the least burn rate that a row can tell from chance at this traffic; None where it can tell none.

    >>> hour, *_, days3 = policy(timedelta(days=30))
    >>> round(detectable(days3, 0.001, 5), 1), detectable(hour, 0.001, 2)
    (8.3, None)
    """
    rows = math.floor(per_hour * (row.long / HOUR))
    limit = row.burn * budget
    low, high = MIN_BAD, rows
    if limit >= 1 or high < low or not sure(limit, Count(high, rows)):
        return None
    while low < high:  # more bad ones are surer ones
        middle = (low + high) // 2
        low, high = (low, middle) if sure(limit, Count(middle, rows)) else (middle + 1, high)
    return low / rows / budget


@dataclass(frozen=True, slots=True)
class Seeing:
    """What an objective's rules can see at its traffic; ``advice`` is empty where that is enough."""

    per_hour: float
    least_burn: float | None
    silent: tuple[str, ...]
    advice: tuple[str, ...] = ()

    @property
    def measurable(self) -> bool:
        """Whether a service that fails several times as often as allowed would be noticed."""
        return self.least_burn is not None and self.least_burn <= BLIND


def seeing(objective: Objective, per_hour: float, finest: timedelta = MINUTE) -> Seeing:
    """Say what can be seen: the least burn rate, the rows that can never fire, and what to do about too little."""
    rows = rows_of(objective, finest)
    silent = tuple(row.name for row in rows if not row.can_fire(objective.budget))
    found = [burn for row in rows if (burn := detectable(row, objective.budget, per_hour)) is not None]
    seen = Seeing(per_hour, min(found, default=None), silent)
    return seen if seen.measurable else Seeing(per_hour, seen.least_burn, silent, _advice(objective, per_hour, seen))


def _advice(objective: Objective, per_hour: float, seen: Seeing) -> tuple[str, ...]:
    events = per_hour * (objective.period / HOUR)
    unseen = "nothing" if seen.least_burn is None else f"only a burn rate of {seen.least_burn:.2g} or more"
    rate = f"at {per_hour:.3g} requests an hour the budget is {events * objective.budget:.2g} requests a period"
    told = [f"{rate}, and {unseen} can be told from chance"]
    target = _reachable(objective, per_hour)
    if target is not None:
        told.append(f"a target of {target:g} can be measured at this traffic")
    if objective.method == "Occurrences":
        told.append("Timeslices count minutes that are good instead of requests")
    told.append(f"a window longer than {objective.days:g} days, services that are counted together, or probes help")
    return tuple(told)


def _reachable(objective: Objective, per_hour: float) -> float | None:
    for target in (0.999, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7):
        if target < objective.target:
            burns = [detectable(row, 1 - target, per_hour) for row in policy(objective.period)]
            if min((burn for burn in burns if burn is not None), default=math.inf) <= BLIND:
                return target
    return None

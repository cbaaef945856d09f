"""Is a segment value or a model version that the reference never had worse than the rest of its own days?

What is new has no past to be held against. So its errors, failures, latency and cost of a week are compared, day by
day, with those of the known values on the same days: whatever moves all of a day is nobody's fault. Told where it is
worse by enough, surely, and by more than any known value was in the reference. At most ``alerts_per_month`` false ones
in 30 days over all values, measures and days (Bonferroni). Misleads where what is new is given harder cases: it is
worse then, and not to blame. Where it takes all the traffic at once there is nothing beside it to compare with: that
is the verdict's. Columns of protected attributes are left to ``quality.fairness``.

Variance is that of rows, widened by how much more days differ, of known values in the reference or of the new one
(quasi-likelihood, the larger); of means, which know no rows, the spread between the days alone. Student's t.
Source: McCullagh and Nelder, Generalized Linear Models (1989), section 4.5.

>>> known = [[Pair(20 + day % 5, 200, 100, 1000) for day in range(14)]]
>>> [judge([Pair(own, 100, 100, 1000)] * 7, known, SHARE).p_value < 1e-6 for own in (10, 25)]
[False, True]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import polars as pl

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.feature_days import aware
from watchkeeper.analyzers.intervals import grade, student_tail
from watchkeeper.analyzers.maturity import matured, monday
from watchkeeper.analyzers.memo import once
from watchkeeper.analyzers.quality.core.gaps import LOOKS, MIN_DAYS, Pair, pooled
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.examples import OfSegment
from watchkeeper.store.facts.groups import new_values, version_days
from watchkeeper.store.facts.rollups import OTHER

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

DAY = timedelta(days=1)
VERSION = ""
"""The rollups' name of the whole, whose rows are by model version."""
MOST = 5
"""New values of one column that are judged, the largest first."""
MOST_KNOWN = 8
DAILY_ROWS = 10
SHARE, RATIO = "share", "ratio"


@dataclass(frozen=True, slots=True)
class Measure:
    """What is counted out of what, and how it is said."""

    name: str
    hits: str
    rows: str
    kind: str
    words: str


ERROR = Measure("error", "wrong", "known", SHARE, "wrong in")
MEASURES = (
    Measure("ok", "errors", "requests", SHARE, "failing in"),
    Measure("latency", "latency_sum_ms", "latency_n", RATIO, "slower"),
    Measure("cost", "cost", "cost_n", RATIO, "dearer"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One measure of one new value: its days, and those of each known value in the reference."""

    column: str
    value: str
    measure: Measure
    since: datetime
    window: Window
    now: list[Pair]
    known: list[list[Pair]]
    maturity: float | None = None

    @property
    def subject(self) -> str:
        """What people know it by."""
        return f"{'segment' if self.column else 'version'}:{self.value}"

    @property
    def rows(self) -> int:
        """Rows of the new value."""
        return int(pooled(self.now).own_rows)


@dataclass(frozen=True, slots=True)
class Judged:
    """By how much it is worse (of a ratio: its logarithm), the worst known value, and the chance of that one test."""

    gap: float
    worst: float
    p_value: float


class Newcomer:
    """Values and versions that came after the reference, against the rest of their days."""

    name = "quality.newcomer"
    question = "Is a segment value or model version that the reference never had worse than the rest of its days?"
    every = DAY
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    @property
    def params(self) -> dict[str, Param]:
        """How few rows and how small a difference are not judged, and the budget of false alerts."""
        return {"min_rows": 200, "min_points": 0.03, "min_ratio": 0.1, "alerts_per_month": 0.01}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge the last seven days of every model that has a reference."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            tested = [
                (case, found)
                for case in _cases(scope)
                if case.rows >= scope.settings.number("min_rows")
                and (found := judge(case.now, case.known, case.measure.kind)) is not None
            ]
            for case, found in tested:
                about = (self.name, f"{case.measure.name}_gap", *scope.pair, case.subject, case.window, as_of)
                gap, worst = (_said(one, case.measure.kind) for one in (found.gap, found.worst))
                readings.append(Reading(*about, gap, n=case.rows, maturity=case.maturity, reference=worst))
            said = (self._finding(scope, case, found, len(tested)) for case, found in tested)
            findings += [finding for finding in said if finding is not None]
            judged |= {scope.pair} if tested else set()
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the difference of the window's days: of shares, or by how much of itself a mean is larger."""
        kind = cast("str", snapshot["kind"])
        days = _whole([Pair(*day) for day in cast("list[list[float]]", snapshot["days"])], kind)
        return _said(gap_of(days, kind), kind)

    def _finding(self, scope: Scope, case: Case, found: Judged, tests: int) -> Finding | None:
        p_value = min(1.0, found.p_value * tests * LOOKS)
        share = case.measure.kind == SHARE
        least = scope.settings.number("min_points") if share else math.log1p(scope.settings.number("min_ratio"))
        too_little = found.gap < max(least, found.worst)
        if p_value >= scope.settings.number("alerts_per_month") or too_little:
            return None
        snapshot: Snapshot = {"days": _json(case.now), "kind": case.measure.kind}
        observed = self.recompute(snapshot)
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric=f"{case.measure.name}_gap",
            subjects=(case.subject, case.measure.name),
            window=case.window,
            as_of=scope.as_of,
            observed=observed,
            severity=scope.settings.severity_or(Severity.TICKET),
            summary=phrases.sentence(_summary(scope, case, found)),
            evidence=Evidence("t over days", case.rows, p_value, grade(p_value, case.rows), snapshot),
            reference=0.0,
            effect=observed,
            unit="share" if share else "",
            since=max(case.since, case.window.start),
            maturity=case.maturity,
            examples=scope.examples(OfSegment(case.column, case.value), case.window),
        )


def judge(now: Sequence[Pair], known: Sequence[Sequence[Pair]], kind: str) -> Judged | None:
    """Compare a new value with the rest of its days; None with too few days of it.

    One known value alone has no others: then only the new one's days say how much days differ.
    """
    now = _whole(now, kind)
    usual = [days for one in known if len(days := _whole(one, kind)) >= 2 * MIN_DAYS]
    if len(now) < MIN_DAYS:
        return None
    gap, worst = gap_of(now, kind), max((gap_of(days, kind) for days in usual), default=0.0)
    degrees = len(now) - 1
    if kind == SHARE:
        degrees = max((len(days) - 1 for days in usual), default=degrees)
        spread = _spread_of_shares(now, usual)
    else:
        spread = _spread_of_ratios(now, usual)
    return Judged(gap, worst, student_tail(gap / spread, degrees) if spread > 0 else 1.0)


def gap_of(days: Sequence[Pair], kind: str) -> float:
    """Give the difference of the shares of all days, or the mean of the days' logarithmic ratios."""
    if kind == SHARE:
        return pooled(days).gap
    return math.fsum(map(_log_ratio, days)) / len(days)


def _said(gap: float, kind: str) -> float:
    return gap if kind == SHARE else math.expm1(gap)


def _spread_of_shares(now: Sequence[Pair], usual: Sequence[Sequence[Pair]]) -> float:
    widening = max(1.0, _widening(now), _mean([_widening(days) for days in usual]))
    return math.sqrt(widening * _variance(pooled(now), _noise(now)))


def _spread_of_ratios(now: Sequence[Pair], usual: Sequence[Sequence[Pair]]) -> float:
    return math.sqrt(max(_between(now), _mean([_between(days) for days in usual])) / len(now))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _between(days: Sequence[Pair]) -> float:
    ratios = [_log_ratio(day) for day in days]
    mean = math.fsum(ratios) / len(ratios)
    return math.fsum((one - mean) ** 2 for one in ratios) / (len(ratios) - 1)


def _widening(days: Sequence[Pair]) -> float:
    """Give by how much more than rows would the gaps of single days differ."""
    noise, mean = _noise(days), pooled(days).gap
    return math.fsum((day.gap - mean) ** 2 / _variance(day, noise) for day in days) / (len(days) - 1)


def _noise(days: Sequence[Pair]) -> float:
    """Give the variance of one row, were both sides alike; never that of a share of 0."""
    both = pooled(days)
    share = (both.own + both.rest + 1) / (both.own_rows + both.rest_rows + 2)
    own = (both.own + 1) / (both.own_rows + 2)
    return max(share * (1 - share), own * (1 - own))


def _variance(day: Pair, noise: float) -> float:
    return noise / day.own_rows + noise / day.rest_rows


def _log_ratio(day: Pair) -> float:
    return math.log(day.own / day.own_rows) - math.log(day.rest / day.rest_rows)


def _whole(days: Sequence[Pair], kind: str) -> list[Pair]:
    """Keep the days with enough rows on both sides; of a ratio those with something to divide."""
    enough = [day for day in days if min(day.own_rows, day.rest_rows) >= DAILY_ROWS]
    return enough if kind == SHARE else [day for day in enough if min(day.own, day.rest) > 0]


def _cases(scope: Scope) -> Iterator[Case]:
    """Count each measure of each new value of each column, and of each new version."""
    reference = scope.reference
    if reference is None:
        return
    came = new_values(scope.facts.store(), scope.pair, reference, scope.window)
    came = came.filter(pl.col("requests") >= scope.settings.number("min_rows"))
    protected = scope.declared.protected_of(scope.service)
    for dim in came["dim"].unique(maintain_order=True).to_list():
        if dim not in protected:
            yield from _of_column(scope, reference, dim, came.filter(dim=dim)["value"].to_list()[:MOST])


def _of_column(scope: Scope, reference: Window, dim: str, new: Sequence[str]) -> Iterator[Case]:
    key = ("traffic by value", scope.pair, reference, dim)
    before = once(scope.facts, key, lambda: _traffic(scope, reference, dim))
    known = _largest(before)
    now = _traffic(scope, scope.window, dim)
    if not known:
        return
    since = _first_days(scope, Window(reference.end, scope.window.end), dim)
    ripe = matured(scope)
    for measure in (*MEASURES, *([ERROR] if ripe is not None else [])):
        window, after, usual = scope.window, now, before
        if measure is ERROR and ripe is not None:
            window = ripe.window
            after = _outcomes(scope, window, scope.as_of, dim)
            usual = _outcomes(scope, reference, monday(scope.as_of), dim)
        of_known = [_pairs(usual, value, known, measure) for value in known[:MOST_KNOWN]]
        for value in new:
            days = _pairs(after, value, known, measure)
            if days:
                maturity = ripe.maturity if measure is ERROR and ripe is not None else None
                yield Case(dim, value, measure, since[value], window, days, of_known, maturity)


def _traffic(scope: Scope, window: Window, dim: str) -> pl.DataFrame:
    """Sum by value and day; the value of the whole is the model's version."""
    frame = scope.facts.traffic(window, service=scope.service, model=scope.model, step=DAY, dim=dim)
    sums = sorted({one for measure in MEASURES for one in (measure.hits, measure.rows)})
    return _by_value(frame, "model_version" if dim == VERSION else "value", sums)


def _outcomes(scope: Scope, window: Window, as_of: datetime, dim: str) -> pl.DataFrame:
    if dim == VERSION:
        frame = version_days(scope.facts.store(), scope.pair, window, as_of)
    else:
        frame = scope.facts.quality(scope.service, scope.model, window, as_of, step=DAY, dim=dim)
    return _by_value(frame, "value", [ERROR.hits, ERROR.rows])


def _by_value(frame: pl.DataFrame, value: str, sums: Sequence[str]) -> pl.DataFrame:
    named = frame.select(pl.col(value).alias("value"), "bucket", *sums)
    known = named.filter(pl.col("value").is_not_null() & ~pl.col("value").is_in(["", OTHER]))
    return known.group_by("value", "bucket").agg(pl.col(*sums).sum().cast(pl.Float64)).sort("value", "bucket")


def _largest(frame: pl.DataFrame) -> list[str]:
    summed = frame.group_by("value").agg(pl.col("requests").sum()).filter(pl.col("requests") > 0)
    return summed.sort(["requests", "value"], descending=[True, False])["value"].to_list()


def _first_days(scope: Scope, window: Window, dim: str) -> dict[str, datetime]:
    first = _traffic(scope, window, dim).filter(pl.col("requests") > 0).group_by("value").agg(pl.col("bucket").min())
    return {value: aware(bucket) or bucket for value, bucket in first.iter_rows()}


def _pairs(frame: pl.DataFrame, value: str, known: Sequence[str], measure: Measure) -> list[Pair]:
    """Put a value beside all known ones but itself, day by day."""
    own = pl.col("value") == value
    rest = pl.col("value").is_in(list(known)) & ~own
    by_day = (
        frame.group_by("bucket")
        .agg(
            pl.col(measure.hits).filter(own).sum().alias("own"),
            pl.col(measure.rows).filter(own).sum().alias("own_rows"),
            pl.col(measure.hits).filter(rest).sum().alias("rest"),
            pl.col(measure.rows).filter(rest).sum().alias("rest_rows"),
        )
        .sort("bucket")
        .drop("bucket")
    )
    pairs = [Pair(*day) for day in by_day.iter_rows()]
    return [day for day in pairs if day.both]


def _json(days: Sequence[Pair]) -> list[Json]:
    return [[day.own, day.own_rows, day.rest, day.rest_rows] for day in days]


def _summary(scope: Scope, case: Case, found: Judged) -> str:
    what = f"{case.column or 'version'} {phrases.quoted(case.value)}"
    who = f"{scope.model} of {scope.service}: {what}, which came on {phrases.day(case.since)}, is"
    if case.measure.kind == RATIO:
        return f"{who} {phrases.percent(_said(found.gap, RATIO))} {case.measure.words} than the rest of its days."
    both = pooled(case.now)
    own, rest = both.own / both.own_rows, both.rest / both.rest_rows
    points = f"{100 * found.gap:.1f} points more"
    said = (
        f"{who} {case.measure.words} {phrases.percent(own)}, the rest of its days in {phrases.percent(rest)}: {points}"
    )
    return (
        f"{said}; the worst known value was {100 * found.worst:+.1f} in the reference." if found.worst else f"{said}."
    )


ANALYZER = Newcomer()

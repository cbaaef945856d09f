"""Is the model wrong more often than in the reference, now that outcomes are known?

The error of a window (share wrong; of numbers the mean absolute error) is compared with the reference's days: what
days differ by counts, never the number of rows alone. The window lies as far back as nine of ten outcomes took in the
reference. It is judged only if its maturity is at least ``min_maturity`` of the reference's; until then its reading
is partial. Misleads when the outcomes that come early are not like those that come late, and when the mix of cases
changes: a harder mix is more error without a worse model. Source: Student's t over daily rates, each clipped at three
day-level standard deviations, so that one bad day cannot decide. What is told says where it comes from: a shifted mix,
or a segment (``store.split``). A notice: ``verdict.change`` alerts on errors, within
the budget of false alerts of the whole model; a monitor may make this one louder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean, stdev
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.impact.value import estimate
from watchkeeper.analyzers.intervals import grade, student_tail, wilson
from watchkeeper.analyzers.maturity import (
    DAY,
    MIN_KNOWN,
    inside,
    known,
    outcome_delay,
    quality_days,
    reference_quality_days,
)
from watchkeeper.analyzers.origin import origin
from watchkeeper.analyzers.rows import QualityRow, rows
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Severity, Window
from watchkeeper.store.facts.examples import Wrong

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

CLIP = 3.0
MIN_DAYS = 5
"""Days with known outcomes that the window needs, out of seven; the reference needs twice as many."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Error by day: each is (sum of errors, known outcomes)."""

    days: tuple[tuple[float, int], ...]

    @property
    def known(self) -> int:
        """Known outcomes."""
        return sum(n for _, n in self.days)

    @property
    def rate(self) -> float:
        """Error per known outcome."""
        return math.fsum(error for error, _ in self.days) / self.known

    @property
    def rates(self) -> list[float]:
        """Error per known outcome, day by day."""
        return [error / n for error, n in self.days]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much worse the window is than the reference's days."""

    t: float
    p_value: float
    spread: float


def errors_of(days: Sequence[QualityRow]) -> tuple[str, Errors] | None:
    """Choose the metric that the outcomes allow, and give the error of each day that has any.

    >>> errors_of([QualityRow(10, 8, 6, 2)])
    ('error_rate', Errors(days=((2, 8),)))
    """
    judged = tuple((day.wrong, day.correct + day.wrong) for day in days if day.correct + day.wrong)
    if judged:
        return "error_rate", Errors(judged)
    measured = tuple(
        (day.absolute_error_sum, day.known) for day in days if day.known and day.absolute_error_sum is not None
    )
    return ("mean_absolute_error", Errors(measured)) if measured else None


def compare(now: Errors, reference: Errors) -> Comparison:
    """Compare daily rates: a t value over the spread of the reference's days, with what rows alone would spread.

    >>> usual = Errors(tuple((18 + day % 5, 100) for day in range(28)))
    >>> compare(Errors(((30, 100),) * 7), usual).p_value < 1e-5 < compare(Errors(((22, 100),) * 7), usual).p_value
    True
    """
    usual = reference.rates
    mean = fmean(usual)
    spread = max(stdev(usual), _row_spread(mean, reference.known / len(usual)), 1e-9 * max(abs(mean), 1.0))
    shifts = [min(max((rate - mean) / spread, -CLIP), CLIP) for rate in now.rates]
    t = fmean(shifts) / math.sqrt(1 / len(shifts) + 1 / len(usual))
    return Comparison(t, student_tail(t, len(usual) - 1), spread)


def _row_spread(mean: float, rows_a_day: float) -> float:
    """Give the least spread that daily shares of this many rows can have; 0 for what is no share."""
    return math.sqrt(mean * (1 - mean) / rows_a_day) if 0 < mean < 1 else 0.0


@dataclass(frozen=True, slots=True)
class Case:
    """One model's newest matured window, the one that ended a day before, and the reference."""

    reference: Window
    window: Window
    metric: str
    now: Errors
    before: Errors
    usual: Errors
    maturity: float
    ripe: bool

    @property
    def interval(self) -> tuple[float, float]:
        """Where the error of such days lies, by what days differ by."""
        half = 1.96 * compare(self.now, self.usual).spread / math.sqrt(len(self.now.days))
        lower, upper = self.now.rate - half, self.now.rate + half
        return (max(lower, 0.0), min(upper, 1.0) if self.metric == "error_rate" else upper)


class Matured:
    """Error over the newest seven days whose outcomes are known."""

    name = "quality.matured"
    question = "Is the model wrong more often than in the reference, by the outcomes that are known?"
    every = timedelta(days=1)
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    @property
    def params(self) -> dict[str, Param]:
        """When it alerts, and the segments whose error is read (never alerted on) besides."""
        return {"min_maturity": 0.8, "min_rise": 0.1, "alpha": 1e-4, "segments": []}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every model that has a reference and outcomes."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            case = self._case(scope)
            if case is None:
                continue
            readings.append(self._reading(scope, case))
            readings += self._segment_readings(scope, case)
            if case.ripe:
                judged.add(scope.pair)
                finding = self._finding(scope, case)
                findings += [finding] if finding else []
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the error of the window's days."""
        days = cast("list[tuple[float, int]]", snapshot["now"])
        return Errors(tuple((error, n) for error, n in days)).rate

    def _case(self, scope: Scope) -> Case | None:
        """Read the window and the one that ended a day before, and the reference; None where there is too little."""
        reference = scope.info.reference
        delay = None if reference is None else outcome_delay(scope, reference)
        if reference is None or delay is None:
            return None
        window = Window(scope.window.start - delay, scope.window.end - delay)
        if window.start < reference.end:
            return None
        usual_days = reference_quality_days(scope, reference)
        days = quality_days(scope, Window(window.start - DAY, window.end))
        usual, now = errors_of(usual_days), errors_of(inside(days, window))
        before = errors_of(inside(days, Window(window.start - DAY, window.end - DAY)))
        if usual is None or now is None or before is None or usual[0] != now[0] or len(usual[1].days) < 2 * MIN_DAYS:
            return None
        maturity = known(inside(days, window)).maturity
        ripe = (
            maturity >= scope.settings.number("min_maturity") * known(usual_days).maturity
            and now[1].known >= MIN_KNOWN
            and len(now[1].days) >= MIN_DAYS
        )
        return Case(reference, window, now[0], now[1], before[1], usual[1], maturity, ripe)

    def _finding(self, scope: Scope, case: Case) -> Finding | None:
        """Say where the error is higher by enough, beyond chance, today and as of yesterday."""
        usual = case.usual.rate
        rise = case.now.rate / usual - 1 if usual else math.inf
        latest, earlier = compare(case.now, case.usual), compare(case.before, case.usual)
        if rise < scope.settings.number("min_rise"):
            return None
        if max(latest.p_value, earlier.p_value) >= scope.settings.number("alpha"):
            return None
        snapshot: Snapshot = {
            "now": [[error, n] for error, n in case.now.days],
            "reference": [[error, n] for error, n in case.usual.days],
        }
        observed = self.recompute(snapshot)
        found = origin(scope, case.reference, case.window)
        snapshot |= found.snapshot
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric=case.metric,
            subjects=("error", *found.subjects),
            window=case.window,
            as_of=scope.as_of,
            observed=observed,
            severity=scope.settings.severity_or(Severity.NOTICE),
            summary=phrases.sentence(_summary(scope, case, observed) + found.words),
            evidence=Evidence(
                "t over daily errors",
                case.now.known,
                latest.p_value,
                grade(latest.p_value, case.now.known),
                snapshot,
            ),
            interval=case.interval,
            reference=usual,
            effect=observed - usual,
            unit="share" if case.metric == "error_rate" else "",
            impact=estimate(scope, case.window),
            since=case.window.start,
            maturity=case.maturity,
            examples=scope.examples(Wrong(scope.as_of), case.window),
        )

    def _reading(self, scope: Scope, case: Case) -> Reading:
        lower, upper = case.interval
        return Reading(
            self.name,
            case.metric,
            scope.service,
            scope.model,
            "error",
            case.window,
            scope.as_of,
            case.now.rate,
            lower,
            upper,
            case.now.known,
            case.maturity,
            case.usual.rate,
        )

    def _segment_readings(self, scope: Scope, case: Case) -> list[Reading]:
        """Read the error of each value of the declared segments: shown, never alerted on."""
        readings: list[Reading] = []
        for dim in cast("list[str]", scope.settings.params["segments"]):
            frame = scope.facts.quality(*scope.pair, case.window, scope.as_of, step=None, dim=dim)
            for row in rows(frame, QualityRow):
                found = errors_of([row])
                if found and found[0] == case.metric:
                    readings.append(_segment_reading(scope, case, row, found[1]))
        return readings


def _segment_reading(scope: Scope, case: Case, row: QualityRow, errors: Errors) -> Reading:
    lower, upper = wilson(errors.rate * errors.known, errors.known) if case.metric == "error_rate" else (None, None)
    return Reading(
        ANALYZER.name,
        case.metric,
        scope.service,
        scope.model,
        f"segment:{row.value}",
        case.window,
        scope.as_of,
        errors.rate,
        lower,
        upper,
        errors.known,
        known([row]).maturity,
    )


def _summary(scope: Scope, case: Case, observed: float) -> str:
    if case.metric == "error_rate":
        error = f"is wrong in {phrases.percent(observed)} of its answers, {phrases.percent(case.usual.rate)}"
    else:
        error = f"is off by {phrases.amount(observed)} on average, {phrases.amount(case.usual.rate)}"
    return (
        f"{scope.model} of {scope.service} {error} in the reference ({phrases.day(case.window.start)} to "
        f"{phrases.day(case.window.end - DAY)}, {phrases.percent(case.maturity)} of outcomes known)."
    )


ANALYZER = Matured()

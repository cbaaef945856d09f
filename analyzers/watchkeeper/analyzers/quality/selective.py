"""Is what the model decides by itself still right, and does it still decide as much?

A prediction with a confidence at or above its declared threshold was acted on without a person. Two numbers against the
reference's days: the share decided so (automation rate, of the newest week), and the error among these (of the newest
week whose outcomes are known). A ticket where the error has risen, as nobody looks at these cases; a notice where the
automation rate has moved, up or down. The risk-coverage curve is read beside them: the error among the surest half,
three quarters … of all cases, whatever the threshold. Together at most ``alerts_per_month`` false findings in 30 days.
Misleads where outcomes of automated cases are known less often than others, and where the threshold was moved: then
both numbers move with it, and the sentence says so. Source: Geifman and El-Yaniv (NIPS 2017).

>>> usual = Errors(tuple((20 + day % 5, 400) for day in range(28)))
>>> [surely(compare(Errors(((wrong, 400),) * 7), usual).p_value) < 0.01 for wrong in (60, 23)]
[True, False]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.intervals import Z95, grade
from watchkeeper.analyzers.maturity import MIN_KNOWN, matured, monday
from watchkeeper.analyzers.memo import once
from watchkeeper.analyzers.optional_fields import may_carry
from watchkeeper.analyzers.quality.core.coverage import Curve
from watchkeeper.analyzers.quality.core.gaps import LOOKS, MIN_DAYS
from watchkeeper.analyzers.quality.matured import Errors, compare
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.confident import automated_days, known_days
from watchkeeper.store.facts.examples import Wrong

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

COVERAGES = (0.5, 0.75, 0.9, 1.0)
TESTS = 3
"""The error upwards, the rate upwards and downwards."""


def surely(p_value: float) -> float:
    """Correct a p-value for what is tested beside it, over the overlapping windows of a month."""
    return min(1.0, p_value * TESTS * LOOKS)


@dataclass(frozen=True, slots=True)
class Course:
    """One number by day, in the window and in the reference."""

    metric: str
    window: Window
    now: Errors
    usual: Errors
    maturity: float | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """Where the number of such days lies, by what days differ by."""
        half = Z95 * compare(self.now, self.usual).spread / math.sqrt(len(self.now.days))
        return max(self.now.rate - half, 0.0), min(self.now.rate + half, 1.0)


class Selective:
    """Automation rate, and the error of what was decided without a person."""

    name = "quality.selective"
    question = "Is what the model decides by itself still right, and does it still decide as much?"
    every = timedelta(days=1)
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    @property
    def params(self) -> dict[str, Param]:
        """How small a change is not told, and the budget of false findings."""
        return {"min_rise": 0.02, "min_shift": 0.05, "alerts_per_month": 0.01}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every model whose predictions carry a confidence and a threshold."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            reference = scope.reference
            if reference is None or not may_carry(scope, "confidence_threshold"):
                continue
            made = [_automated(scope, span) for span in (scope.window, reference)]
            if any(frame.height == 0 for frame in made):
                continue
            rate = _course("automation_rate", scope.window, made[0], made[1], "automated", "n")
            known = _known(scope)
            courses = [one for one in (rate, known[0]) if one is not None]
            readings += [_reading(scope, one) for one in courses] + known[1]
            judged |= {scope.pair} if courses else set()
            told = (self._finding(scope, one, _thresholds(made)) for one in courses)
            findings += [one for one in told if one is not None]
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the share over the window's days."""
        return _errors(cast("list[list[float]]", snapshot["now"])).rate

    def _finding(self, scope: Scope, course: Course, thresholds: tuple[float, float]) -> Finding | None:
        """Say where the error has risen, or the rate has moved, surely and by enough."""
        of_rate = course.metric == "automation_rate"
        moved = course.now.rate - course.usual.rate
        rise = compare(course.now, course.usual).p_value
        p_value = surely(min(rise, 1 - rise) if of_rate else rise)
        least = scope.settings.number("min_shift" if of_rate else "min_rise")
        if p_value >= scope.settings.number("alerts_per_month") or (abs(moved) if of_rate else moved) < least:
            return None
        snapshot: Snapshot = {"now": _json(course.now), "reference": _json(course.usual)}
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric=course.metric,
            subjects=("automation",) if of_rate else ("error", "automation"),
            window=course.window,
            as_of=scope.as_of,
            observed=self.recompute(snapshot),
            severity=scope.settings.severity_or(Severity.NOTICE if of_rate else Severity.TICKET),
            summary=phrases.sentence(_summary(scope, course, thresholds)),
            evidence=Evidence(
                "t over daily shares", course.now.known, p_value, grade(p_value, course.now.known), snapshot
            ),
            interval=course.interval,
            reference=course.usual.rate,
            effect=moved,
            unit="share",
            since=course.window.start,
            maturity=course.maturity,
            examples=() if of_rate else scope.examples(Wrong(scope.as_of), course.window),
        )


def _automated(scope: Scope, span: Window) -> pl.DataFrame:
    key = ("automated days", scope.pair, span)
    return once(scope.facts, key, lambda: automated_days(scope.facts.store(), scope.pair, span))


def _known(scope: Scope) -> tuple[Course | None, list[Reading]]:
    """Give the error of what was decided without a person, and the readings of the risk-coverage curve."""
    ripe = matured(scope)
    if ripe is None:
        return None, []
    reference, window = ripe.reference, ripe.window
    store = scope.facts.store()
    now = known_days(store, scope.pair, window, scope.as_of)
    usual = known_days(store, scope.pair, reference, monday(scope.as_of))
    automated = [
        frame.filter("automated").group_by("day").agg(pl.col("judged", "wrong").sum()) for frame in (now, usual)
    ]
    course = _course("selective_error", window, automated[0].sort("day"), automated[1].sort("day"), "wrong", "judged")
    course = None if course is None else replace(course, maturity=ripe.maturity)
    if min(now["judged"].sum(), usual["judged"].sum()) < MIN_KNOWN:
        return course, []
    curve, before = _curve(now), _curve(usual)
    rows = int(now["judged"].sum())
    found = [("aurc", "all coverages", curve.area(), before.area())] + [
        ("risk_at_coverage", f"coverage {phrases.percent(share)}", curve.risk(share), before.risk(share))
        for share in COVERAGES
    ]
    return course, [
        Reading(
            ANALYZER.name,
            metric,
            *scope.pair,
            subject,
            window,
            scope.as_of,
            value,
            n=rows,
            maturity=ripe.maturity,
            reference=reference,
        )
        for metric, subject, value, reference in found
    ]


def _curve(frame: pl.DataFrame) -> Curve:
    return Curve.of(*(frame[name].cast(pl.Float64).to_numpy() for name in ("bin", "judged", "wrong")))


def _course(metric: str, window: Window, now: pl.DataFrame, usual: pl.DataFrame, hits: str, rows: str) -> Course | None:
    """Put days side by side; None with too few of them, or too few rows."""
    both = [_errors(frame.select(hits, rows).rows()) for frame in (now, usual)]
    if len(both[0].days) < MIN_DAYS or len(both[1].days) < 2 * MIN_DAYS or min(one.known for one in both) < MIN_KNOWN:
        return None
    return Course(metric, window, both[0], both[1])


def _errors(days: Sequence[Sequence[float]]) -> Errors:
    return Errors(tuple((hits, int(rows)) for hits, rows in days if rows))


def _json(errors: Errors) -> list[Json]:
    return [[hits, rows] for hits, rows in errors.days]


def _reading(scope: Scope, course: Course) -> Reading:
    lower, upper = course.interval
    return Reading(
        ANALYZER.name, course.metric, *scope.pair, "automation", course.window, scope.as_of, course.now.rate,
        lower, upper, n=course.now.known, maturity=course.maturity, reference=course.usual.rate,
    )  # fmt: skip


def _thresholds(made: Sequence[pl.DataFrame]) -> tuple[float, float]:
    now, usual = (float(np.average(frame["threshold"].to_numpy(), weights=frame["n"].to_numpy())) for frame in made)
    return now, usual


def _summary(scope: Scope, course: Course, thresholds: tuple[float, float]) -> str:
    now, usual = phrases.percent(course.now.rate), phrases.percent(course.usual.rate)
    what = (
        f"decides {now} by itself"
        if course.metric == "automation_rate"
        else f"is wrong in {now} of what it decides by itself"
    )
    moved = ""
    if abs(thresholds[0] - thresholds[1]) > 0.005:
        moved = f"; its threshold went from {thresholds[1]:.2f} to {thresholds[0]:.2f}"
    return f"{scope.model} of {scope.service} {what}, {usual} in the reference{moved}."


ANALYZER = Selective()

"""Is there a part of the traffic, declared by nobody, that the model fails more often than it did?

All conjunctions of up to two conditions over segments and features (values; quarters of a number's range) are searched
in a bounded sample of the newest week whose outcomes are known, against the reference and against the rest of the same
days. A notice names the slices that got worse beyond chance, corrected over all that were searched: at most
``alerts_per_month`` false ones in 30 days. It stands beside what ``verdict.change`` alerts on, and says where to look.
Slices with fewer than ``min_rows`` known outcomes are refused and counted; rare values are pooled as ``(other)``.
Protected attributes are no conditions. Misleads where a slice is only near the one that is at fault: look at its
neighbours. Only right or wrong answers are searched, not errors of numbers. Source: see ``core/slices.py``.

>>> rng = np.random.default_rng(1)
>>> day = np.arange(21_000) // 1000
>>> frame = pl.DataFrame({"site": rng.choice(["a", "b", "c"], 21_000), "load": rng.random(21_000)})
>>> bad = (day >= 14) & (frame["site"] == "b").to_numpy() & (frame["load"] > 0.75).to_numpy()
>>> cases = Cases(rng.random(21_000) < np.where(bad, 0.5, 0.1), day >= 14, day)
>>> search(conditions(frame, day < 14), cases, 100).found[0].words.split(" & ")[0]
'site=b'
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.intervals import grade, wilson
from watchkeeper.analyzers.maturity import matured
from watchkeeper.analyzers.quality.core.conditions import conditions
from watchkeeper.analyzers.quality.core.gaps import LOOKS, pooled
from watchkeeper.analyzers.quality.core.slices import Cases, Search, Slice, search
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.raw_rows import FeatureColumn, feature_columns, outcome_rows

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

MOST_ROWS = 20_000
MOST_COLUMNS = 30


@dataclass(frozen=True, slots=True)
class Case:
    """What was searched, in which window."""

    window: Window
    search: Search
    maturity: float


class Slices:
    """A bounded search for slices that got worse."""

    name = "quality.slices"
    question = "Is there a part of the traffic, declared by nobody, that the model fails more often than it did?"
    every = timedelta(days=7)
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    @property
    def params(self) -> dict[str, Param]:
        """How few rows, and how small a rise against the rest, are not told; the budget of false notices."""
        return {"min_rows": 100, "min_rise": 0.05, "alerts_per_month": 0.01}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Search every model with outcomes."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            case = _case(scope)
            if case is None:
                continue
            judged.add(scope.pair)
            readings += _readings(scope, case)
            told = (self._finding(scope, case, one) for one in case.search.found)
            findings += [one for one in told if one is not None]
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the error of the slice over the window's days."""
        days = cast("list[list[float]]", snapshot["now"])
        return math.fsum(day[0] for day in days) / math.fsum(day[1] for day in days)

    def _finding(self, scope: Scope, case: Case, one: Slice) -> Finding | None:
        p_value = min(1.0, one.p_value * LOOKS)
        rise = one.change.gap - one.change.usual
        if p_value >= scope.settings.number("alerts_per_month") or rise < scope.settings.number("min_rise"):
            return None
        snapshot: Snapshot = {"now": _json(one, now=True), "reference": _json(one, now=False)}
        error, usual = one.rates
        rows = int(pooled(one.now).own_rows)
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric="slice_error",
            subjects=(f"segment:{one.words}", "error"),
            window=case.window,
            as_of=scope.as_of,
            observed=self.recompute(snapshot),
            severity=scope.settings.severity_or(Severity.NOTICE),
            summary=phrases.sentence(
                f"{scope.model} of {scope.service} is wrong in {phrases.percent(error)} where {one.words}, "
                f"{phrases.percent(usual)} in the reference; found among {case.search.tested:,} slices."
            ),
            evidence=Evidence("t over daily gaps, all slices", rows, p_value, grade(p_value, rows), snapshot),
            interval=_interval(one),
            reference=usual,
            effect=error - usual,
            unit="share",
            since=case.window.start,
            maturity=case.maturity,
        )


def _case(scope: Scope) -> Case | None:
    ripe = matured(scope)
    if ripe is None:
        return None
    reference, window = ripe.reference, ripe.window
    store, delay = scope.facts.store(), scope.window.end - window.end
    columns = _columns(scope, reference, window)
    if not columns:
        return None
    frames = [
        outcome_rows(store, scope.pair, span, columns, delay, _keep(scope, span)).drop_nulls("correct").sort("ts")
        for span in (reference, window)
    ]
    least = round(scope.settings.number("min_rows"))
    if min(frame.height for frame in frames) < 2 * least:
        return None
    frame = pl.concat(frames)
    now = np.arange(frame.height) >= frames[0].height
    given = frame.select(pl.col(one.column).alias(f"{one.role}:{one.name}") for one in columns)
    named = given.rename({f"{one.role}:{one.name}": _name(one, columns) for one in columns})
    days = frame["ts"].dt.epoch("d").cast(pl.Int64).to_numpy()
    wrong = (~frame["correct"]).to_numpy()
    return Case(window, search(conditions(named, ~now), Cases(wrong, now, days), least), ripe.maturity)


def _columns(scope: Scope, reference: Window, window: Window) -> list[FeatureColumn]:
    """Give the segments first, then the features, each in one type all along; none that is protected."""
    hidden = scope.declared.protected_of(scope.service)
    every = feature_columns(scope.facts.store(), scope.pair, window.end)
    usable = [one for one in every if one.name not in hidden and one.holds(reference) and one.holds(window)]
    return sorted(usable, key=lambda one: (one.role != "segment", one.name))[:MOST_COLUMNS]


def _name(one: FeatureColumn, columns: list[FeatureColumn]) -> str:
    """Call a feature by its name, unless a segment has the same."""
    twice = sum(other.name == one.name for other in columns) > 1
    return f"{one.name} (input)" if twice and one.role != "segment" else one.name


def _keep(scope: Scope, window: Window) -> float:
    made = scope.facts.traffic(window, service=scope.service, model=scope.model)["requests"].sum()
    return min(1.0, MOST_ROWS / max(float(made), 1.0))


def _json(one: Slice, *, now: bool) -> list[Json]:
    days = one.now if now else one.usual
    return [[day.own, day.own_rows, day.rest, day.rest_rows] for day in days if day.own_rows]


def _interval(one: Slice) -> tuple[float, float]:
    both = pooled(one.now)
    return wilson(both.own / one.change.widening, both.own_rows / one.change.widening)


def _readings(scope: Scope, case: Case) -> list[Reading]:
    about = (case.window, scope.as_of)
    found = case.search
    counts = [
        Reading(ANALYZER.name, metric, *scope.pair, "all slices", *about, float(value))
        for metric, value in (("slices_searched", found.tested), ("slices_refused", found.refused))
    ]
    return counts + [
        Reading(
            ANALYZER.name,
            "slice_error",
            *scope.pair,
            f"segment:{one.words}",
            *about,
            one.rates[0],
            *_interval(one),
            n=int(pooled(one.now).own_rows),
            maturity=case.maturity,
            reference=one.rates[1],
        )
        for one in found.found
    ]


ANALYZER = Slices()

"""Are the groups of a protected attribute treated, or failed, more unequally than in the reference?

Of every segment and every feature of text that a system declares as ``protected``: each group against all others, in
the share that the model said yes to, the share that it got wrong, and, of yes/no predictions, the shares of false
alarms and of misses. Each gap has Newcombe's interval; a group with fewer than ``min_rows`` rows is not judged, and
said to be too small. A ticket where a gap is wider than the reference's, beyond what days differ by: at most
``alerts_per_month`` false ones in 30 days over all groups, gaps and days (Bonferroni). A gap that was always there is
read, not told. Misleads where groups differ in what they ask for: a gap is no proof of unfairness, nor its absence of
fairness. Nothing here names a row.
Sources: Hardt, Price and Srebro, Equality of Opportunity in Supervised Learning (NIPS 2016); Newcombe (1998).

>>> usual = [Pair(30 + day % 3, 100, 300, 1000) for day in range(14)]
>>> change = compare([Pair(12, 100, 300, 1000)] * 7, usual)
>>> round(change.gap, 2), round(change.usual, 2), change.p_value < 1e-6
(-0.18, 0.01, True)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import polars as pl

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.intervals import grade
from watchkeeper.analyzers.maturity import matured, monday
from watchkeeper.analyzers.quality.core.gaps import LOOKS, Change, Pair, compare, newcombe, pooled
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.groups import judged_days, selected_days
from watchkeeper.store.facts.raw_rows import FeatureColumn, feature_columns

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

MOST_GROUPS = 20
"""The largest groups of an attribute are compared, the others belong to the rest of each."""
GAPS: Mapping[str, tuple[str, str, str]] = {
    "selection_gap": ("selected", "n", "said yes to"),
    "error_gap": ("wrong", "judged", "wrong"),
    "false_positive_gap": ("false_positive", "negative", "wrongly said yes to"),
    "false_negative_gap": ("false_negative", "positive", "missed"),
}
"""Each gap: what is counted, out of what, and what people call it."""


@dataclass(frozen=True, slots=True)
class Case:
    """One gap of one group: its days in the window and in the reference."""

    metric: str
    subject: str
    window: Window
    now: list[Pair]
    usual: list[Pair]
    maturity: float | None = None

    @property
    def rows(self) -> int:
        """The smaller side of the window: a gap is no surer than that."""
        both = pooled(self.now)
        return int(min(both.own_rows, both.rest_rows))


class Fairness:
    """Gaps between each group of a protected segment and all others."""

    name = "quality.fairness"
    question = "Are the groups of a protected attribute treated, or failed, more unequally than in the reference?"
    every = timedelta(days=1)
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    @property
    def params(self) -> dict[str, Param]:
        """How few rows and how small a widening are not judged, and the budget of false alerts."""
        return {"min_rows": 100, "min_widening": 0.05, "alerts_per_month": 0.01}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every model whose system declares a protected segment."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            cases = list(_cases(scope))
            tested = [(case, change) for case in cases if (change := self._judged(scope, case)) is not None]
            readings += [reading for case in cases for reading in self._read(scope, case)]
            findings += [
                finding for case, change in tested if (finding := self._finding(scope, case, change, len(tested)))
            ]
            judged |= {scope.pair} if tested else set()
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the gap of the window's days."""
        return pooled([Pair(*day) for day in cast("list[list[float]]", snapshot["now"])]).gap

    def _judged(self, scope: Scope, case: Case) -> Change | None:
        few = min(case.rows, _rows(case.usual)) < scope.settings.number("min_rows")
        return None if few else compare(case.now, case.usual)

    def _read(self, scope: Scope, case: Case) -> Iterator[Reading]:
        """Read a gap with its interval; of a group that is too small only how many rows it would take."""
        least = scope.settings.number("min_rows")
        if case.rows < least:
            yield Reading(
                self.name, f"{case.metric}_needs_rows", *scope.pair, case.subject, case.window, scope.as_of, least
            )
            return
        change = self._judged(scope, case)
        both = pooled(case.now)
        lower, upper = newcombe(both, 1.0 if change is None else change.widening)
        usual = None if change is None else change.usual
        yield Reading(
            self.name, case.metric, *scope.pair, case.subject, case.window, scope.as_of, both.gap, lower, upper,
            n=case.rows, maturity=case.maturity, reference=usual,
        )  # fmt: skip

    def _finding(self, scope: Scope, case: Case, change: Change, tests: int) -> Finding | None:
        """Say where a gap is wider than it was, surely and by enough."""
        p_value = min(1.0, change.p_value * tests * LOOKS)
        widened = abs(change.gap) - abs(change.usual)
        if p_value >= scope.settings.number("alerts_per_month") or widened < scope.settings.number("min_widening"):
            return None
        snapshot: Snapshot = {"now": _json(case.now), "reference": _json(case.usual)}
        observed = self.recompute(snapshot)
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric=case.metric,
            subjects=(case.subject, "fairness"),
            window=case.window,
            as_of=scope.as_of,
            observed=observed,
            severity=scope.settings.severity_or(Severity.TICKET),
            summary=phrases.sentence(_summary(scope, case, change)),
            evidence=Evidence("t over daily gaps", case.rows, p_value, grade(p_value, case.rows), snapshot),
            interval=change.interval(pooled(case.now)),
            reference=change.usual,
            effect=change.gap - change.usual,
            unit="share",
            since=case.window.start,
            maturity=case.maturity,
        )


def _summary(scope: Scope, case: Case, change: Change) -> str:
    both = pooled(case.now)
    own, rest = both.own / both.own_rows, both.rest / both.rest_rows
    return (
        f"{scope.model} of {scope.service}: {case.subject.removeprefix('segment:')} is {GAPS[case.metric][2]} in "
        f"{phrases.percent(own)}, all others in {phrases.percent(rest)}: a gap of {_points(change.gap)}, "
        f"{_points(change.usual)} in the reference."
    )


def _points(gap: float) -> str:
    return f"{100 * gap:+.1f} points"


def _rows(days: Sequence[Pair]) -> float:
    both = pooled(days)
    return min(both.own_rows, both.rest_rows)


def _json(days: Sequence[Pair]) -> list[Json]:
    return [[day.own, day.own_rows, day.rest, day.rest_rows] for day in days]


def _cases(scope: Scope) -> Iterator[Case]:
    """Count each gap of each group: what was said in the newest window, what was wrong in the matured one."""
    reference, protected = scope.reference, scope.declared.protected_of(scope.service)
    if reference is None or not protected:
        return
    store = scope.facts.store()
    columns = _columns(feature_columns(store, scope.pair, scope.window.end), protected)
    if not columns:
        return
    said = [selected_days(store, scope.pair, span, columns) for span in (scope.window, reference)]
    yield from _of(("selection_gap",), scope.window, columns, said[0], said[1])
    ripe = matured(scope)
    if ripe is not None:
        now = judged_days(store, scope.pair, ripe.window, scope.as_of, columns)
        usual = judged_days(store, scope.pair, reference, monday(scope.as_of), columns)
        for case in _of(tuple(GAPS)[1:], ripe.window, columns, now, usual):
            yield replace(case, maturity=ripe.maturity)


def _columns(every: Sequence[FeatureColumn], protected: Collection[str]) -> list[FeatureColumn]:
    """Choose what groups can be told apart by: segments, and features of text; a name that is both counts once."""
    grouped = [one for one in every if one.name in protected and (one.role == "segment" or one.kind == "category")]
    segments = {one.name for one in grouped if one.role == "segment"}
    return [one for one in grouped if one.role == "segment" or one.name not in segments]


def _of(
    metrics: Sequence[str], window: Window, columns: Sequence[FeatureColumn], now: pl.DataFrame, usual: pl.DataFrame
) -> Iterator[Case]:
    for metric in metrics:
        hits, rows, _ = GAPS[metric]
        for column in columns:
            after, before = (frame.filter(dim=column.name) for frame in (now, usual))
            largest = before.group_by("value").agg(pl.col(rows).sum()).sort([rows, "value"], descending=[True, False])
            values = largest.head(MOST_GROUPS)["value"].to_list()
            for value in (
                values if len(values) != 2 else values[1:]
            ):  # of two groups, each is the other's gap turned round
                days = [_pairs(frame, str(value), hits, rows) for frame in (after, before)]
                if _rows(days[0]) > 0 and _rows(days[1]) > 0:
                    yield Case(metric, f"segment:{column.name}={value}", window, days[0], days[1])


def _pairs(frame: pl.DataFrame, value: str, hits: str, rows: str) -> list[Pair]:
    own = pl.col("value") == value
    by_day = (
        frame.group_by("day")
        .agg(
            pl.col(hits).filter(own).sum().alias("own"), pl.col(rows).filter(own).sum().alias("own_rows"),
            pl.col(hits).filter(~own).sum().alias("rest"), pl.col(rows).filter(~own).sum().alias("rest_rows"),
        )
        .sort("day")
        .select(pl.exclude("day").cast(pl.Float64))
    )  # fmt: skip
    return [Pair(*day) for day in by_day.iter_rows()]


ANALYZER = Fairness()

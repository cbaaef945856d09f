"""Does what turns out to be relevant still stand where it was ranked?

Of predictions that carry a ``ranking`` (items, the best first) and whose outcome says what was relevant (an item; JSON
of a list, or of relevance by item). NDCG@k with linear gains, the reciprocal rank of the first relevant item (MRR) and
precision@k, of the newest week whose outcomes are known, against the reference's days. A ticket where NDCG has fallen
by ``min_fall`` and beyond what days differ by: at most ``alerts_per_month`` false ones in 30 days. Rankings of which
nothing turned out relevant are left out, and their share is read. Misleads where only what was shown high can turn out
relevant (position bias): then a bad order looks good. Reads at most some 5,000 rankings a window.
Source: Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20 (2002) 422.

>>> found = scored(["b", "a", "c"], {"a": 2.0, "c": 1.0}, k=2)
>>> round(found.ndcg, 3), found.reciprocal, found.precision
(0.48, 0.5, 0.5)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import polars as pl

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.intervals import Z95, grade
from watchkeeper.analyzers.maturity import MIN_KNOWN, matured, monday
from watchkeeper.analyzers.optional_fields import may_carry
from watchkeeper.analyzers.quality.core.gaps import LOOKS, MIN_DAYS
from watchkeeper.analyzers.quality.matured import Errors, compare
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.examples import LIMIT
from watchkeeper.store.facts.ranked import items_of, ranked_rows, relevance_of

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

MOST_ROWS = 5_000
MEASURES = ("ndcg", "reciprocal", "precision")


@dataclass(frozen=True, slots=True)
class Scored:
    """How good one ranking was, by three measures."""

    ndcg: float
    reciprocal: float
    precision: float


def scored(items: Sequence[str], relevance: Mapping[str, float], k: int) -> Scored:
    """Score a ranking by what turned out relevant (something did)."""
    gains = [relevance.get(item, 0.0) for item in items[:k]]
    best = sorted(relevance.values(), reverse=True)[:k]
    first = next((place for place, item in enumerate(items, 1) if item in relevance), None)
    return Scored(
        _discounted(gains) / _discounted(best),
        1 / first if first else 0.0,
        sum(gain > 0 for gain in gains) / k,
    )


def _discounted(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(place + 2) for place, gain in enumerate(gains))


@dataclass(frozen=True, slots=True)
class Week:
    """Rankings of a window: losses (1 less the measure) by day, the share with anything relevant, and the worst."""

    losses: Mapping[str, Errors]
    relevant: float
    worst: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """The newest matured week and the reference."""

    window: Window
    k: int
    now: Week
    usual: Week
    maturity: float

    def name(self, measure: str) -> str:
        """Give the name of a measure's readings."""
        return "mrr" if measure == "reciprocal" else f"{measure}_at_{self.k}"

    def interval(self, measure: str) -> tuple[float, float]:
        """Where the measure of such days lies, by what days differ by."""
        now = self.now.losses[measure]
        half = Z95 * compare(now, self.usual.losses[measure]).spread / math.sqrt(len(now.days))
        return max(1 - now.rate - half, 0.0), min(1 - now.rate + half, 1.0)


class Ranking:
    """NDCG, MRR and precision of rankings."""

    name = "quality.ranking"
    question = "Does what turns out to be relevant still stand where it was ranked?"
    every = timedelta(days=1)
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    @property
    def params(self) -> dict[str, Param]:
        """How many places count, how small a fall is not told, and the budget of false alerts."""
        return {"k": 10, "min_fall": 0.03, "alerts_per_month": 0.01}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every model whose predictions are rankings."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            case = _case(scope)
            if case is None:
                continue
            judged.add(scope.pair)
            readings += _readings(scope, case)
            finding = self._finding(scope, case)
            findings += [finding] if finding else []
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the NDCG of the window's days."""
        days = cast("list[list[float]]", snapshot["now"])
        return 1 - Errors(tuple((loss, int(rows)) for loss, rows in days)).rate

    def _finding(self, scope: Scope, case: Case) -> Finding | None:
        now, usual = case.now.losses["ndcg"], case.usual.losses["ndcg"]
        p_value = min(1.0, compare(now, usual).p_value * LOOKS)
        fallen = now.rate - usual.rate
        if p_value >= scope.settings.number("alerts_per_month") or fallen < scope.settings.number("min_fall"):
            return None
        snapshot: Snapshot = {
            "now": [list[Json](day) for day in now.days],
            "reference": [list[Json](day) for day in usual.days],
        }
        observed = self.recompute(snapshot)
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric=case.name("ndcg"),
            subjects=("ranking",),
            window=case.window,
            as_of=scope.as_of,
            observed=observed,
            severity=scope.settings.severity_or(Severity.TICKET),
            summary=phrases.sentence(
                f"{scope.model} of {scope.service} ranks worse: NDCG@{case.k} is {observed:.3f} over {now.known:,} "
                f"rankings, {1 - usual.rate:.3f} in the reference."
            ),
            evidence=Evidence("t over daily losses", now.known, p_value, grade(p_value, now.known), snapshot),
            interval=case.interval("ndcg"),
            reference=1 - usual.rate,
            effect=-fallen,
            since=case.window.start,
            maturity=case.maturity,
            examples=case.now.worst,
        )


def _case(scope: Scope) -> Case | None:
    ripe = matured(scope)
    if ripe is None or not may_carry(scope, "extra", ripe.window):
        return None
    reference, window = ripe.reference, ripe.window
    k = max(1, int(scope.settings.number("k")))
    now = _week(scope, window, scope.as_of, k)
    usual = None if now is None else _week(scope, reference, monday(scope.as_of), k)
    if now is None or usual is None or len(usual.losses["ndcg"].days) < 2 * MIN_DAYS:
        return None
    return Case(window, k, now, usual, ripe.maturity)


def _week(scope: Scope, window: Window, as_of: datetime, k: int) -> Week | None:
    """Score the rankings of a window; None where there are too few."""
    made = scope.facts.traffic(window, service=scope.service, model=scope.model)["requests"].sum()
    keep = min(1.0, MOST_ROWS / max(float(made), 1.0))
    rows = ranked_rows(scope.facts.store(), scope.pair, window, as_of, keep)
    found: list[tuple[str, datetime, float, float, float]] = []
    for identity, day, ranking, value in rows.iter_rows():
        relevance = relevance_of(value)
        if relevance:
            one = scored(items_of(ranking), relevance, k)
            found.append((identity, day, 1 - one.ndcg, 1 - one.reciprocal, 1 - one.precision))
    losses = pl.DataFrame(found, schema=["id", "day", *MEASURES], orient="row")
    if losses.height < MIN_KNOWN or losses["day"].n_unique() < MIN_DAYS:
        return None
    worst = losses.sort("ndcg", "day", "id", descending=[True, True, False])["id"].head(LIMIT)
    return Week(
        {name: _by_day(losses, name) for name in MEASURES},
        losses.height / rows.height,
        tuple(worst.to_list()),
    )


def _by_day(losses: pl.DataFrame, name: str) -> Errors:
    """Sum up each day exactly: the same rows in any order give the same sum."""
    days = losses.group_by("day").agg(pl.col(name)).sort("day")[name].to_list()
    return Errors(tuple((math.fsum(day), len(day)) for day in days))


def _readings(scope: Scope, case: Case) -> list[Reading]:
    about = (*scope.pair, "ranking", case.window, scope.as_of)
    found: list[Reading] = []
    for measure in MEASURES:
        now, usual = case.now.losses[measure], case.usual.losses[measure]
        ends = case.interval(measure)
        found.append(
            Reading(ANALYZER.name, case.name(measure), *about, 1 - now.rate, *ends, now.known, reference=1 - usual.rate)
        )
    share = case.now.relevant
    found.append(Reading(ANALYZER.name, "relevant_share", *about, share, reference=case.usual.relevant))
    return [replace(one, maturity=case.maturity) for one in found]


ANALYZER = Ranking()

"""Does the model decide for other reasons than in the reference?

Of predictions with ``reason_codes``: the share that gives each code. Of those that carry ``attributions`` (an object of
numbers by input, such as SHAP values): each input's mean share of all that was attributed, and how well the reference's
order of inputs still fits (NDCG, 1 at best). Days against the reference's days; a notice where a share has moved by
``min_shift`` and beyond chance, corrected over all codes and inputs: at most ``alerts_per_month`` false ones in 30
days. Never louder: other reasons with the same errors harm nobody, and errors are watched by ``verdict.change``. Reads
at most some 20,000 rows a window. Misleads where attributions come from another method or background than before.
Source of the NDCG: feature attribution drift as in Amazon SageMaker Clarify, which calls below 0.90 a drift.

>>> reference, now = {"age": 0.6, "amount": 0.3, "city": 0.1}, {"age": 0.1, "amount": 0.2, "city": 0.7}
>>> round(ndcg(now, reference), 2), ndcg(reference, reference)
(0.7, 1.0)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import polars as pl

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.intervals import Z95, grade
from watchkeeper.analyzers.optional_fields import may_carry
from watchkeeper.analyzers.quality.core.gaps import LOOKS, MIN_DAYS
from watchkeeper.analyzers.quality.matured import Comparison, Errors, compare
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.reasons import attribution_days, code_days

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

MOST_ROWS = 20_000
MOST_READ, MOST_TOLD = 20, 3
BOTH_WAYS = 2
CODE, INPUT = "reason", "attribution"
Read = Callable[[FactStore, tuple[str, str], Window, float], pl.DataFrame]
READS: Mapping[str, tuple[Read, str]] = {CODE: (code_days, "reason_codes"), INPUT: (attribution_days, "extra")}
"""How each is read, and the field that it comes in."""


@dataclass(frozen=True, slots=True)
class Part:
    """One code, or one input: its share by day, in the window and in the reference."""

    kind: str
    name: str
    now: Errors
    usual: Errors

    @property
    def subject(self) -> str:
        """What readings and findings call it."""
        return f"{self.kind}:{self.name}"

    @property
    def moved(self) -> float:
        """Share now less that of the reference."""
        return self.now.rate - self.usual.rate

    @property
    def comparison(self) -> Comparison:
        """How far it moved against what days differ by."""
        return compare(self.now, self.usual)

    @property
    def p_value(self) -> float:
        """How likely a share moves this far, up or down, where nothing has changed."""
        rise = self.comparison.p_value
        return min(1.0, BOTH_WAYS * min(rise, 1 - rise))


def ndcg(now: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """Give how well the order of inputs now still ranks them by what they counted in the reference."""
    order = sorted(reference, key=lambda name: (-now.get(name, 0.0), name))
    ideal = sorted(reference.values(), reverse=True)
    best = math.fsum(value / math.log2(place + 2) for place, value in enumerate(ideal))
    gained = math.fsum(reference[name] / math.log2(place + 2) for place, name in enumerate(order))
    return gained / best if best else 1.0


class Reasons:
    """Shares of reason codes and of attributions."""

    name = "drift.reasons"
    question = "Does the model decide for other reasons than in the reference?"
    every = timedelta(days=1)
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    @property
    def params(self) -> dict[str, Param]:
        """How few rows, and how small a move, are not told; the budget of false notices."""
        return {"min_rows": 200, "min_shift": 0.05, "alerts_per_month": 0.01}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every model whose predictions say why."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            parts = _parts(scope)
            if not parts:
                continue
            judged.add(scope.pair)
            readings += _readings(scope, parts)
            ranked = sorted(parts, key=lambda part: (part.p_value, part.subject))[:MOST_TOLD]
            told = (self._finding(scope, part, len(parts)) for part in ranked)
            findings += [one for one in told if one is not None]
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the share over the window's days."""
        days = cast("list[list[float]]", snapshot["now"])
        return Errors(tuple((total, int(rows)) for total, rows in days)).rate

    def _finding(self, scope: Scope, part: Part, tests: int) -> Finding | None:
        p_value = min(1.0, part.p_value * tests * LOOKS)
        if p_value >= scope.settings.number("alerts_per_month"):
            return None
        if abs(part.moved) < scope.settings.number("min_shift"):
            return None
        snapshot: Snapshot = {
            "now": [list[Json](day) for day in part.now.days],
            "reference": [list[Json](day) for day in part.usual.days],
        }
        what = "is given for" if part.kind == CODE else "makes up"
        whole = "of the decisions" if part.kind == CODE else "of the attributions"
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric=f"{part.kind}_share",
            subjects=(part.subject,),
            window=scope.window,
            as_of=scope.as_of,
            observed=self.recompute(snapshot),
            severity=scope.settings.severity_or(Severity.NOTICE),
            summary=phrases.sentence(
                f"{phrases.quoted(part.name)} {what} {phrases.percent(part.now.rate)} {whole} of {scope.model} of "
                f"{scope.service}, {phrases.percent(part.usual.rate)} in the reference."
            ),
            evidence=Evidence("t over daily shares", part.now.known, p_value, grade(p_value, part.now.known), snapshot),
            interval=_interval(part),
            reference=part.usual.rate,
            effect=part.moved,
            unit="share",
            since=scope.window.start,
        )


def _parts(scope: Scope) -> list[Part]:
    reference = scope.reference
    if reference is None:
        return []
    store, found = scope.facts.store(), list[Part]()
    for kind, (read, field) in READS.items():
        if not may_carry(scope, field):
            continue
        now = read(store, scope.pair, scope.window, _keep(scope, scope.window))
        if now.height == 0:
            continue
        usual = read(store, scope.pair, reference, _keep(scope, reference))
        days = (now["day"].n_unique(), usual["day"].n_unique())
        rows = min(_rows(now), _rows(usual))
        if days[0] < MIN_DAYS or days[1] < 2 * MIN_DAYS or rows < scope.settings.number("min_rows"):
            continue
        names = sorted({*now["name"].to_list(), *usual["name"].to_list()})
        found += [Part(kind, name, _days(now, name), _days(usual, name)) for name in names]
    return found


def _keep(scope: Scope, window: Window) -> float:
    made = scope.facts.traffic(window, service=scope.service, model=scope.model)["requests"].sum()
    return min(1.0, MOST_ROWS / max(float(made), 1.0))


def _rows(frame: pl.DataFrame) -> int:
    return int(frame.unique("day")["rows"].sum())


def _days(frame: pl.DataFrame, name: str) -> Errors:
    """Give the share of one name on every day; on days that lack it, none."""
    sums = {day: float(total) for day, total in frame.filter(name=name).select("day", "sum").iter_rows()}
    rows = frame.unique("day").sort("day").select("day", "rows").iter_rows()
    return Errors(tuple((sums.get(day, 0.0), int(n)) for day, n in rows))


def _interval(part: Part) -> tuple[float, float]:
    half = Z95 * part.comparison.spread / math.sqrt(len(part.now.days))
    return max(part.now.rate - half, 0.0), min(part.now.rate + half, 1.0)


def _readings(scope: Scope, parts: list[Part]) -> list[Reading]:
    """Read the largest shares, and the order of the inputs."""
    found: list[Reading] = []
    for kind in READS:
        mine = [part for part in parts if part.kind == kind]
        largest = sorted(mine, key=lambda part: (-max(part.now.rate, part.usual.rate), part.name))[:MOST_READ]
        for part in largest:
            lower, upper = _interval(part)
            found.append(
                Reading(
                    ANALYZER.name,
                    f"{kind}_share",
                    *scope.pair,
                    part.subject,
                    scope.window,
                    scope.as_of,
                    part.now.rate,
                    lower,
                    upper,
                    n=part.now.known,
                    reference=part.usual.rate,
                )
            )
        if kind == INPUT and mine:
            order = ndcg({part.name: part.now.rate for part in mine}, {part.name: part.usual.rate for part in mine})
            found.append(
                Reading(
                    ANALYZER.name,
                    "attribution_ndcg",
                    *scope.pair,
                    "all inputs",
                    scope.window,
                    scope.as_of,
                    order,
                    n=mine[0].now.known,
                    reference=1.0,
                )
            )
    return found


ANALYZER = Reasons()

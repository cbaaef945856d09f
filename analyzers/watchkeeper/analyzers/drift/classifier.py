"""Have the inputs moved together in a way that none of them shows alone?

A linear classifier is trained to tell some 4,000 rows of the newest week from as many of the reference, and judged on
days that it has not seen: its AUC is 0.5 where nothing has moved. Places, squares and products of numbers are its
columns, so that it sees a changed connection between two inputs where each looks as before. The inputs are ranked by
their part in what it learned. A notice, never louder: seasons are told apart too, and most of what moves harms nothing
(``verdict.change`` decides that). At most ``alerts_per_month`` false ones in 30 days. Misleads where the reference's
days have few rows left (retention), and sees no products with categories, nor those beyond sixteen numbers. Costs about
a third of a CPU second a day and model, in compiled code that lets others go on. Sources: see ``core/domain.py``.

>>> rng = np.random.default_rng(1)
>>> one, other, now = rng.normal(size=4000), rng.normal(size=4000), np.arange(4000) >= 2000
>>> other = np.where(now, 0.8 * one + 0.6 * other, other)  # each alone is as before
>>> days = np.where(now, np.arange(4000) % 7, 100 + np.arange(4000) % 14)
>>> made = design(pl.DataFrame({"one": one, "other": other}), ~now)
>>> told = tell_apart(made.columns, now, days)
>>> told.auc > 0.6, told.p_value < 1e-4, made.inputs[int(told.parts.argmax())]
(True, True, ('one', 'other'))
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.drift.core.design import design
from watchkeeper.analyzers.drift.core.domain import Told, auc_of, tell_apart
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.intervals import Z95, grade
from watchkeeper.analyzers.quality.core.gaps import LOOKS, MIN_DAYS
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.raw_rows import feature_columns, prediction_rows

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

ROWS = 4_000
"""Rows of each part, about: as many as their share of the traffic draws."""
MOST_INPUTS = 40
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Case:
    """How well one model's week was told from its reference, and each input's part in that."""

    told: Told
    parts: tuple[tuple[str, float], ...]

    @property
    def rows(self) -> int:
        """Rows of the window."""
        return sum(rows for _, rows in self.told.now)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the AUC lies, by what days differ by."""
        auc, half = self.told.auc, Z95 * self.told.spread
        return max(auc - half, 0.0), min(auc + half, 1.0)


class Classifier:
    """A domain classifier over all inputs of a model."""

    name = "drift.classifier"
    question = "Have the inputs moved together, also where none of them shows it alone?"
    every = timedelta(days=7)
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    @property
    def params(self) -> dict[str, Param]:
        """How few rows are not judged, how low an AUC is not told, and the budget of false notices."""
        return {"min_rows": 500, "min_auc": 0.6, "alerts_per_month": 0.01}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every model that has a reference and features."""
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
        """Give the mean placement of the window's rows."""
        days = cast("list[list[float]]", snapshot["now"])
        return auc_of(tuple((total, int(rows)) for total, rows in days))

    def _finding(self, scope: Scope, case: Case) -> Finding | None:
        p_value = min(1.0, case.told.p_value * LOOKS)
        low = case.told.auc < scope.settings.number("min_auc")
        if low or p_value >= scope.settings.number("alerts_per_month"):
            return None
        parts: Json = [[name, part] for name, part in case.parts[:SHOWN]]
        snapshot: Snapshot = {"now": [list[Json](day) for day in case.told.now], "parts": parts}
        observed = self.recompute(snapshot)
        names = tuple(name for name, _ in case.parts[:SHOWN])
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric="domain_auc",
            subjects=("inputs", *names),
            window=scope.window,
            as_of=scope.as_of,
            observed=observed,
            severity=scope.settings.severity_or(Severity.NOTICE),
            summary=phrases.sentence(
                f"The inputs of {scope.model} of {scope.service} can be told from the reference's (AUC {observed:.2f}, "
                f"0.5 is chance), most by {', '.join(names[:3])}."
            ),
            evidence=Evidence("AUC over days", case.rows, p_value, grade(p_value, case.rows), snapshot),
            interval=case.interval,
            reference=0.5,
            effect=observed - 0.5,
            since=scope.window.start,
        )


def _case(scope: Scope) -> Case | None:
    reference = scope.reference
    if reference is None:
        return None
    store = scope.facts.store()
    every = feature_columns(store, scope.pair, scope.window.end)
    columns = [one for one in every if one.role == "feature" and one.holds(reference) and one.holds(scope.window)]
    columns = columns[:MOST_INPUTS]
    if not columns:
        return None
    parts = [
        prediction_rows(store, scope.pair, span, columns, _keep(scope, span)).sort(
            "ts", *(one.column for one in columns)
        )
        for span in (reference, scope.window)
    ]
    if min(part.height for part in parts) < scope.settings.number("min_rows"):
        return None
    days = [part["ts"].dt.date().n_unique() for part in parts]
    if days[1] < MIN_DAYS or days[0] < 2 * MIN_DAYS:
        return None
    frame = pl.concat(parts)
    now = np.arange(frame.height) >= parts[0].height
    inputs = frame.select(pl.col(one.column).alias(one.name) for one in columns)
    made = design(inputs, ~now)
    told = tell_apart(made.columns, now, frame["ts"].dt.epoch("d").cast(pl.Int64).to_numpy())
    return Case(told, _ranked(made.inputs, told.parts.tolist()))


def _keep(scope: Scope, window: Window) -> float:
    made = scope.facts.traffic(window, service=scope.service, model=scope.model)["requests"].sum()
    return min(1.0, ROWS / max(float(made), 1.0))


def _ranked(inputs: Sequence[tuple[str, ...]], parts: Sequence[float]) -> tuple[tuple[str, float], ...]:
    """Give each input's part of what was learned, the largest first; of a product each has half."""
    sums: dict[str, float] = defaultdict(float)
    whole = sum(parts) or 1.0
    for names, part in zip(inputs, parts, strict=True):
        for name in names:
            sums[name] += part / len(names) / whole
    return tuple(sorted(sums.items(), key=lambda one: (-one[1], one[0])))


def _readings(scope: Scope, case: Case) -> list[Reading]:
    lower, upper = case.interval
    about = (scope.window, scope.as_of)
    first = Reading(
        ANALYZER.name,
        "domain_auc",
        *scope.pair,
        "inputs",
        *about,
        case.told.auc,
        lower,
        upper,
        case.rows,
        reference=0.5,
    )
    return [first] + [
        Reading(ANALYZER.name, "domain_part", *scope.pair, name, *about, part, n=case.rows)
        for name, part in case.parts[:SHOWN]
    ]


ANALYZER = Classifier()

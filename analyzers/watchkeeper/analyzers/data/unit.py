"""Does a number come in another unit than in the reference?

Holds when mean and spread of two days in a row are what one known conversion (thousands, per cent, seconds,
Fahrenheit and the like) makes of the reference's, and moved far more than on any of its days. Only shown: what goes out
of range, or changes, is told by ``data.out_of_range`` and ``verdict.change``, and this says what it most likely is.
Sees nothing where only some of the rows changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Scope, Snapshot, scopes
from watchkeeper.analyzers.feature_days import FeatureDays, feature_days
from watchkeeper.analyzers.memo import once
from watchkeeper.analyzers.rows import FeatureRow
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Severity, Window
from watchkeeper.store.facts.units import Conversion, Level, conversion, moved

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

IN_A_ROW = 2
MORE_THAN_DAYS = 2.5
"""How much further it must have moved than the reference's day that moved most."""


class Unit:
    """The factor between a feature now and in the reference."""

    name = "data.unit"
    question = "Does a number come in another unit than in the reference?"
    every = timedelta(days=1)
    span = timedelta(days=1)
    quiet = timedelta(days=3)

    @property
    def params(self) -> dict[str, Param]:
        """Rows that each of the two days needs."""
        return {"min_rows": 30}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Check every number of every model that has a reference."""
        findings: list[Finding] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            if scope.reference is None:
                continue
            least = scope.settings.number("min_rows")
            every = feature_days(scope)
            key = ("usual levels", scope.pair, scope.reference)
            usuals = once(scope.facts, key, lambda every=every: {one.feature: _level(one.reference) for one in every})
            for days in every:
                levels = [_level([row]) for row in days.windows[:IN_A_ROW] if row.finite >= least]
                usual = usuals.get(days.feature)
                if len(levels) < IN_A_ROW or usual is None:
                    continue
                judged.add(scope.pair)
                one = _converted(usual, [row for row in days.reference if row.finite >= least], levels)
                if one is not None:
                    findings.append(self._finding(scope, days, usual, one))
        return Evaluation(tuple(findings), (), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the ratio of the spreads."""
        return cast("float", snapshot["spread"]) / cast("float", snapshot["reference_spread"])

    def _finding(self, scope: Scope, days: FeatureDays, usual: Level, known: Conversion) -> Finding:
        now = _level([days.now]) or usual
        snapshot: Snapshot = {
            "mean": now.mean,
            "spread": now.spread,
            "reference_mean": usual.mean,
            "reference_spread": usual.spread,
        }
        since = scope.window.end - IN_A_ROW * scope.window.length
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric="unit_factor",
            subjects=(days.feature,),
            window=scope.window,
            as_of=scope.as_of,
            observed=self.recompute(snapshot),
            severity=scope.settings.severity_or(Severity.NOTICE),
            summary=phrases.sentence(
                f"{days.feature} of {scope.service} looks as if it came in another unit: its mean is "
                f"{phrases.amount(now.mean)}, in the reference {phrases.amount(usual.mean)}, which fits "
                f"{known.between}."
            ),
            evidence=Evidence("known conversion", days.now.finite, None, "C", snapshot),
            reference=1.0,
            effect=known.factor,
            since=since,
        )


def _converted(usual: Level, before: Sequence[FeatureRow], now: Sequence[Level | None]) -> Conversion | None:
    """Give the one conversion of all days; None where a day of the reference was nearly as far off, or did not vary."""
    off = [0.0 if level is None else moved(usual, level) for level in now]
    if min(off) <= 1:  # nearly always: nothing has moved at all
        return None
    days = [_level([row]) for row in before]
    least = MORE_THAN_DAYS * max((math.inf if day is None else moved(usual, day) for day in days), default=math.inf)
    known = {None if level is None else conversion(usual, level) for level in now}
    return known.pop() if min(off) > least and len(known) == 1 else None


def _level(rows: Sequence[FeatureRow]) -> Level | None:
    """Give mean and spread over the rows that hold numbers."""
    held = [row for row in rows if row.sum is not None and row.sumsq is not None]
    totals = [sum(getattr(row, name) for row in held) for name in ("sum", "sumsq")]
    return Level.of(sum(row.finite for row in held), totals[0], totals[1])


ANALYZER = Unit()

"""Does a number that used to vary hold one single value, as if its source had stopped?

Holds when every row of ``windows`` disjoint windows has the same value while no day of the reference was constant.
Misleads for features that are constant by nature for days (rain in a dry month) when the reference happened to hold
no such day. A feature that stops coming altogether is told by ``data.missing``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Scope, Snapshot, scopes
from watchkeeper.analyzers.feature_days import WINDOWS, FeatureDays, feature_days
from watchkeeper.analyzers.impact.value import estimate
from watchkeeper.analyzers.rows import FeatureRow
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import DataState, Evidence, Finding, Severity, Window
from watchkeeper.store.facts.examples import WithAnyValue

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

MIN_DAYS = 7
"""Days of the reference that are needed before constancy means anything."""


def frozen(windows: Sequence[FeatureRow], reference: Sequence[FeatureRow], min_rows: float) -> bool:
    """Whether all windows hold one and the same value, and every day of the reference more than one.

    >>> varied = [FeatureRow("t", "numeric", rows=100, min=1.0, max=9.0)] * 28
    >>> still = FeatureRow("t", "numeric", rows=100, min=4.0, max=4.0)
    >>> frozen([still, still], varied, 50), frozen([still, varied[0]], varied, 50)
    (True, False)
    """
    days = [row for row in reference if row.finite >= min_rows]
    if len(days) < MIN_DAYS or any(row.min == row.max for row in days):
        return False
    value = windows[0].min
    return value is not None and all(
        row.finite >= min_rows and row.min == value and row.max == value for row in windows
    )


class Frozen:
    """Width of the range that a feature covers: zero of a frozen one."""

    name = "data.frozen"
    question = "Does a number that used to vary hold one single value?"
    every = timedelta(hours=1)
    span = timedelta(days=1)
    quiet = timedelta(days=3)

    @property
    def params(self) -> dict[str, Param]:
        """Rows that a window needs, and windows in a row."""
        return {"min_rows": 30, "windows": 2}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Check every numeric feature of every model that has a reference."""
        findings: list[Finding] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            if scope.reference is None:
                continue
            min_rows = scope.settings.number("min_rows")
            windows = min(max(int(scope.settings.number("windows")), 1), WINDOWS)
            for days in feature_days(scope):
                if days.now.rows >= min_rows:
                    judged.add(scope.pair)
                if frozen(days.windows[:windows], days.reference, min_rows):
                    findings.append(self._finding(scope, days, windows))
        return Evaluation(tuple(findings), (), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the width of the newest window's range."""
        low, high = cast("list[float]", snapshot["range"])
        return high - low

    def _finding(self, scope: Scope, days: FeatureDays, windows: int) -> Finding:
        value = days.now.min or 0.0
        widths = [row.max - row.min for row in days.reference if row.min is not None and row.max is not None]
        since = scope.window.end - scope.window.length * windows
        snapshot: Snapshot = {"range": [value, days.now.max or 0.0], "reference_widths": list(widths)}
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric="range_width",
            subjects=(days.feature,),
            window=scope.window,
            as_of=scope.as_of,
            observed=self.recompute(snapshot),
            severity=scope.settings.severity_or(Severity.TICKET),
            summary=phrases.sentence(
                f"{days.feature} of {scope.service} is {phrases.amount(value)} in every row since "
                f"{phrases.day(since)}; it varied on every day of the reference."
            ),
            evidence=Evidence("one value only", days.now.finite, None, "C", snapshot),
            reference=median(widths),
            impact=estimate(scope, Window(since, scope.window.end)),
            since=since,
            data_state=DataState.STALE,
            examples=scope.examples(WithAnyValue(days.feature)),
        )


ANALYZER = Frozen()

"""The core of the drift measures with a notice: it is shown where a feature has moved, beside the distance itself.

Never an alert: inputs move with seasons, and most of what moves harms nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.drift_bins import Bins
from watchkeeper.analyzers.drift_distance import BinDistance
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Severity, Window

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader


class DriftCheck(BinDistance):
    """A distance between the window and the reference, for every feature, the score and the prediction."""

    label: str
    """What people call the measure."""
    threshold: float

    @property
    def params(self) -> dict[str, Param]:
        """Where a notice starts, and how many rows it takes."""
        return {"threshold": self.threshold, "min_rows": 200}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Measure every feature of every model that has a reference."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            for reading, feature in self.readings(scope):
                judged.add(scope.pair)
                readings.append(reading)
                if reading.value - (reading.reference or 0.0) >= scope.settings.number("threshold"):
                    findings.append(self._finding(scope, reading.subject, feature.bins))
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the distance of the snapshot's counts."""
        now, reference = cast("list[int]", snapshot["now"]), cast("list[int]", snapshot["reference"])
        return self.distance(Bins(tuple(now), tuple(reference)))

    def _finding(self, scope: Scope, feature: str, bins: Bins) -> Finding:
        snapshot = bins.snapshot()
        observed = self.recompute(snapshot)
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric=self.metric,
            subjects=(feature,),
            window=scope.window,
            as_of=scope.as_of,
            observed=observed,
            severity=scope.settings.severity_or(Severity.NOTICE),
            summary=phrases.sentence(
                f"{feature} of {scope.service} has moved from the reference: {self.label} {observed:.2f} over "
                f"{phrases.amount(sum(bins.now))} rows, where {self.expected(bins):.2f} is chance."
            ),
            evidence=Evidence(self.label, sum(bins.now), None, "C", snapshot),
            reference=self.expected(bins),
            effect=observed - self.expected(bins),
        )

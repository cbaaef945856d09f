"""The core of both drift measures: the same bins of the window and of the reference, and a notice where they differ.

Numbers are merged from the store's fine bins (at most 100) to ten bins with equal shares of the reference; null, NaN,
infinite, unseen and other values keep bins of their own. Never an alert: inputs move with seasons, and most of what
moves harms nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.memo import once
from watchkeeper.analyzers.rows import BinRow, rows
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Severity, Window

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

TENTHS = 10


@dataclass(frozen=True, slots=True)
class Bins:
    """Rows a bin, of the window and of the reference."""

    now: tuple[int, ...]
    reference: tuple[int, ...]

    def snapshot(self) -> Snapshot:
        """The counts, to recompute from."""
        return {"now": list(self.now), "reference": list(self.reference)}


def merged(bins: Sequence[BinRow]) -> Bins:
    """Merge a feature's fine bins: value bins of a number to ten of (nearly) equal reference shares, in order.

    No row is lost. A value bin that alone holds more than a tenth of the reference stays whole.

    >>> fine = [BinRow("x", "numeric", i, n=i, reference_n=10) for i in range(40)]
    >>> coarse = merged([*fine, BinRow("x", "numeric", -1, n=5, reference_n=0)])
    >>> len(coarse.now), sum(coarse.now), coarse.reference
    (11, 785, (0, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40))
    """
    ordered = sorted(bins, key=lambda row: row.bin)
    total = sum(row.reference_n for row in ordered if row.bin >= 0)
    groups: dict[tuple[bool, int], tuple[int, int]] = {}
    below = 0
    for row in ordered:
        key = (False, row.bin)
        if row.bin >= 0:
            middle = below + row.reference_n / 2
            below += row.reference_n
            if row.kind == "numeric":
                key = (True, min(int(TENTHS * middle / total), TENTHS - 1) if total else 0)
            else:
                key = (True, row.bin)
        n, reference_n = groups.get(key, (0, 0))
        groups[key] = (n + row.n, reference_n + row.reference_n)
    counts = [groups[key] for key in sorted(groups)]
    return Bins(tuple(n for n, _ in counts), tuple(reference_n for _, reference_n in counts))


def _features(scope: Scope) -> dict[str, Bins]:
    """Read and merge every feature's bins; all drift measures share them."""

    def read() -> dict[str, Bins]:
        fine: dict[str, list[BinRow]] = {}
        for row in rows(scope.facts.histogram(scope.service, scope.model, scope.window), BinRow):
            fine.setdefault(row.feature, []).append(row)
        return {feature: merged(bins) for feature, bins in fine.items()}

    return once(scope.facts, ("merged bins", scope.pair, scope.window), read)


class DriftCheck:
    """A distance between the window and the reference, for every feature, the score and the prediction."""

    name: str
    question: str
    metric: str
    label: str
    """What people call the measure."""
    threshold: float
    every = timedelta(days=1)
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    def distance(self, bins: Bins) -> float:
        """Measure how far the window is from the reference."""
        raise NotImplementedError

    def expected(self, bins: Bins) -> float:
        """Give what the measure is on average when nothing changed, by the numbers of rows and bins."""
        raise NotImplementedError

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
            if scope.reference is None:
                continue
            for feature, bins in _features(scope).items():
                if sum(bins.now) < scope.settings.number("min_rows") or sum(bins.reference) == 0:
                    continue
                judged.add(scope.pair)
                reading = self._reading(scope, feature, bins)
                readings.append(reading)
                if reading.value - (reading.reference or 0.0) >= scope.settings.number("threshold"):
                    findings.append(self._finding(scope, feature, bins))
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the distance of the snapshot's counts."""
        now, reference = cast("list[int]", snapshot["now"]), cast("list[int]", snapshot["reference"])
        return self.distance(Bins(tuple(now), tuple(reference)))

    def _reading(self, scope: Scope, feature: str, bins: Bins) -> Reading:
        return Reading(
            self.name,
            self.metric,
            scope.service,
            scope.model,
            feature,
            scope.window,
            scope.as_of,
            self.distance(bins),
            n=sum(bins.now),
            reference=self.expected(bins),
        )

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

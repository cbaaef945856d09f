"""What all distances between the window and the reference share: one reading a feature, with what chance alone gives.

It is measured against the declared reference, by default the kept first days. A distance is shown and never judged:
which change is worth a word is the verdict's question, asked once, and always of the kept first days.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from watchkeeper.analyzers.drift_bins import Bins, Feature, Steps, features
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, scopes
from watchkeeper.schemas.declared import FIRST_DAYS, Declarations
from watchkeeper.schemas.findings import Window

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader


@dataclass(frozen=True, slots=True)
class Measured:
    """A distance, its average when nothing changed, and the rows of the window that it rests on."""

    value: float
    expected: float
    n: int


class Distance(ABC):
    """A measure of every feature, the score and the prediction, once a day over a week."""

    name: str
    question: str
    metric: str
    every = timedelta(days=1)
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    @property
    def params(self) -> dict[str, Param]:
        """How many rows it takes."""
        return {"min_rows": 200}

    @abstractmethod
    def measure(self, feature: Feature) -> Measured | None:
        """Measure how far the window is from the reference; None where this feature has no such distance."""

    def readings(self, scope: Scope) -> Iterator[tuple[Reading, Feature]]:
        """Measure every feature of one model that has a reference and enough rows."""
        declared = scope.declared_reference
        if scope.reference is None and (declared is None or declared.type != "kept"):
            return  # without its first days a model has no edges, unless a file has brought them
        for subject, feature in features(scope).items():
            if sum(feature.bins.now) < scope.settings.number("min_rows") or sum(feature.bins.reference) == 0:
                continue
            measured = self.measure(feature)
            if measured is not None:
                yield self._reading(scope, subject, measured), feature

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Measure every model that has a reference; say nothing."""
        return Evaluation(
            readings=tuple(
                reading for scope in scopes(self, facts, declared, window, as_of) for reading, _ in self.readings(scope)
            )
        )

    def _reading(self, scope: Scope, subject: str, measured: Measured) -> Reading:
        return Reading(
            self.name,
            self.metric,
            scope.service,
            scope.model,
            subject,
            scope.window,
            scope.as_of,
            measured.value,
            n=measured.n,
            reference=measured.expected,
            against=scope.declared_reference.words if scope.declared_reference else FIRST_DAYS,
        )


class BinDistance(Distance):
    """A distance that does not care which bins are neighbours: for numbers and categories alike."""

    @abstractmethod
    def distance(self, bins: Bins) -> float:
        """Measure how far the window is from the reference."""

    @abstractmethod
    def expected(self, bins: Bins) -> float:
        """Give what the measure is on average when nothing changed, by the numbers of rows and bins."""

    def measure(self, feature: Feature) -> Measured | None:
        """Measure on the coarse bins, missing and unseen values included."""
        return Measured(self.distance(feature.bins), self.expected(feature.bins), sum(feature.bins.now))


class StepDistance(Distance):
    """A distance along the axis of a number; categories have none."""

    @abstractmethod
    def distance(self, steps: Steps) -> float | None:
        """Measure how far the window is from the reference; None where the reference has no scale."""

    @abstractmethod
    def expected(self, steps: Steps) -> float:
        """Give what the measure is on average when nothing changed."""

    def measure(self, feature: Feature) -> Measured | None:
        """Measure on the fine bins of finite values."""
        steps = feature.steps
        value = None if steps is None else self.distance(steps)
        if steps is None or value is None:
            return None
        return Measured(value, self.expected(steps), sum(steps.bins.now))

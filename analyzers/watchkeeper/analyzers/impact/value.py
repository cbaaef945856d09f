"""What is each decision worth, and how much less than in the reference?

Sums the declared value of every matured outcome, failed request and minute of review, and divides by decisions.
What is not declared counts as nothing. Measured, never estimated: an outcome that is not known yet is in no number,
and ``maturity`` says how many are. Misleads when outcomes that come early differ from those that come late, and
where a value differs from case to case more than its kind can say.
Source: value matrix over outcomes as in decision analysis (Elkan 2001, IJCAI).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, scopes
from watchkeeper.analyzers.maturity import MIN_KNOWN, Known, known, outcome_delay, quality_days, reference_quality_days
from watchkeeper.analyzers.rows import QualityRow, ReviewRow, TrafficRow, rows
from watchkeeper.schemas.declared import Declarations, ValueModel
from watchkeeper.schemas.findings import Impact, Window

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

MATRIX = ("true_positive", "false_positive", "false_negative", "true_negative")
ANSWER = ("correct", "wrong")


@dataclass(frozen=True, slots=True)
class Worth:
    """Value of one decision, the variance of that over decisions, and what was known.

    ``weight`` is how many decisions a row stands for: more than one where the sender samples.
    """

    per_decision: float
    variance: float
    known: Known
    weight: float = 1.0

    @property
    def error(self) -> float:
        """Standard error of ``per_decision``."""
        return math.sqrt(self.variance / self.known.known) if self.known.known else math.inf


def worth(
    days: Sequence[QualityRow],
    values: Mapping[str, float],
    errors: int = 0,
    minutes: float = 0.0,
    weight: float = 1.0,
) -> Worth | None:
    """Value what is known; None where nothing that has a declared value is known.

    ``errors`` are of all requests, the others of the rows that came, of which each stands for ``weight`` decisions.

    >>> day = QualityRow(100, 80, 70, 10, true_positive=5, false_positive=4, false_negative=6, true_negative=65)
    >>> worth([day], {"false_negative": -40.0, "false_positive": -10.0}).per_decision
    -3.5
    """
    seen = known(days)
    kinds = MATRIX if any(kind in values for kind in MATRIX) else ANSWER
    counts = [sum(_count(day, kind) for day in days) for kind in kinds]
    total = sum(counts)
    if total == 0 or not any(kind in values for kind in kinds):
        return None
    each = [values.get(kind, 0.0) for kind in kinds]
    mean = sum(count * value for count, value in zip(counts, each, strict=True)) / total
    square = sum(count * value * value for count, value in zip(counts, each, strict=True)) / total
    extra = errors / weight * values.get("error", 0.0) + minutes * values.get("override_minute", 0.0)
    per_decision = mean + (extra / seen.predictions if seen.predictions else 0.0)
    return Worth(per_decision, max(square - mean * mean, 0.0), seen, weight)


def _count(day: QualityRow, kind: str) -> int:
    return int(getattr(day, kind))


def lost_per_day(now: Worth, reference: Worth, length: timedelta) -> float:
    """Give what a day costs against the reference, at the traffic of the window; negative is a gain."""
    days = length / timedelta(days=1)
    return (reference.per_decision - now.per_decision) * now.known.predictions * now.weight / days


def estimate(scope: Scope, window: Window) -> Impact | None:
    """Measure what the service loses a day in this window; None where no loss can be told from noise.

    None too without a declared value model, or with fewer than 200 known outcomes on either side.
    """
    model = model_of(scope)
    reference = scope.info.reference
    if model is None or reference is None:
        return None
    now = _measured(scope, window, model, quality_days(scope, window))
    usual = _measured(scope, reference, model, reference_quality_days(scope, reference))
    if now is None or usual is None or min(now.known.known, usual.known.known) < MIN_KNOWN:
        return None
    if usual.per_decision - now.per_decision <= 2 * math.hypot(now.error, usual.error):
        return None
    return Impact(
        lost_per_day(now, usual, window.length),
        model.currency,
        f"measured on {phrases.percent(now.known.maturity)} of outcomes, against the "
        f"{reference.length.days}-day reference",
    )


def model_of(scope: Scope) -> ValueModel | None:
    """Find the value model of the service."""
    return next((model for model in scope.declared.values if model.service == scope.service), None)


def _measured(scope: Scope, window: Window, model: ValueModel, days: Sequence[QualityRow]) -> Worth | None:
    minutes = 0.0
    traffic = rows(scope.facts.traffic(window, service=scope.service, model=scope.model, weighted=True), TrafficRow)
    errors, came = sum(row.errors for row in traffic), sum(row.rows for row in traffic)
    weight = sum(row.requests for row in traffic) / came if came else 1.0
    if "override_minute" in model.values:
        reviews = rows(scope.facts.reviews(scope.service, window), ReviewRow)
        minutes = sum(row.minutes or 0.0 for row in reviews)
    return worth(days, {str(kind): value for kind, value in model.values.items()}, errors, minutes, weight)


class Value:
    """Readings of what decisions are worth, on the newest window whose outcomes are (nearly) all known."""

    name = "impact.value"
    question = "What is a decision worth, and how much is lost a day against the reference?"
    every = timedelta(days=1)
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    @property
    def params(self) -> dict[str, Param]:
        """Nothing to set: the value model is declared."""
        return {}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Value every model of a service that has a value model."""
        readings: list[Reading] = []
        for scope in scopes(self, facts, declared, window, as_of):
            readings += self._readings(scope)
        return Evaluation((), tuple(readings))

    def _readings(self, scope: Scope) -> list[Reading]:
        model, reference = model_of(scope), scope.info.reference
        delay = None if model is None or reference is None else outcome_delay(scope, reference)
        if model is None or reference is None or delay is None:
            return []
        window = Window(scope.window.start - delay, scope.window.end - delay)
        now = _measured(scope, window, model, quality_days(scope, window))
        usual = _measured(scope, reference, model, reference_quality_days(scope, reference))
        if now is None or usual is None or window.start < reference.end:
            return []
        lost = lost_per_day(now, usual, window.length)
        scale = now.known.predictions * now.weight / (window.length / timedelta(days=1))
        return [
            self._reading(scope, window, "value_per_decision", (now.per_decision, now.error), now, usual.per_decision),
            self._reading(
                scope, window, "value_lost_per_day", (lost, scale * math.hypot(now.error, usual.error)), now, 0.0
            ),
        ]

    def _reading(
        self, scope: Scope, window: Window, metric: str, value: tuple[float, float], now: Worth, reference: float
    ) -> Reading:
        middle, error = value
        return Reading(
            self.name,
            metric,
            scope.service,
            scope.model,
            "value",
            window,
            scope.as_of,
            middle,
            middle - 1.96 * error,
            middle + 1.96 * error,
            now.known.known,
            now.known.maturity,
            reference,
        )


ANALYZER = Value()

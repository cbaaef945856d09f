"""The part of OpenSLO v1 that this release evaluates, read into our objectives; the rest is refused by name.

Source: OpenSLO specification, apiVersion openslo/v1, kind SLO.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct, field

from watchkeeper.schemas.durations import duration as duration_of
from watchkeeper.schemas.errors import SettingsError


class MetricSource(Struct, frozen=True):
    """Where the good events are counted: type watchkeeper, and our own measure in ``spec``."""

    type: str
    spec: dict[str, Any]


class Metric(Struct, frozen=True, rename="camel"):
    """One side of the ratio."""

    metric_source: MetricSource


class Ratio(Struct, frozen=True):
    """Good over total; the total is every request of the service."""

    good: Metric


class IndicatorSpec(Struct, frozen=True, rename="camel"):
    """Only ratio metrics."""

    ratio_metric: Ratio


class Indicator(Struct, frozen=True):
    """The service level indicator."""

    spec: IndicatorSpec


class TimeWindow(Struct, frozen=True, rename="camel"):
    """How long the promise holds."""

    duration: str
    is_rolling: bool = False


class Target(Struct, frozen=True, rename="camel"):
    """The promised share, as a ratio or in percent."""

    target: float | None = None
    target_percent: float | None = None

    @property
    def ratio(self) -> float | None:
        """The target between 0 and 1."""
        return self.target_percent / 100 if self.target is None and self.target_percent else self.target


class SloSpec(Struct, frozen=True, rename="camel"):
    """One objective of one service."""

    service: str
    indicator: Indicator
    time_window: list[TimeWindow]
    objectives: list[Target]
    budgeting_method: str = "Occurrences"
    description: str | None = field(default=None)


def read(name: str, spec: object, at: str) -> dict[str, object]:
    """Give the fields of our objective; ``at`` (file, number, name) is named in errors."""
    try:
        slo = msgspec.convert(spec, SloSpec)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{at}: {error}") from None
    if len(slo.time_window) != 1 or not slo.time_window[0].is_rolling:
        raise SettingsError(f"{at}: timeWindow needs exactly one entry, with isRolling: true")
    if slo.budgeting_method != "Occurrences":
        raise SettingsError(f"{at}: budgetingMethod must be Occurrences in this release")
    if len(slo.objectives) != 1:
        raise SettingsError(f"{at}: objectives needs exactly one entry")
    source = slo.indicator.spec.ratio_metric.good.metric_source
    if source.type != "watchkeeper":
        raise SettingsError(f"{at}: metricSource.type must be watchkeeper, not {source.type!r}")
    return {
        "name": name,
        "service": slo.service,
        "description": slo.description,
        "sli": source.spec,
        "target": slo.objectives[0].ratio,
        "days": _days(slo.time_window[0].duration, at),
    }


def _days(duration: str, at: str) -> float:
    """Read a duration in days.

    >>> _days("4w", ""), _days("12h", "")
    (28.0, 0.5)
    """
    try:
        return duration_of(duration) / timedelta(days=1)
    except ValueError as error:
        raise SettingsError(f"{at}: duration {error}") from None

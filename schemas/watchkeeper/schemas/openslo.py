"""OpenSLO v1 read whole: Service, DataSource, SLI, SLO, AlertPolicy, AlertCondition, AlertNotificationTarget.

An SLO may name its parts (``indicatorRef``, ``metricSourceRef``, ``alertPolicyRef``, ``conditionRef``, ``targetRef``)
or hold them; names are looked up over all files of the folder. What it says becomes our objective. A metric source is
of type ``watchkeeper``: its ``spec`` names one of our measures, as this product keeps counts and no query language.
Source: OpenSLO specification, apiVersion openslo/v1.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from watchkeeper.schemas.objectives import BudgetStep, BurnRule, Declared, Fallback, Sli

LESS = frozenset({"lte", "lt"})
Op = Literal["lte", "gte", "lt", "gt"]


class Spec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """A part of a document."""


class Metadata(Spec, frozen=True, kw_only=True):
    """What names a document; labels and annotations are kept as they are."""

    name: str = ""
    display_name: str | None = None
    labels: dict[str, str | list[str]] = {}
    annotations: dict[str, str] = {}


class MetricSource(Spec, frozen=True, kw_only=True):
    """Where events are counted: ours (type watchkeeper), with a measure in ``spec``, or a DataSource of that type."""

    metric_source_ref: str | None = None
    type: str | None = None
    spec: dict[str, Any] = {}


class Metric(Spec, frozen=True, kw_only=True):
    """One side of the ratio."""

    metric_source: MetricSource


class Ratio(Spec, frozen=True, kw_only=True):
    """Good (or bad) over total; total is every request of the service and may be left out."""

    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    counter: bool = True
    raw: Metric | None = None
    raw_type: Literal["success", "failure"] | None = None


class IndicatorSpec(Spec, frozen=True, kw_only=True):
    """A ratio of events, or a number that must stay on one side of the objective's ``value``."""

    description: str | None = None
    ratio_metric: Ratio | None = None
    threshold_metric: Metric | None = None


class Indicator(Spec, frozen=True, kw_only=True):
    """The service level indicator, inside the SLO."""

    metadata: Metadata = Metadata()
    spec: IndicatorSpec


class CalendarSpec(Spec, frozen=True, kw_only=True):
    """Where a calendar window begins, and in which IANA time zone."""

    start_time: str
    time_zone: str


class TimeWindow(Spec, frozen=True, kw_only=True):
    """How long the promise holds: rolling, or by the calendar."""

    duration: str
    is_rolling: bool = False
    calendar: CalendarSpec | None = None


class Target(Spec, frozen=True, kw_only=True):
    """The promised share, as a ratio or in percent; of time slices their own target and length too."""

    target: float | None = None
    target_percent: float | None = None
    time_slice_target: float | None = None
    time_slice_window: str | None = None
    display_name: str | None = None
    op: Op | None = None
    value: float | None = None
    indicator: Indicator | None = None
    indicator_ref: str | None = None
    composite_weight: float | None = None

    @property
    def ratio(self) -> float | None:
        """The target between 0 and 1."""
        return self.target_percent / 100 if self.target is None and self.target_percent is not None else self.target


class Condition(Spec, frozen=True, kw_only=True):
    """Alert when the budget burns faster than ``threshold`` over ``lookbackWindow``, for ``alertAfter``."""

    kind: Literal["burnrate"]
    threshold: float
    lookback_window: str
    op: Op = "gte"
    alert_after: str | None = None


class ConditionSpec(Spec, frozen=True, kw_only=True):
    """An AlertCondition."""

    severity: str
    condition: Condition
    description: str | None = None


class ConditionUse(Spec, frozen=True, kw_only=True):
    """An AlertCondition by name, or itself."""

    condition_ref: str | None = None
    kind: str | None = None
    metadata: Metadata = Metadata()
    spec: ConditionSpec | None = None


class TargetSpec(Spec, frozen=True, kw_only=True):
    """An AlertNotificationTarget: its name is that of a Receiver; ``target`` says what that is (email, slack)."""

    target: str
    description: str | None = None


class TargetUse(Spec, frozen=True, kw_only=True):
    """An AlertNotificationTarget by name, or itself."""

    target_ref: str | None = None
    kind: str | None = None
    metadata: Metadata = Metadata()
    spec: TargetSpec | None = None


class PolicySpec(Spec, frozen=True, kw_only=True):
    """An AlertPolicy."""

    conditions: list[ConditionUse]
    notification_targets: list[TargetUse] = []
    description: str | None = None
    alert_when_no_data: bool = False
    alert_when_resolved: bool = True
    alert_when_breaching: bool = True


class PolicyUse(Spec, frozen=True, kw_only=True):
    """An AlertPolicy by name, or itself."""

    alert_policy_ref: str | None = None
    kind: str | None = None
    metadata: Metadata = Metadata()
    spec: PolicySpec | None = None


class SloSpec(Spec, frozen=True, kw_only=True):
    """The objectives of one service over one window."""

    service: str
    time_window: list[TimeWindow]
    objectives: list[Target]
    indicator: Indicator | None = None
    indicator_ref: str | None = None
    budgeting_method: Literal["Occurrences", "Timeslices", "RatioTimeslices"] = "Occurrences"
    alert_policies: list[PolicyUse | str] = []
    description: str | None = field(default=None)


class OwnSpec(Spec, frozen=True, kw_only=True):
    """Our own kind Objective: an SLO with ``sli`` in place of the indicator, and what OpenSLO has no word for."""

    service: str
    sli: Sli
    time_window: list[TimeWindow]
    objectives: list[Target]
    budgeting_method: Literal["Occurrences", "Timeslices", "RatioTimeslices"] = "Occurrences"
    description: str | None = None
    alerting: list[BurnRule] = []
    budget_policy: list[BudgetStep] = []
    fallback: Fallback | None = None
    mature_after: str | None = None
    slow_burn: bool = True


class Several(Spec, frozen=True, kw_only=True):
    """The objectives of one document of Sloth, each by its name."""

    parts: list[tuple[str, OwnSpec]]


class ServiceSpec(Spec, frozen=True, kw_only=True):
    """A Service: a name that SLOs refer to."""

    description: str | None = None


class DataSourceSpec(Spec, frozen=True, kw_only=True):
    """A DataSource; of type watchkeeper it needs nothing else."""

    type: str
    connection_details: dict[str, Any] = {}
    spec: dict[str, Any] = {}
    description: str | None = None


class Document(Declared, frozen=True, kw_only=True):
    """One document of OpenSLO (or an Objective of ours) as it was read, before its references are looked up.

    ``at`` (file, number, name) is named in errors.
    """

    kind: str
    at: str
    metadata: Metadata
    spec: Spec


SPECS: dict[str, type[Spec]] = {
    "Service": ServiceSpec,
    "DataSource": DataSourceSpec,
    "SLI": IndicatorSpec,
    "SLO": SloSpec,
    "AlertPolicy": PolicySpec,
    "AlertCondition": ConditionSpec,
    "AlertNotificationTarget": TargetSpec,
}
"""The kinds of OpenSLO v1 and what each holds."""

"""What a service promises, in the words of OpenSLO where it has them: SLI, target, window, budget, alerts, fallback."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct

from watchkeeper.schemas.durations import duration
from watchkeeper.schemas.events import Name, Text
from watchkeeper.schemas.matchers import Matchers, all_hold

Share = Annotated[float, Meta(gt=0, lt=1)]
Measure = Literal[
    "latency",
    "errors",
    "check_failures",
    "check_coverage",
    "late",
    "retries",
    "automation",
    "quality",
    "cost_per_request",
    "cost_per_success",
    "drift",
    "evaluation_lag",
    "composite",
]
Severity = Literal["page", "ticket", "notice"]

COUNTED = frozenset({"latency", "errors", "check_failures", "check_coverage", "late", "retries", "automation"})
"""Measures that count good and bad requests, to the minute."""
READ = frozenset({"cost_per_request", "cost_per_success", "drift", "evaluation_lag"})
"""Measures that compare a number of each slice of time with ``max``; higher is worse."""


class Declared(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """What every declared thing has."""

    name: Name = ""


class Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """A part of a declared thing."""


class Sli(Part, frozen=True):
    """Which requests are good, or which number must stay under which bound.

    latency: answered within ``maxMs``; errors: status ok; check_failures: no failed check; check_coverage: checked at
    all; late: used before it was needed, of those where both times are known; retries: answered at the first attempt;
    automation: confidence at or over the event's threshold, so that no person decides (the rest is deferred);
    quality: right, of the predictions whose outcome is known. ``max`` bounds cost_per_request, cost_per_success,
    drift (the largest PSI) and evaluation_lag (seconds): a slice of time is good while the number is within. composite:
    what the components say together.
    """

    measure: Measure
    max_ms: Annotated[float, Meta(gt=0)] | None = None
    max: Annotated[float, Meta(gt=0)] | None = None
    model: Name | None = None


class Calendar(Part, frozen=True):
    """A period of the calendar: ``count`` times ``unit`` (D, W, M, Q, Y), counted from ``start`` in a time zone."""

    unit: Literal["D", "W", "M", "Q", "Y"]
    count: Annotated[int, Meta(ge=1, le=366)]
    start: str
    zone: str


class BurnRule(Part, frozen=True):
    """Alert when both windows burn faster than ``burn``; ``budget`` gives it as the share that goes in ``long``."""

    severity: Severity
    long: str
    short: str | None = None
    burn: Annotated[float, Meta(gt=0)] | None = None
    budget: Share | None = None
    after: str | None = None

    @property
    def long_span(self) -> timedelta:
        """The long window."""
        return duration(self.long)

    @property
    def short_span(self) -> timedelta:
        """The short window: a twelfth of the long one unless it is given; never under a minute."""
        given = duration(self.short) if self.short else self.long_span / 12
        return max(timedelta(minutes=round(given / timedelta(minutes=1))), timedelta(minutes=1))

    def limit(self, period: timedelta) -> float:
        """Give the burn rate, derived from the period where the rule gives a share of the budget."""
        return self.burn if self.burn is not None else (self.budget or 0.0) * (period / self.long_span)


class BudgetStep(Part, frozen=True):
    """What is done once this share of the budget is spent."""

    at: Annotated[float, Meta(gt=0, le=10)]
    do: Literal["notify", "ticket", "page", "close_gate"]
    what: Text | None = None


class Fallback(Part, frozen=True):
    """What answers when the promise breaks; where it is a service of ours, its own health is watched."""

    name: Text
    service: Name | None = None
    model: Name | None = None


class Planned(Struct, frozen=True, kw_only=True):
    """Planned work that is left out of error budgets: when, on what, by whom and why."""

    id: str
    start: datetime
    end: datetime
    author: str
    reason: str
    matchers: Matchers

    def touches(self, service: str, model: str | None, start: datetime, end: datetime) -> bool:
        """Whether it was on this service (and model) within [start, end).

        Work on something narrower (one model of several) is not: it says nothing of the whole.
        """
        labels = {"service": service} if model is None else {"service": service, "model": model}
        return self.start < end and start < self.end and all_hold(self.matchers, labels)


class Component(Part, frozen=True):
    """One part of a composite objective: its own promise, and how much of the common budget its failures take."""

    name: Text
    weight: Annotated[float, Meta(gt=0)]
    objective: Objective


class Objective(Declared, frozen=True):
    """A promise about one service: this share of requests (or slices of time) is good over a window.

    ``days`` is the length of a rolling window, or about that of a calendar period. ``rules`` empty: the burn rates
    are derived from the period. ``components`` are the parts of a composite one: its
    ``target`` is their targets' mean by weight.
    """

    service: Name
    sli: Sli
    target: Share
    days: Annotated[float, Meta(gt=0, le=1100)]
    description: Text | None = None
    display_name: Text | None = None
    calendar: Calendar | None = None
    method: Literal["Occurrences", "Timeslices", "RatioTimeslices"] = "Occurrences"
    slice_target: Annotated[float, Meta(gt=0, le=1)] | None = None
    slice_window: str | None = None
    rules: list[BurnRule] = []
    no_data: bool = False
    budget_policy: list[BudgetStep] = []
    fallback: Fallback | None = None
    mature_after: str | None = None
    slow_burn: bool = True
    targets: list[Text] = []
    components: list[Component] = []

    @property
    def period(self) -> timedelta:
        """The length of the window; of a calendar period about that."""
        return timedelta(days=self.days)

    @property
    def budget(self) -> float:
        """The share of requests that may be bad: 1 - target."""
        return 1.0 - self.target

    @property
    def slice(self) -> timedelta | None:
        """The length of a slice, where time is sliced."""
        return None if self.method == "Occurrences" else duration(self.slice_window or "1m")

    @property
    def maturing(self) -> timedelta | None:
        """How long outcomes take before a window is judged, where that is declared."""
        return None if self.mature_after is None else duration(self.mature_after)


def complaints(objective: Objective) -> list[str]:
    """Say what of one objective contradicts itself; empty where nothing does.

    >>> complaints(Objective(name="x", service="s", sli=Sli(measure="drift"), target=0.9, days=28, method="Timeslices"))
    ['measure drift needs max: the largest number that is good']
    """
    sli, found = objective.sli, list[str]()
    if (sli.measure == "composite") != bool(objective.components):
        found.append("measure composite is what an SLO with compositeWeight becomes: write one of openslo/v1")
    if (sli.measure == "latency") != (sli.max_ms is not None):
        found.append("maxMs belongs to measure latency, and latency needs it")
    if (sli.measure in READ) != (sli.max is not None):
        found.append(
            f"measure {sli.measure} needs max: the largest number that is good"
            if sli.measure in READ
            else f"max does not belong to measure {sli.measure}: take it out"
        )
    if sli.measure in READ and objective.method == "Occurrences":
        found.append(f"measure {sli.measure} is a number a slice of time: write budgetingMethod: Timeslices")
    if objective.method == "Timeslices" and objective.slice_target is None and sli.measure not in READ:
        found.append("budgetingMethod Timeslices needs timeSliceTarget: the share of good requests in a good slice")
    if objective.mature_after is not None and sli.measure != "quality":
        found.append("matureAfter belongs to measure quality, whose outcomes come late")
    return found + _spans(objective) + [line for rule in objective.rules for line in _rule(rule, objective)]


def _spans(objective: Objective) -> list[str]:
    found: list[str] = []
    for name, text in (("timeSliceWindow", objective.slice_window), ("matureAfter", objective.mature_after)):
        try:
            span = None if text is None else duration(text)
        except ValueError as error:
            found.append(f"{name} {error}")
            continue
        if name == "timeSliceWindow" and span is not None:
            found += _slice(span, objective)
    return found


def _slice(span: timedelta, objective: Objective) -> list[str]:
    if span % timedelta(minutes=1):
        return ["timeSliceWindow must be whole minutes: nothing finer is kept"]
    if span > objective.period / 2:
        return ["timeSliceWindow is over half of the window: take a shorter one"]
    if objective.sli.measure in {"quality", "drift", "cost_per_success", "cost_per_request"} and span % timedelta(
        days=1
    ):
        return [f"measure {objective.sli.measure} is known by the day: timeSliceWindow must be whole days, as in 1d"]
    return []


def _rule(rule: BurnRule, objective: Objective) -> list[str]:
    at = f"alert on {rule.long}"
    if (rule.burn is None) == (rule.budget is None):
        return [f"{at}: give burn or budget, one of them"]
    try:
        long, short = rule.long_span, rule.short_span
        _ = duration(rule.after) if rule.after else None
    except ValueError as error:
        return [f"{at}: {error}"]
    if short > long or long > objective.period:
        return [f"{at}: short {short} must not be over long {long}, nor long over the period {objective.period}"]
    limit = rule.limit(objective.period)
    if limit * objective.budget >= 1:
        most = 1 / objective.budget
        told = (
            f"{at}: it can never fire, burn {limit:.4g} x (1 - target {objective.target:.6g}) is "
            f"{limit * objective.budget:.3g}, and even a total outage burns only {most:.4g}: "
            f"take a burn under {most:.4g}, or leave the rules out and they are derived from the period"
        )
        return [told]
    return []


__all__ = [
    "COUNTED",
    "READ",
    "BudgetStep",
    "BurnRule",
    "Calendar",
    "Component",
    "Declared",
    "Fallback",
    "Objective",
    "Part",
    "Planned",
    "Sli",
    "complaints",
]

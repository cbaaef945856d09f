"""Looks up what OpenSLO documents refer to, and gives the objectives that they come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec.structs import replace

from watchkeeper.schemas.durations import duration
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.objectives import READ, BurnRule, Calendar, Component, Fallback, Objective, Sli, complaints
from watchkeeper.schemas.openslo import (
    LESS,
    Condition,
    ConditionSpec,
    DataSourceSpec,
    Document,
    IndicatorSpec,
    MetricSource,
    OwnSpec,
    PolicySpec,
    Several,
    SloSpec,
    Spec,
    Target,
    TargetSpec,
    TimeWindow,
)

T = TypeVar("T", bound=Spec)
CALENDAR_DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Q": 365.25 / 4, "Y": 365.25}
SEVERITIES: Mapping[str, str] = {
    "page": "page", "critical": "page", "high": "page", "sev1": "page", "p1": "page", "urgent": "page",
    "ticket": "ticket", "warning": "ticket", "medium": "ticket", "sev2": "ticket", "p2": "ticket", "error": "ticket",
    "notice": "notice", "info": "notice", "low": "notice", "sev3": "notice", "p3": "notice",
}  # fmt: skip
FALLBACK = "watchkeeper/fallback"
"""The annotation of an SLO that names its fallback, where our own kind has a field."""


@dataclass(frozen=True, slots=True)
class Library:
    """Every document by kind and name."""

    documents: Mapping[tuple[str, str], Document]

    def find(self, kind: str, name: str, spec: type[T], at: str) -> T:
        """Give what a reference means."""
        found = self.documents.get((kind, name))
        if found is None:
            known = ", ".join(sorted(one for of, one in self.documents if of == kind)) or "none"
            raise SettingsError(f"{at}: there is no {kind} {name!r}; declared: {known}")
        if not isinstance(found.spec, spec):
            raise SettingsError(f"{at}: {kind} {name!r} cannot be used here")
        return found.spec


def resolve(documents: Iterable[Document]) -> tuple[list[Objective], list[str]]:
    """Give every objective, and every reason why one cannot be made."""
    listed = list(documents)
    library = Library({(one.kind, one.name): one for one in listed})
    made: list[Objective] = []
    problems: list[str] = []
    for document in listed:
        try:
            made += _objectives(document, library)
        except SettingsError as error:
            problems.append(str(error))
    names: set[str] = set()
    for one in made:
        if one.name in names:
            problems.append(f"objective {one.name} is declared twice: rename one of them")
        names.add(one.name)
    return made, problems


def _objectives(document: Document, library: Library) -> list[Objective]:
    if document.kind in {"AlertPolicy", "AlertCondition"}:
        _check_alone(document, library)
        return []
    if isinstance(document.spec, SloSpec | OwnSpec) and not document.spec.objectives:
        raise SettingsError(f"{document.at}: objectives needs at least one entry")
    if isinstance(document.spec, SloSpec):
        return _of_slo(document, document.spec, library)
    if isinstance(document.spec, OwnSpec):
        return _of_own(document, document.spec)
    if isinstance(document.spec, Several):
        parts = [(replace(document, name=name), spec) for name, spec in document.spec.parts]
        return [made for named, spec in parts for made in _of_own(named, spec)]
    return []


def _check_alone(document: Document, library: Library) -> None:
    """Read a policy or a condition that nobody uses yet, so that its mistakes are told at once."""
    if isinstance(document.spec, PolicySpec):
        _rules(document.spec, library, document.at)
    elif isinstance(document.spec, ConditionSpec):
        _rule(document.spec, document.at)


def _of_slo(document: Document, spec: SloSpec, library: Library) -> list[Objective]:
    at = document.at
    policies = [
        library.find("AlertPolicy", one, PolicySpec, at)
        if isinstance(one, str)
        else one.spec or library.find("AlertPolicy", one.alert_policy_ref or "", PolicySpec, at)
        for one in spec.alert_policies
    ]
    rules = [rule for policy in policies for rule in _rules(policy, library, at)]
    targets = [name for policy in policies for name in _targets(policy, library, at)]
    note = document.metadata.annotations.get(FALLBACK)
    shared: dict[str, Any] = {
        "service": spec.service,
        "description": spec.description,
        "rules": rules,
        "no_data": any(policy.alert_when_no_data for policy in policies),
        "targets": list(dict.fromkeys(targets)),
        "fallback": Fallback(name=note) if note else None,
    }
    if any(target.composite_weight is not None for target in spec.objectives):
        return [_composite(document, spec, library, shared)]
    made: list[Objective] = []
    for number, target in enumerate(spec.objectives):
        indicator = _indicator(spec, target, library, at)
        sli = _sli(indicator, target, library, at)
        made.append(_make(document, spec, target, number, shared | {"sli": sli}))
    return made


def _composite(document: Document, spec: SloSpec, library: Library, shared: dict[str, Any]) -> Objective:
    """Make one objective of parts: its target is their targets' mean by weight, and a weight that is left out is 1."""
    at = document.at
    if len(spec.objectives) < 2:
        raise SettingsError(f"{at}: compositeWeight weighs several objectives, each with its indicator: this is one")
    parts: list[Component] = []
    for number, target in enumerate(spec.objectives):
        indicator = _indicator(spec, target, library, at)
        sli = _sli(indicator, target, library, at)
        if sli.measure == "quality":
            raise SettingsError(f"{at}: measure quality is known late: declare it as an SLO of its own, not as a part")
        named = target.display_name or (target.indicator.metadata.name if target.indicator else target.indicator_ref)
        one = _make(document, spec, target, number, {"service": spec.service, "sli": sli})
        parts.append(Component(name=named or str(number + 1), weight=_weight(target, at), objective=one))
    if len({part.name for part in parts}) < len(parts):
        raise SettingsError(f"{at}: two objectives of a composite SLO have one name: give each its displayName")
    whole = sum(part.weight for part in parts)
    first = parts[0].objective
    fields = shared | {
        "name": document.name,
        "display_name": document.metadata.display_name,
        "sli": Sli(measure="composite"),
        "target": round(1 - sum(part.weight * part.objective.budget for part in parts) / whole, 12),
        "days": first.days,
        "calendar": first.calendar,
        "slow_burn": False,
        "components": parts,
    }
    return _sound(_checked({key: value for key, value in fields.items() if value is not None}, at), at)


def _weight(target: Target, at: str) -> float:
    weight = 1.0 if target.composite_weight is None else target.composite_weight
    if not 0 < weight < float("inf"):
        raise SettingsError(f"{at}: compositeWeight must be over 0, not {weight:g}: leave the objective out instead")
    return weight


def _of_own(document: Document, spec: OwnSpec) -> list[Objective]:
    shared: dict[str, Any] = {
        "service": spec.service,
        "description": spec.description,
        "sli": spec.sli,
        "rules": spec.alerting,
        "budget_policy": spec.budget_policy,
        "fallback": spec.fallback,
        "mature_after": spec.mature_after,
        "slow_burn": spec.slow_burn,
    }
    return [_make(document, spec, target, number, shared) for number, target in enumerate(spec.objectives)]


def _make(
    document: Document, spec: SloSpec | OwnSpec, target: Target, number: int, shared: dict[str, Any]
) -> Objective:
    at = document.at
    if target.composite_weight is not None and isinstance(spec, OwnSpec):
        raise SettingsError(f"{at}: compositeWeight belongs to an SLO of openslo/v1, not to an Objective")
    if len(spec.time_window) != 1:
        raise SettingsError(f"{at}: timeWindow needs exactly one entry")
    days, calendar = _window(spec.time_window[0], at)
    name = document.name if len(spec.objectives) == 1 else f"{document.name}/{target.display_name or number + 1}"
    ratio = _ratio(target, at)
    daily = shared["sli"].measure in READ and shared["sli"].measure != "evaluation_lag"
    fields = shared | {
        "name": name,
        "display_name": target.display_name or document.metadata.display_name,
        "target": ratio,
        "days": days,
        "calendar": calendar,
        "method": spec.budgeting_method,
        "slice_target": target.time_slice_target,
        "slice_window": target.time_slice_window
        or (None if spec.budgeting_method == "Occurrences" else "1d" if daily else "1m"),
    }
    return _sound(_checked({key: value for key, value in fields.items() if value is not None}, at), at)


def _sound(objective: Objective, at: str) -> Objective:
    """Give it back where it contradicts itself nowhere."""
    found = complaints(objective)
    if found:
        raise SettingsError(f"{at}: {'; '.join(found)}")
    return objective


def _checked(fields: dict[str, Any], at: str) -> Objective:
    """Make it through the schema, which holds what each number may be."""
    try:
        return msgspec.convert(msgspec.to_builtins(Objective(**fields)), Objective)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{at}: {error}") from None


def _ratio(target: Target, at: str) -> float:
    if target.target is not None and target.target_percent is not None:
        raise SettingsError(f"{at}: give target or targetPercent, one of them")
    ratio = target.ratio
    if ratio is None:
        raise SettingsError(f"{at}: objectives needs target (0.995) or targetPercent (99.5)")
    if not 0 < ratio < 1:
        hint = f": {ratio:g} looks like percent, write targetPercent: {ratio:g}" if 1 < ratio < 100 else ""
        raise SettingsError(f"{at}: target must be between 0 and 1, both excluded{hint}")
    if target.target_percent is not None and target.target_percent <= 1:
        raise SettingsError(
            f"{at}: targetPercent {target.target_percent:g} is at most one per cent: write target: "
            f"{target.target_percent:g}, or targetPercent: {target.target_percent * 100:g}"
        )
    return ratio


def _window(window: TimeWindow, at: str) -> tuple[float, Calendar | None]:
    if window.calendar is None:
        if not window.is_rolling:
            raise SettingsError(f"{at}: timeWindow needs isRolling: true, or calendar with startTime and timeZone")
        if window.duration[-1:] in {"M", "Q", "Y"}:
            raise SettingsError(
                f"{at}: a rolling window is counted in m, h, d or w; {window.duration} needs a calendar"
            )
        try:
            return duration(window.duration) / timedelta(days=1), None
        except ValueError as error:
            raise SettingsError(f"{at}: duration {error}") from None
    if window.is_rolling:
        raise SettingsError(f"{at}: a window is rolling or has a calendar, not both: set isRolling: false")
    count, unit = window.duration[:-1], window.duration[-1:].replace("d", "D").replace("w", "W")
    if unit not in CALENDAR_DAYS or not count.isdigit() or int(count) < 1:
        raise SettingsError(f"{at}: a calendar window lasts like 1d, 1w, 1M, 1Q or 1Y, not {window.duration!r}")
    _check_start(window.calendar.start_time, window.calendar.time_zone, at)
    return int(count) * CALENDAR_DAYS[unit], Calendar(
        unit=unit,  # pyright: ignore[reportArgumentType]  # it is one of CALENDAR_DAYS
        count=int(count),
        start=window.calendar.start_time,
        zone=window.calendar.time_zone,
    )


def _check_start(start: str, zone: str, at: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(f"{at}: timeZone {zone!r} is no IANA zone like Europe/Berlin or UTC") from None
    try:
        parsed = datetime.fromisoformat(start)
    except ValueError:
        raise SettingsError(f"{at}: startTime {start!r} is not like 2026-01-01 00:00:00") from None
    if parsed.tzinfo is not None:
        raise SettingsError(f"{at}: startTime is local to timeZone: leave the offset of {start!r} out")


def _indicator(spec: SloSpec, target: Target, library: Library, at: str) -> IndicatorSpec:
    held = target.indicator or spec.indicator
    if held is not None:
        return held.spec
    ref = target.indicator_ref or spec.indicator_ref
    if ref is None:
        raise SettingsError(f"{at}: indicator (or indicatorRef) is missing: it says which requests are good")
    return library.find("SLI", ref, IndicatorSpec, at)


def _sli(indicator: IndicatorSpec, target: Target, library: Library, at: str) -> Sli:
    if (indicator.ratio_metric is None) == (indicator.threshold_metric is None):
        raise SettingsError(f"{at}: an indicator has ratioMetric or thresholdMetric, one of them")
    if indicator.threshold_metric is not None:
        return _threshold(indicator.threshold_metric.metric_source, target, library, at)
    ratio = indicator.ratio_metric
    if ratio is None or ratio.raw is not None:
        raise SettingsError(f"{at}: ratioMetric.raw is not counted here: give good (or bad) and total")
    one = ratio.good or ratio.bad
    if one is None or (ratio.good is not None and ratio.bad is not None):
        raise SettingsError(f"{at}: ratioMetric needs good or bad, one of them, and total")
    sli = _measure(one.metric_source, library, at)
    if sli.measure in READ:
        raise SettingsError(f"{at}: {sli.measure} is a number, not a share: use thresholdMetric with op and value")
    if ratio.total is not None:
        _check_total(ratio.total.metric_source, sli, library, at)
    return sli


def _check_total(source: MetricSource, sli: Sli, library: Library, at: str) -> None:
    spec = _own(source, library, at)
    measure = spec.get("measure", "requests")
    if measure not in {"requests", sli.measure} or spec.get("model", sli.model) != sli.model:
        raise SettingsError(
            f"{at}: total must be every request that {sli.measure} is about (measure: requests), not {measure!r}"
        )


def _threshold(source: MetricSource, target: Target, library: Library, at: str) -> Sli:
    if target.op is None or target.value is None:
        raise SettingsError(f"{at}: a thresholdMetric needs op and value in each objective")
    if target.op not in LESS:
        raise SettingsError(
            f"{at}: op {target.op} is inverted: of our measures less is better, so {target.op} {target.value:g} would "
            "call bad slices good. Write op: lte"
        )
    spec = dict(_own(source, library, at))
    key = "maxMs" if spec.get("measure") == "latency" else "max"
    if spec.get(key, target.value) != target.value:
        raise SettingsError(f"{at}: {key} {spec[key]} and value {target.value:g} differ: leave {key} out")
    return _converted(spec | {key: target.value}, at)


def _measure(source: MetricSource, library: Library, at: str) -> Sli:
    return _converted(_own(source, library, at), at)


def _converted(spec: Mapping[str, Any], at: str) -> Sli:
    try:
        return msgspec.convert(spec, Sli)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{at}: metricSource.spec: {error}") from None


def _own(source: MetricSource, library: Library, at: str) -> dict[str, Any]:
    kind, held = source.type, dict[str, Any]()
    if source.metric_source_ref is not None:
        found = library.find("DataSource", source.metric_source_ref, DataSourceSpec, at)
        kind, held = kind or found.type, found.spec
    if kind != "watchkeeper":
        raise SettingsError(
            f"{at}: metricSource.type must be watchkeeper, not {kind!r}: this product counts what it was sent, so name "
            "one of its measures (see docs/declared.md)"
        )
    return held | source.spec


def _rules(policy: PolicySpec, library: Library, at: str) -> list[BurnRule]:
    if len(policy.conditions) != 1:
        raise SettingsError(f"{at}: an AlertPolicy has exactly one condition; for several windows write kind Objective")
    if not policy.alert_when_breaching:
        raise SettingsError(
            f"{at}: alertWhenBreaching: false: its condition would alert nobody: set it to true, or take the policy out"
        )
    return [
        _rule(use.spec or library.find("AlertCondition", use.condition_ref or "", ConditionSpec, at), at)
        for use in policy.conditions
    ]


def _rule(spec: ConditionSpec, at: str) -> BurnRule:
    condition: Condition = spec.condition
    if condition.op in LESS:
        raise SettingsError(
            f"{at}: op {condition.op} is inverted: it alerts while the burn rate is under {condition.threshold:g}, "
            "that is while all is well. Write op: gte (the example in the specification has this mistake)"
        )
    severity = SEVERITIES.get(spec.severity.lower())
    if severity is None:
        raise SettingsError(f"{at}: severity {spec.severity!r} is not known: page, ticket or notice")
    return BurnRule(
        severity=severity,  # pyright: ignore[reportArgumentType]  # the values of SEVERITIES are these
        long=condition.lookback_window,
        burn=condition.threshold,
        after=condition.alert_after,
    )


def _targets(policy: PolicySpec, library: Library, at: str) -> list[str]:
    """Name the receivers: a target goes by its own name; ``target`` (email, slack) only names it where it has none."""
    names: list[str] = []
    for use in policy.notification_targets:
        if use.spec is not None:
            names.append(use.metadata.name or use.spec.target)
        else:
            library.find("AlertNotificationTarget", use.target_ref or "", TargetSpec, at)
            names.append(use.target_ref or "")
    return names

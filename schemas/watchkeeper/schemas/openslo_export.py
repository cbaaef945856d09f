"""Objectives written as OpenSLO v1; what it has no word for goes to annotations, so that nothing is lost."""

from __future__ import annotations

import json
from typing import Any

from watchkeeper.schemas.objectives import READ, BurnRule, Objective


def export(objective: Objective) -> dict[str, Any]:
    """Write one objective as a document of kind SLO.

    >>> from watchkeeper.schemas.objectives import Sli
    >>> one = Objective(name="ok", service="s", sli=Sli(measure="errors"), target=0.99, days=28)
    >>> export(one)["spec"]["objectives"], export(one)["spec"]["timeWindow"]
    ([{'target': 0.99}], [{'duration': '28d', 'isRolling': True}])
    """
    spec: dict[str, Any] = {
        "service": objective.service,
        "description": objective.description or "",
        "timeWindow": [_window(objective)],
    } | (_parts(objective) if objective.components else _whole(objective))
    if objective.rules:
        spec["alertPolicies"] = [_policy(objective, rule, number) for number, rule in enumerate(objective.rules, 1)]
    metadata: dict[str, Any] = {"name": _name(objective)}
    if objective.display_name:
        metadata["displayName"] = objective.display_name
    notes = _notes(objective)
    if notes:
        metadata["annotations"] = notes
    return {"apiVersion": "openslo/v1", "kind": "SLO", "metadata": metadata, "spec": spec}


def _whole(objective: Objective) -> dict[str, Any]:
    return {
        "indicator": {"metadata": {"name": f"{_name(objective)}-sli"}, "spec": _indicator(objective)},
        "budgetingMethod": objective.method,
        "objectives": [_target(objective)],
    }


def _parts(objective: Objective) -> dict[str, Any]:
    """Write a composite one: each part with its indicator and its weight."""
    parts = [
        {
            "displayName": part.name,
            **_target(part.objective),
            "compositeWeight": part.weight,
            "indicator": {
                "metadata": {"name": f"{_name(objective)}-{number}-sli"},
                "spec": _indicator(part.objective),
            },
        }
        for number, part in enumerate(objective.components, 1)
    ]
    return {"budgetingMethod": objective.components[0].objective.method, "objectives": parts}


def _name(objective: Objective) -> str:
    return objective.name.replace("/", "-").replace(" ", "-").lower()


def _source(objective: Objective, **spec: object) -> dict[str, Any]:
    model = {} if objective.sli.model is None else {"model": objective.sli.model}
    return {"metricSource": {"type": "watchkeeper", "spec": spec | model}}


def _indicator(objective: Objective) -> dict[str, Any]:
    sli = objective.sli
    if sli.measure in READ:
        return {"thresholdMetric": _source(objective, measure=sli.measure)}
    limit = {} if sli.max_ms is None else {"maxMs": sli.max_ms}
    return {
        "ratioMetric": {
            "counter": True,
            "good": _source(objective, measure=sli.measure, **limit),
            "total": _source(objective, measure="requests"),
        }
    }


def _window(objective: Objective) -> dict[str, Any]:
    calendar = objective.calendar
    if calendar is None:
        whole = objective.days == round(objective.days)
        text = f"{objective.days:.0f}d" if whole else f"{objective.days * 1440:.0f}m"
        return {"duration": text, "isRolling": True}
    unit = calendar.unit.lower() if calendar.unit in {"D", "W"} else calendar.unit
    begun = {"startTime": calendar.start, "timeZone": calendar.zone}
    return {"duration": f"{calendar.count}{unit}", "isRolling": False, "calendar": begun}


def _target(objective: Objective) -> dict[str, Any]:
    made: dict[str, Any] = {"target": objective.target}
    if objective.method != "Occurrences":
        made["timeSliceWindow"] = objective.slice_window
    if objective.slice_target is not None:
        made["timeSliceTarget"] = objective.slice_target
    if objective.sli.max is not None:
        made |= {"op": "lte", "value": objective.sli.max}
    return made


def _policy(objective: Objective, rule: BurnRule, number: int) -> dict[str, Any]:
    name = f"{_name(objective)}-{rule.long}-{number}"
    condition: dict[str, Any] = {
        "kind": "burnrate",
        "op": "gte",
        "threshold": rule.limit(objective.period),
        "lookbackWindow": rule.long,
    }
    if rule.after:
        condition["alertAfter"] = rule.after
    held = {
        "kind": "AlertCondition",
        "metadata": {"name": name},
        "spec": {"severity": rule.severity, "condition": condition},
    }
    targets = [
        {"kind": "AlertNotificationTarget", "metadata": {"name": one}, "spec": {"target": one}}
        for one in objective.targets
    ]
    spec: dict[str, Any] = {"alertWhenNoData": objective.no_data, "conditions": [held]}
    if targets:
        spec["notificationTargets"] = targets
    return {"kind": "AlertPolicy", "metadata": {"name": name}, "spec": spec}


def _notes(objective: Objective) -> dict[str, str]:
    notes: dict[str, str] = {}
    if objective.fallback is not None:
        notes["watchkeeper/fallback"] = objective.fallback.name
        if objective.fallback.service:
            notes["watchkeeper/fallback-service"] = objective.fallback.service
    if objective.budget_policy:
        steps = [{"at": one.at, "do": one.do, "what": one.what} for one in objective.budget_policy]
        notes["watchkeeper/budget-policy"] = json.dumps(steps)
    if objective.mature_after:
        notes["watchkeeper/mature-after"] = objective.mature_after
    shorts = [rule.short for rule in objective.rules if rule.short]
    if shorts:
        notes["watchkeeper/short-windows"] = ", ".join(shorts)
    return notes

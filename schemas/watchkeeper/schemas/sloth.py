"""Sloth's files, where they can be mapped: its own ``prometheus/v1`` and OpenSLO's ``openslo/v1alpha``, which it reads.

Their indicators are PromQL, and this product counts events. So a query is read for what it counts: a ratio over a
status label means our ``errors``; one over a latency histogram's ``le`` means our ``latency``. Where that cannot be
told, the label (of an OpenSLO document: the annotation) ``watchkeeper_measure`` says it: ``errors``, ``latency 300``.
Misleads where a query counts only some of a service's requests: the measure counts them all.
Source: Sloth, pkg/prometheus/api/v1 and the OpenSLO loader.
"""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.objectives import BurnRule, Declared, Sli
from watchkeeper.schemas.openslo import Document, Metadata, OwnSpec, ServiceSpec, Several, Target, TimeWindow

PERIOD = "30d"
"""Sloth's own, where nothing else is said."""
HINT = "watchkeeper_measure"
_LATENCY = re.compile(r"_bucket\b.*?\ble\s*=\s*[\"']([0-9.eE+-]+)[\"']", re.DOTALL)
_STATUS = re.compile(r"\b(?:\w*code|\w*status\w*|grpc_type|level|result)\s*(?:=~|!~|!=|=)")
_POLICY = (
    ("page", 0.02, "1h", "5m"),
    ("page", 0.05, "6h", "30m"),
    ("ticket", 0.10, "1d", "2h"),
    ("ticket", 0.10, "3d", "6h"),
)


def is_own(document: dict[str, Any]) -> bool:
    """Whether it is a file of Sloth: its plain form, or its Kubernetes resource."""
    return document.get("version") == "prometheus/v1" or document.get("kind") == "PrometheusServiceLevel"


def read(document: dict[str, Any], where: str) -> tuple[str, Declared]:
    """Read a file of Sloth: one service, several SLOs."""
    content, name = document, str(document.get("service") or "")
    if document.get("kind") == "PrometheusServiceLevel":
        content = cast("dict[str, Any]", document.get("spec") or {})
        name = str(cast("dict[str, Any]", document.get("metadata") or {}).get("name") or "")
    at = f"{where} (Sloth {name or '?'})"
    service, slos = content.get("service"), cast("list[dict[str, Any]]", content.get("slos") or [])
    if not isinstance(service, str) or not service or not slos:
        raise SettingsError(f"{at}: a file of Sloth has service and slos")
    parts = [(f"{service}-{slo.get('name')}", _slo(service, slo, f"{at}, slo {slo.get('name')}")) for slo in slos]
    return "Sloth", Document(
        name=name or service, kind="Sloth", at=at, metadata=Metadata(name=name), spec=Several(parts=parts)
    )


def _slo(service: str, slo: dict[str, Any], at: str) -> OwnSpec:
    percent = slo.get("objective")
    if not isinstance(percent, int | float) or not slo.get("name"):
        raise SettingsError(f"{at}: name and objective (in percent, as in 99.9) are needed")
    sli = cast("dict[str, Any]", slo.get("sli") or {})
    events, raw = cast("dict[str, Any]", sli.get("events") or {}), cast("dict[str, Any]", sli.get("raw") or {})
    query = str(events.get("error_query") or raw.get("error_ratio_query") or "")
    hint = cast("dict[str, Any]", slo.get("labels") or {}).get(HINT)
    return OwnSpec(
        service=service,
        sli=measure(query, None if hint is None else str(hint), at),
        time_window=[TimeWindow(duration=PERIOD, is_rolling=True)],
        objectives=[Target(target_percent=float(percent))],
        description=None if slo.get("description") is None else str(slo["description"]),
        alerting=_alerting(cast("dict[str, Any]", slo.get("alerting") or {})),
    )


def _alerting(alerting: dict[str, Any]) -> list[BurnRule]:
    """Give Sloth's four pairs where one kind of alert is turned off; otherwise none, and they are derived."""
    off = {
        severity
        for severity in ("page", "ticket")
        if cast("dict[str, Any]", alerting.get(f"{severity}_alert") or {}).get("disable")
    }
    if not off:
        return []
    kept = [rule for rule in _POLICY if rule[0] not in off]
    return [
        BurnRule(severity="page" if severity == "page" else "ticket", budget=budget, long=long, short=short)
        for severity, budget, long, short in kept
    ] or [BurnRule(severity="notice", budget=0.10, long="3d", short="6h")]


def measure(query: str, hint: str | None, at: str) -> Sli:
    """Tell what a query counts, or take the hint's word.

    >>> measure('sum(rate(http_requests_total{code=~"5.."}[{{.window}}]))', None, "").measure
    'errors'
    >>> measure('1 - rate(latency_bucket{le="0.3"}[5m]) / rate(latency_count[5m])', None, "").max_ms
    300.0
    >>> measure("", "latency 250", "").max_ms
    250.0
    """
    named, _, limit = (hint or "").partition(" ")
    if named:
        content: dict[str, object] = {"measure": named, **({"maxMs": limit} if limit else {})}
    elif found := _LATENCY.search(query):
        content = {"measure": "latency", "maxMs": float(found[1]) * 1000}
    elif _STATUS.search(query):
        content = {"measure": "errors"}
    else:
        raise SettingsError(
            f"{at}: cannot tell what this query counts, and this product runs no PromQL: {query[:80]!r}. Say it with "
            f"the label (OpenSLO: annotation) {HINT}: errors, or {HINT}: latency 300"
        )
    try:
        return msgspec.convert(content, Sli, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{at}: {HINT}: {error}") from None


_UNITS = {"day": "d", "week": "w", "hour": "h", "minute": "m"}
_CALENDAR = {"day": "D", "week": "W", "month": "M", "quarter": "Q", "year": "Y"}


def read_v1alpha(kind: str, name: str, metadata: dict[str, Any], spec: dict[str, Any], at: str) -> Document:
    """Read a document of OpenSLO v1alpha: count and unit for the window, queries inside each objective."""
    named = Metadata(name=name, display_name=metadata.get("displayName"))
    if kind == "Service":
        return Document(name=name, kind=kind, at=at, metadata=named, spec=ServiceSpec())
    notes = cast("dict[str, Any]", metadata.get("annotations") or metadata.get("labels") or {})
    objectives = cast("list[dict[str, Any]]", spec.get("objectives") or [])
    windows = cast("list[dict[str, Any]]", spec.get("timeWindows") or [])
    if not objectives or len(windows) != 1 or not isinstance(spec.get("service"), str):
        raise SettingsError(f"{at}: openslo/v1alpha needs service, one entry of timeWindows, and objectives")
    window, hint = _window(windows[0], at), notes.get(HINT)
    parts: list[tuple[str, OwnSpec]] = []
    for number, one in enumerate(objectives, 1):
        ratio = cast("dict[str, Any]", one.get("ratioMetrics") or {})
        side = cast("dict[str, Any]", ratio.get("good") or ratio.get("bad") or {})
        target = {name: one[name] for name in ("target", "displayName", "timeSliceTarget") if name in one}
        part: dict[str, object] = {
            "service": spec["service"],
            "sli": measure(str(side.get("query") or ""), None if hint is None else str(hint), at),
            "timeWindow": [window],
            "objectives": [target],
            "budgetingMethod": spec.get("budgetingMethod", "Occurrences"),
            "description": spec.get("description"),
        }
        label = name if len(objectives) == 1 else f"{name}/{one.get('displayName') or number}"
        try:
            parts.append((label, msgspec.convert(msgspec.to_builtins(part), OwnSpec)))
        except msgspec.ValidationError as error:
            raise SettingsError(f"{at}: {error}") from None
    return Document(name=name, kind="SLO", at=at, metadata=named, spec=Several(parts=parts))


def _window(window: dict[str, Any], at: str) -> dict[str, Any]:
    count, unit = window.get("count"), str(window.get("unit") or "").lower()
    calendar = cast("dict[str, Any]", window.get("calendar") or {})
    if not isinstance(count, int) or unit not in (_CALENDAR if calendar else _UNITS):
        raise SettingsError(f"{at}: timeWindows needs count and unit (Day, Week, Month, Quarter), not {count} {unit!r}")
    if not calendar:
        return {"duration": f"{count}{_UNITS[unit]}", "isRolling": True}
    begun = {"startTime": str(calendar.get("startTime", "")), "timeZone": str(calendar.get("timeZone", "UTC"))}
    return {"duration": f"{count}{_CALENDAR[unit]}", "calendar": begun}

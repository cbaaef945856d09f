"""Evidently's result JSON from our readings, and readings from it, so that whoever moves takes the numbers along.

Ours are measured on kept bins, Evidently's on bins that move with the window: under the same names they are near each
other and not equal. What comes from Evidently is therefore kept under names of its own (``evidently.value_drift.psi``)
and never joined with ours. Its JSON holds no times: whoever imports it says of which window it is.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from scipy.special import chdtrc, kolmogorov

from watchkeeper.analyzers.drift.kolmogorov_smirnov import MEAN
from watchkeeper.analyzers.evaluation import Reading
from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.findings import Window

ANALYZER = "evidently"
DATASET = "(dataset)"
"""The subject of what is about no column."""
TYPE = "evidently:metric_v2:"
DRIFTED = 0.1
"""From this distance on Evidently calls a column drifted; of a p-value under 0.05."""
ALPHA = 0.05
_DISTANCES = {
    "psi": ("PSI", 1.0),
    "jensen_shannon": ("Jensen-Shannon distance", math.sqrt(math.log(2))),
    "hellinger": ("Hellinger distance", 1.0),
    "wasserstein": ("Wasserstein distance (normed)", 1.0),
}
"""Its name of each distance, and what ours is times: its Jensen-Shannon distance is in nats, ours in bits."""
_LONG = {
    "jensenshannon": "Jensen-Shannon distance",
    "hellinger": "Hellinger distance",
    "wasserstein": "Wasserstein distance (normed)",
    "ks": "K-S p_value",
    "chisquare": "chi-square p_value",
}
"""The name in results of a method that was asked for by its short one."""
_CHANCES = {"chi_squared": "chi-square p_value", "kolmogorov_smirnov": "K-S p_value"}


def result(readings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Give the newest reading of every column and distance as Evidently's result; the share of missing values too.

    >>> one = {"metric": "psi", "subject": "x", "value": 0.3, "reference": 0.02, "n": 500, "as_of": 1}
    >>> result([one, one | {"value": 0.4, "as_of": 2}])["metrics"][1]["metric_name"]
    'ValueDrift(column=x,method=PSI,threshold=0.1)'
    """
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in sorted(readings, key=lambda row: row["as_of"]):
        newest[row["metric"], row["subject"]] = row
    drifts = [found for row in newest.values() if (found := _drift(row)) is not None]
    missing = [_missing(row) for row in newest.values() if row["metric"] == "missing_share"]
    moved = {one["config"]["column"] for one in drifts if _is_drifted(one)}
    columns = {one["config"]["column"] for one in drifts}
    counted = {"count": float(len(moved)), "share": len(moved) / max(len(columns), 1)}
    head = _metric("DriftedColumnsCount", {"drift_share": 0.5}, counted)
    return {"metrics": [head, *drifts, *missing], "tests": []}


def readings_of(found: object, service: str, model: str, window: Window) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
    """Give every number of Evidently's result as a reading, and the names of metrics that hold none."""
    metrics = cast("dict[str, Any]", found).get("metrics") if isinstance(found, dict) else None
    if not isinstance(metrics, list):
        raise InputError("this is no result of Evidently 0.7: expected an object with a list `metrics`")
    readings: list[Reading] = []
    left_out: list[str] = []
    for one in cast("list[Any]", metrics):
        name, subject, threshold = _named(one)
        numbers = _numbers(one["value"])
        if not numbers:
            left_out.append(str(one.get("metric_name", name)))
        for part, value in numbers:
            metric = f"{ANALYZER}.{name}" + (f".{part}" if part else "")
            args = (ANALYZER, metric, service, model, subject, window, window.end, value)
            readings.append(Reading(*args, reference=threshold))
    return tuple(readings), tuple(left_out)


def _drift(row: Mapping[str, Any]) -> dict[str, Any] | None:
    metric, value, expected = row["metric"], row["value"], row["reference"] or 0.0
    if metric in _DISTANCES:
        method, times = _DISTANCES[metric]
        return _value_drift(row["subject"], method, DRIFTED, value * times)
    if metric == "chi_squared" and expected > 0:  # what chance gives is its degrees of freedom
        return _value_drift(row["subject"], _CHANCES[metric], ALPHA, float(chdtrc(expected, value)))
    if metric == "kolmogorov_smirnov" and expected > 0:
        return _value_drift(row["subject"], _CHANCES[metric], ALPHA, float(kolmogorov(value * MEAN / expected)))
    return None


def _missing(row: Mapping[str, Any]) -> dict[str, Any]:
    value = {"count": float(round(row["value"] * (row["n"] or 0))), "share": row["value"]}
    return _metric("MissingValueCount", {"column": row["subject"]}, value)


def _value_drift(column: str, method: str, threshold: float, value: float) -> dict[str, Any]:
    return _metric("ValueDrift", {"column": column, "method": method, "threshold": threshold}, value)


def _metric(kind: str, config: dict[str, Any], value: object) -> dict[str, Any]:
    name = f"{kind}({','.join(f'{key}={part}' for key, part in config.items())})"
    identity = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return {"id": identity, "metric_name": name, "config": {"type": TYPE + kind, **config}, "value": value}


def _is_drifted(one: Mapping[str, Any]) -> bool:
    threshold = one["config"]["threshold"]
    small_is_drift = one["config"]["method"] in _CHANCES.values()
    return one["value"] < threshold if small_is_drift else one["value"] >= threshold


def _named(one: object) -> tuple[str, str, float | None]:
    """Give our name of a metric, what it is about, and its threshold."""
    metric = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
    config = metric.get("config")
    if not isinstance(config, dict) or "value" not in metric:
        raise InputError("this is no result of Evidently 0.7: a metric has no `config` or no `value`")
    known = cast("dict[str, Any]", config)
    kind = str(known.get("type", "")).rpartition(":")[2]
    parts = [_slug(kind)]
    method = known.get("method")
    told = (_LONG.get(str(method), method), known.get("quantile"), known.get("column_type"))
    parts += [_slug(str(part)) for part in told if part is not None]
    threshold = known.get("threshold")
    return ".".join(parts), str(known.get("column") or DATASET), _number(threshold)


def _slug(text: str) -> str:
    """Give a name as ours are.

    >>> _slug("DriftedColumnsCount"), _slug("Wasserstein distance (normed)"), _slug("K-S p_value"), _slug("PSI")
    ('drifted_columns_count', 'wasserstein_distance_normed', 'k_s_p_value', 'psi')
    """
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    return re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")


def _numbers(value: object) -> Sequence[tuple[str, float]]:
    """Give the numbers of a value, each with its name; tables within tables are left."""
    if isinstance(value, dict):
        named = cast("dict[str, object]", value).items()
        return [(_slug(str(key)), number) for key, part in named if (number := _number(part)) is not None]
    number = _number(value)
    return [] if number is None else [("", number)]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def window_of(start: datetime | None, end: datetime | None) -> Window:
    """Give the window that a result is of."""
    if start is None or end is None or start >= end:
        raise InputError("say of which window the result is: start, and a later end")
    return Window(start, end)

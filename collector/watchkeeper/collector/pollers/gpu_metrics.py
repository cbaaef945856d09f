"""GPU metrics of several exporters as samples of one schema: a table of names, not code a vendor.

A value that the exporter does not have stays null: absent is unknown, never idle. Blank markers (2**63 and its kin)
are dropped. A MIG slice is its own device, told apart by (UUID, slice).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from watchkeeper.collector.pollers.prometheus_text import Sample
from watchkeeper.collector.times import NEWEST, OLDEST
from watchkeeper.schemas.events import GpuSample

BLANK = 2.0**31 - 20
"""From here on a number is an exporter's word for "no value" (int32, float and int64 blanks), never a reading."""
BIG_BLANK = 2.0**62
"""The same where the unit is so small that a reading may pass the int32 blank: mJ, bytes, Hz."""
MAX_LABEL = 200


@dataclass(frozen=True, slots=True)
class Metric:
    """What one exporter calls one field, what to multiply its number by, and from where on it is a blank."""

    field: str
    scale: float = 1.0
    blank: float = BLANK


METRICS: Mapping[str, Metric] = {
    "DCGM_FI_DEV_GPU_UTIL": Metric("utilization", 0.01),
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": Metric("engine_active"),
    "DCGM_FI_DEV_FB_USED": Metric("memory_used_mib"),
    "DCGM_FI_DEV_FB_FREE": Metric("memory_free_mib"),
    "DCGM_FI_DEV_POWER_USAGE": Metric("power_w"),
    "DCGM_FI_DEV_GPU_TEMP": Metric("temperature_c"),
    "DCGM_FI_DEV_SM_CLOCK": Metric("sm_clock_mhz"),
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": Metric("tensor_active"),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": Metric("energy_mj", blank=BIG_BLANK),
    "DCGM_FI_DEV_XID_ERRORS": Metric("xid"),
    "nvidia_smi_utilization_gpu_ratio": Metric("utilization"),
    "nvidia_smi_memory_used_bytes": Metric("memory_used_mib", 2**-20, BIG_BLANK),
    "nvidia_smi_memory_free_bytes": Metric("memory_free_mib", 2**-20, BIG_BLANK),
    "nvidia_smi_power_draw_watts": Metric("power_w"),
    "nvidia_smi_temperature_gpu": Metric("temperature_c"),
    "nvidia_smi_clocks_current_sm_clock_hz": Metric("sm_clock_mhz", 1e-6, BIG_BLANK),
}
_INFO = "nvidia_smi_gpu_info"
"""Says by its labels what the others leave out: name and index."""
UUID_LABELS = ("UUID", "uuid", "gpu_uuid")
_LABELS: Mapping[str, tuple[str, ...]] = {
    "uuid": UUID_LABELS,
    "host": ("Hostname", "hostname", "exported_instance"),
    "gpu": ("gpu", "index", "minor_number"),
    "model_name": ("modelName", "model_name", "name"),
    "mig": ("GPU_I_ID",),
    "workload": ("exported_pod", "pod", "exported_container", "container"),
}
_SHARES = ("utilization", "engine_active", "tensor_active")


def gpu_samples(samples: Sequence[Sample], now: datetime) -> list[GpuSample]:
    """Join the lines of one scrape to one sample a device; ``now`` stands where the exporter gave no time."""
    readings: dict[tuple[str, str], dict[str, float]] = {}
    labels: dict[tuple[str, str], Mapping[str, str]] = {}
    times: dict[tuple[str, str], float] = {}
    for sample in samples:
        metric = METRICS.get(sample.name)
        uuid = _label(sample.labels, "uuid")
        if uuid is None or (metric is None and sample.name != _INFO):
            continue
        key = (uuid, _label(sample.labels, "mig") or "")
        labels[key] = {**sample.labels, **labels.get(key, {})}
        if metric is None:
            continue
        at = None if sample.time_ms is None else sample.time_ms / 1000
        times[key] = at if at is not None and OLDEST <= at <= NEWEST else now.timestamp()
        if _meant(metric, sample.value):
            readings.setdefault(key, {})[metric.field] = sample.value * metric.scale
    return [_sample(key, labels[key], times[key], values) for key, values in readings.items()]


def _sample(key: tuple[str, str], labels: Mapping[str, str], ts: float, values: Mapping[str, float]) -> GpuSample:
    shares = {name: min(values[name], 1.0) for name in _SHARES if name in values}
    xid = values.get("xid")
    return GpuSample(
        ts=ts,
        uuid=key[0],
        mig=key[1] or None,
        host=_label(labels, "host"),
        gpu=_label(labels, "gpu"),
        model_name=_label(labels, "model_name"),
        workload=_workload(labels),
        utilization=shares.get("engine_active", shares.get("utilization")),
        memory_used_mib=values.get("memory_used_mib"),
        memory_free_mib=values.get("memory_free_mib"),
        power_w=values.get("power_w"),
        temperature_c=values.get("temperature_c"),
        sm_clock_mhz=values.get("sm_clock_mhz"),
        tensor_active=shares.get("tensor_active"),
        energy_mj=values.get("energy_mj"),
        xid=None if xid is None else int(xid),
    )


def _meant(metric: Metric, value: float) -> bool:
    """Say whether a number is a reading, not an exporter's blank."""
    lowest = -100.0 if metric.field == "temperature_c" else 0.0
    return math.isfinite(value) and lowest <= value < metric.blank


def _label(labels: Mapping[str, str], field: str) -> str | None:
    """Give the first of the names that is there; printable and no longer than an event may have it."""
    found = next((labels[name] for name in _LABELS[field] if labels.get(name)), None)
    return found[:MAX_LABEL] if found is not None and found.isprintable() else None


def _workload(labels: Mapping[str, str]) -> str | None:
    """Name what runs on the GPU; never the exporter's own pod, which Prometheus puts on idle GPUs."""
    name = _label(labels, "workload")
    return None if name is None or "dcgm-exporter" in name else name

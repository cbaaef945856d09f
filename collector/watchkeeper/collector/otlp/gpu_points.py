"""GPU readings among OTLP metrics: those of the hardware conventions, and exporters' own names kept by a Collector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from watchkeeper.collector.decoding import Events
from watchkeeper.collector.otlp.signals import Group, Point
from watchkeeper.collector.pollers.gpu_metrics import METRICS, UUID_LABELS, gpu_samples
from watchkeeper.collector.pollers.prometheus_text import Sample
from watchkeeper.collector.times import NEWEST, OLDEST
from watchkeeper.schemas.events import GpuSample

NAME = 200
_HARDWARE: Mapping[str, tuple[str, float]] = {
    "hw.gpu.utilization": ("utilization", 1.0),
    "hw.gpu.memory.usage": ("memory_used_mib", 2**-20),
    "hw.power": ("power_w", 1.0),
    "hw.temperature": ("temperature_c", 1.0),
}
"""Metric of the conventions, our field, and what to multiply by."""
_RESOURCE = {"host": ("host.name", "k8s.node.name"), "workload": ("k8s.pod.name", "service.name")}


def add(events: Events, group: Group) -> None:
    """Add what one resource sent: GPU samples, and the count of the rest by metric."""
    exported: dict[int, list[Sample]] = {}
    hardware: dict[tuple[str, int], dict[str, object]] = {}
    for point in group.points:
        labels = {name: str(value) for name, value in (*group.resource.items(), *point.attributes.items())}
        timed = OLDEST <= point.at_ns / 1e9 <= NEWEST
        if timed and point.metric in METRICS and any(labels.get(name) for name in UUID_LABELS):
            exported.setdefault(point.at_ns, []).append(Sample(point.metric, labels, point.value, None))
        elif not _hardware(hardware, point, labels):
            events.ignored[point.metric[:NAME]] += 1
    events.ignored.update(name[:NAME] for name in group.other)
    for at_ns, samples in exported.items():
        events.gpus += gpu_samples(samples, datetime.fromtimestamp(at_ns / 1e9, UTC))
    events.gpus += [GpuSample(**row) for row in hardware.values()]  # pyright: ignore[reportArgumentType] - built below


def _hardware(rows: dict[tuple[str, int], dict[str, object]], point: Point, labels: Mapping[str, str]) -> bool:
    """Take a point of the hardware conventions into the row of its GPU and time; say whether it was one."""
    field, scale = _HARDWARE.get(point.metric, ("", 1.0))
    uuid = labels.get("hw.id", "")[:NAME]
    gpu = point.metric.startswith("hw.gpu.") or labels.get("hw.type") == "gpu"
    seconds = point.at_ns / 1e9
    value = point.value * scale
    if not field or not uuid or not gpu or not OLDEST <= seconds <= NEWEST or not math.isfinite(value):
        return False
    if (field != "temperature_c" and value < 0) or (field == "utilization" and value > 1):
        return False
    row = rows.setdefault((uuid, point.at_ns), {"ts": point.at_ns, "uuid": uuid})
    row[field] = value
    for name, places in _RESOURCE.items():
        row.setdefault(name, next((labels[place][:NAME] for place in places if labels.get(place)), None))
    row.setdefault("model_name", labels.get("hw.model", "")[:NAME] or None)
    return True

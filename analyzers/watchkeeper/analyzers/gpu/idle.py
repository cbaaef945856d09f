"""Which GPUs are held by a process that does nothing?

Three shares: busy (mean utilisation where it is known), idle but held (utilisation below 1 % with more than a tenth
of the memory taken), unknown (no utilisation reported, as on MIG slices). Absent is unknown, never idle. Misleads for
a model that must stay loaded for rare requests: that is idle on purpose. Utilisation says that a kernel ran, not that
it did much.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Settings, Snapshot, settings_for
from watchkeeper.analyzers.rows import GpuRow, rows
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Severity, Window

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

SERVICE = "gpu"
"""The service name of findings and readings about GPUs, which belong to no one service."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What a GPU did: busy and idle-held of the samples that say so, unknown of all."""

    busy: float | None
    idle_held: float | None
    unknown: float


def shares(row: GpuRow) -> Shares:
    """Split the samples of one GPU.

    >>> shares(GpuRow("g", samples=100, util_samples=0, busy_sum=0.0, idle_held=0, unknown=100))
    Shares(busy=None, idle_held=None, unknown=1.0)
    """
    unknown = row.unknown / row.samples if row.samples else 1.0
    if not row.util_samples:
        return Shares(None, None, unknown)
    return Shares(row.busy_sum / row.util_samples, row.idle_held / row.util_samples, unknown)


class Idle:
    """Share of the time in which a GPU is held and does nothing."""

    name = "gpu.idle"
    question = "Which GPUs are held by something that does nothing?"
    every = timedelta(hours=1)
    span = timedelta(days=1)
    quiet = timedelta(days=1)

    @property
    def params(self) -> dict[str, Param]:
        """The share of a day that is worth a notice, and the samples that it takes."""
        return {"threshold": 0.5, "min_samples": 60}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every GPU and slice that was sampled in the window."""
        settings = settings_for(self, declared, SERVICE, "")
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for row in rows(facts.gpus(window), GpuRow) if settings.enabled else []:
            did = shares(row)
            readings += self._readings(row, did, window, as_of)
            if did.idle_held is None or row.util_samples < settings.number("min_samples"):
                continue
            judged.add((SERVICE, row.model_name or ""))
            if did.idle_held >= settings.number("threshold"):
                findings.append(self._finding(settings, row, window, as_of))
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the idle-held share."""
        return cast("int", snapshot["idle_held"]) / cast("int", snapshot["util_samples"])

    def _readings(self, row: GpuRow, did: Shares, window: Window, as_of: datetime) -> list[Reading]:
        values = {"busy": did.busy, "idle_held": did.idle_held, "unknown": did.unknown}
        return [
            Reading(
                self.name,
                f"gpu_{word}_share",
                SERVICE,
                row.model_name or "",
                subject_of(row),
                window,
                as_of,
                value,
                n=row.samples,
            )
            for word, value in values.items()
            if value is not None
        ]

    def _finding(self, settings: Settings, row: GpuRow, window: Window, as_of: datetime) -> Finding:
        snapshot: Snapshot = {
            "idle_held": row.idle_held,
            "util_samples": row.util_samples,
            "unknown": row.unknown,
            "samples": row.samples,
        }
        observed = self.recompute(snapshot)
        where = f" on {row.host}" if row.host else ""
        return Finding(
            analyzer=self.name,
            service=SERVICE,
            model=row.model_name or "",
            metric="gpu_idle_held_share",
            subjects=(subject_of(row),),
            window=window,
            as_of=as_of,
            observed=observed,
            severity=settings.severity_or(Severity.NOTICE),
            summary=phrases.sentence(
                f"GPU {row.gpu or subject_of(row)}{where} was held but idle for {phrases.percent(observed)} of the "
                f"time up to {phrases.day(as_of)}."
            ),
            evidence=Evidence("share of samples", row.util_samples, None, "C", snapshot),
            unit="share",
        )


def subject_of(row: GpuRow) -> str:
    """Name the GPU, or the slice of it.

    >>> subject_of(GpuRow("GPU-1", 1, 1, 0.0, 0, 0, mig="3g.40gb-0"))
    'GPU-1/3g.40gb-0'
    """
    return f"{row.uuid}/{row.mig}" if row.mig else row.uuid


ANALYZER = Idle()

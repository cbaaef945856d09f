"""What the loader hands to the store: columns, already decoded and normalised, in one unit of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

Scalar = bool | int | float | str | None
Fields = Mapping[str, object]

TIME = pl.Datetime("us")
CHECK = pl.Struct(
    {"name": pl.String, "kind": pl.String, "passed": pl.Boolean, "blocked": pl.Boolean, "score": pl.Float64}
)

PREDICTION_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "ts": TIME,
    "received_at": TIME,
    "service": pl.String,
    "model": pl.String,
    "model_version": pl.String,
    "system": pl.String,
    "provider": pl.String,
    "prompt": pl.String,
    "prompt_version": pl.String,
    "config_version": pl.String,
    "environment": pl.String,
    "site": pl.String,
    "prediction": pl.String,
    "prediction_number": pl.Float64,
    "score": pl.Float64,
    "confidence": pl.Float64,
    "confidence_threshold": pl.Float64,
    "latency_ms": pl.Float64,
    "ttft_ms": pl.Float64,
    "status": pl.String,
    "error_class": pl.String,
    "tokens_input": pl.Int64,
    "tokens_cache_read": pl.Int64,
    "tokens_cache_write": pl.Int64,
    "tokens_output": pl.Int64,
    "tokens_reasoning": pl.Int64,
    "cost": pl.Float64,
    "currency": pl.String,
    "attempts": pl.Int32,
    "fallback_from": pl.String,
    "fallback_reason": pl.String,
    "workflow": pl.String,
    "step": pl.String,
    "tool": pl.String,
    "agent": pl.String,
    "operation": pl.String,
    "trace_id": pl.String,
    "parent_id": pl.String,
    "conversation": pl.String,
    "finish_reason": pl.String,
    "service_tier": pl.String,
    "sample_weight": pl.Float64,
    "needed_by": TIME,
    "used_at": TIME,
    "reason_codes": pl.List(pl.String),
    "checks": pl.List(CHECK),
    "clock_skew": pl.Boolean,
    "server_ts": pl.Boolean,
}
"""Every column of ``predictions`` but ``extra``; a frame that lacks one has nulls there."""

OUTCOME_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "prediction_id": pl.String,
    "prediction_ts": TIME,
    "service": pl.String,
    "value": pl.String,
    "value_number": pl.Float64,
    "known_at": TIME,
    "received_at": TIME,
    "source": pl.String,
    "evaluation": pl.String,
}
REVIEW_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "prediction_id": pl.String,
    "prediction_ts": TIME,
    "ts": TIME,
    "received_at": TIME,
    "service": pl.String,
    "decision": pl.String,
    "minutes": pl.Float64,
    "role": pl.String,
    "reason": pl.String,
}
CHANGE_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "ts": TIME,
    "received_at": TIME,
    "kind": pl.String,
    "title": pl.String,
    "service": pl.String,
    "model": pl.String,
    "version": pl.String,
    "url": pl.String,
}
REJECT_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "received_at": TIME,
    "kind": pl.String,
    "batch": pl.String,
    "row_index": pl.Int32,
    "field": pl.String,
    "reason": pl.String,
    "service": pl.String,
    "raw": pl.Binary,
}
GPU_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "ts": TIME,
    "uuid": pl.String,
    "mig": pl.String,
    "host": pl.String,
    "gpu": pl.String,
    "model_name": pl.String,
    "workload": pl.String,
    "utilization": pl.Float64,
    "memory_used_mib": pl.Float64,
    "memory_free_mib": pl.Float64,
    "power_w": pl.Float64,
    "temperature_c": pl.Float64,
    "sm_clock_mhz": pl.Float64,
    "tensor_active": pl.Float64,
    "energy_mj": pl.Float64,
    "xid": pl.Int64,
}

FAMILY_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "service": pl.String,
    "trace_id": pl.String,
    "parent_id": pl.String,
    "operation": pl.String,
    "oldest": TIME,
    "newest": TIME,
}
"""Siblings some of which failed, between these times: to be judged anew, which are attempts of one request."""
HELD_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "key": pl.String,
    "part": pl.String,
    "service": pl.String,
    "held_at": TIME,
    "told": pl.Boolean,
    "body": pl.Binary,
}


@dataclass(frozen=True, slots=True)
class Wide:
    """What the events of one model carried under names of their own, a column a name.

    A column is a typed series (text or float) where its values were known to be of one type, else a list of whatever
    was sent; a row that lacks the name has None. ``others`` holds, by row, what has no column here: names beyond the
    limit.
    """

    columns: Mapping[str, pl.Series | Sequence[object]] = field(
        default_factory=dict[str, "pl.Series | Sequence[object]"]
    )
    others: Mapping[int, Fields] = field(default_factory=dict[int, Fields])


@dataclass(frozen=True, slots=True)
class ModelRows:
    """The rows of one (service, model): where they stand in the frame, and their features and segments."""

    service: str
    model: str
    positions: NDArray[np.int64]
    features: Wide
    segments: Wide


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions as columns; features and segments model by model; by position, fields that have no column at all."""

    frame: pl.DataFrame
    models: Sequence[ModelRows]
    extra: Mapping[int, Fields]


@dataclass(frozen=True, slots=True)
class Completions:
    """Late halves: what each says alone, under the id of the prediction that was told without it, and its time."""

    rows: Predictions
    told: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class Holding:
    """What changes among the halves that wait: new ones (HELD_COLUMNS), keys that met, and keys that are told alone.

    ``failures`` are rows too, of families that are known to have some; they are forgotten after a while.
    ``at`` is naive UTC. ``fates`` counts by service what came of halves: ``joined``, ``no_response``, ``no_request``,
    ``duplicate`` or ``late``.
    """

    at: datetime
    kept: pl.DataFrame | None = None
    met: Sequence[str] = ()
    alone: Sequence[str] = ()
    failures: pl.DataFrame | None = None
    fates: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything that one load commits, and the inbox position that it reaches: ``into`` rows of the request after the
    ``watermark`` are among it.

    ``ignored`` counts, by kind and what it was, the rows that were sound but nothing that is kept here.
    """

    predictions: Predictions | None = None
    outcomes: pl.DataFrame | None = None
    reviews: pl.DataFrame | None = None
    changes: pl.DataFrame | None = None
    rejects: pl.DataFrame | None = None
    gpus: pl.DataFrame | None = None
    ignored: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    holding: Holding | None = None
    completions: Completions | None = None
    families: pl.DataFrame | None = None
    watermark: int | None = None
    into: int = 0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What one load did: events by fate, for the status page."""

    loaded: int = 0
    duplicates: int = 0
    rejected: int = 0
    matched: int = 0
    pending: int = 0
    overflow: Sequence[str] = field(default_factory=list[str])


def complete(frame: pl.DataFrame, columns: Mapping[str, pl.DataType | type[pl.DataType]]) -> pl.DataFrame:
    """Give the frame all of these columns, in this order; those that it lacks are null."""
    return frame.select(
        [
            pl.col(name).cast(dtype, strict=False) if name in frame.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in columns.items()
        ]
    )

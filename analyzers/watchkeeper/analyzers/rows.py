"""The reader's frames as typed rows: where columns become fields, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import msgspec
import polars as pl
from msgspec import Struct

Row = TypeVar("Row", bound=Struct)


class FeatureRow(Struct, frozen=True):
    """One feature in one bucket (or in the whole window)."""

    feature: str
    kind: str
    rows: int = 0
    missing: int = 0
    nan: int = 0
    infinite: int = 0
    mismatched: int = 0
    unseen: int = 0
    below: int = 0
    above: int = 0
    min: float | None = None
    max: float | None = None
    sum: float | None = None
    sumsq: float | None = None
    bucket: datetime | None = None

    @property
    def finite(self) -> int:
        """Rows that hold a value of the right type."""
        return self.rows - self.missing - self.nan - self.infinite - self.mismatched


class BinRow(Struct, frozen=True):
    """One bin of one feature: rows of the window and of the reference; a number's bin without an end is open there."""

    feature: str
    kind: str
    bin: int
    n: int
    reference_n: int
    label: str | None = None
    lower: float | None = None
    upper: float | None = None


class ValueRow(Struct, frozen=True):
    """One value of one category that is new, or gone."""

    feature: str
    value: str
    n: int = 0
    reference_share: float = 0.0


class TrafficRow(Struct, frozen=True):
    """Requests of one key, summed."""

    service: str
    model: str
    requests: int
    errors: int
    attempts: int
    tokens_input: int
    tokens_cache_read: int
    tokens_cache_write: int
    tokens_output: int
    tokens_reasoning: int
    cost: float
    cost_n: int
    model_version: str | None = None
    provider: str | None = None
    bucket: datetime | None = None
    rows: int = 0


class QualityRow(Struct, frozen=True):
    """Predictions of one bucket and what is known of them."""

    predictions: int
    known: int
    correct: int
    wrong: int
    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0
    absolute_error_sum: float | None = None
    value: str = ""
    bucket: datetime | None = None


class DelayRow(Struct, frozen=True):
    """How many days outcomes take."""

    n: int
    q50: float | None = None
    q90: float | None = None
    q99: float | None = None


class ReviewRow(Struct, frozen=True):
    """Human reviews by decision."""

    decision: str
    reviews: int
    minutes: float | None = None


class GpuRow(Struct, frozen=True):
    """One GPU (or slice) over the window."""

    uuid: str
    samples: int
    util_samples: int
    busy_sum: float
    idle_held: int
    unknown: int
    mig: str | None = None
    host: str | None = None
    gpu: str | None = None
    model_name: str | None = None


class TelemetryRow(Struct, frozen=True):
    """What the clients of one service, site and version had logged, and what had become of it."""

    service: str
    site: str = ""
    version: str = ""
    clients: int = 0
    accepted: int = 0
    rejected: int = 0
    dropped: int = 0
    missing: int = 0
    overdue: int = 0
    seen_at: datetime | None = None


_CASTS: dict[object, Callable[[pl.Expr], pl.Expr]] = {
    int: lambda column: column.round().cast(pl.Int64).fill_null(0),
    float: lambda column: column.cast(pl.Float64).fill_null(0.0),
    float | None: lambda column: column.cast(pl.Float64),
}


def rows(frame: pl.DataFrame, kind: type[Row]) -> list[Row]:
    """Turn a frame into typed rows; columns without a field are left out, a null count or sum is 0.

    >>> rows(pl.DataFrame({"feature": ["a"], "value": ["b"], "n": [2.0], "more": [1]}), ValueRow)
    [ValueRow(feature='a', value='b', n=2, reference_share=0.0)]
    """
    casts = {field.encode_name: _CASTS.get(field.type, _as_it_is) for field in msgspec.structs.fields(kind)}
    columns = [casts[name](pl.col(name)) for name in frame.columns if name in casts]
    return msgspec.convert(frame.select(columns).to_dicts(), list[kind])


def _as_it_is(column: pl.Expr) -> pl.Expr:
    return column

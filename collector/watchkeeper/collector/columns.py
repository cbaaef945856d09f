"""Turns decoded events into the columns that the store takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, cast

import msgspec
import polars as pl

from watchkeeper.collector import times
from watchkeeper.schemas.events import EMPTY, Change, Check, GpuSample, Outcome, Prediction, Review
from watchkeeper.store.facts.batch import CHECK, PREDICTION_COLUMNS, TIME, Fields, Predictions
from watchkeeper.store.facts.outcomes import text_and_number

SKEW = timedelta(minutes=5)
_DIRECT = (
    "id",
    "service",
    "model",
    "model_version",
    "system",
    "provider",
    "prompt",
    "prompt_version",
    "config_version",
    "environment",
    "site",
    "score",
    "confidence",
    "confidence_threshold",
    "latency_ms",
    "ttft_ms",
    "status",
    "error_class",
    "cost",
    "currency",
    "attempts",
    "workflow",
    "step",
    "tool",
    "agent",
    "operation",
    "trace_id",
    "parent_id",
    "conversation",
    "finish_reason",
    "service_tier",
    "sample_weight",
)
_TOKENS = ("input", "cache_read", "cache_write", "output", "reasoning")


def predictions(events: Sequence[Prediction], received_us: Sequence[int], unknown: Mapping[int, Fields]) -> Predictions:
    """Give predictions as columns; ``unknown`` holds, by position, the fields that the schema does not have."""
    received = pl.Series("received_at", received_us, pl.Int64).cast(TIME)
    sent = times.series("ts", [event.ts for event in events])
    stamped = sent.is_null()
    ts = sent.zip_with(sent.is_not_null(), received).alias("ts")
    columns: dict[str, pl.Series] = {name: _column(name, map(attrgetter(name), events)) for name in _DIRECT}
    values = [text_and_number(event.prediction) for event in events]
    columns["prediction"] = _column("prediction", (text for text, _ in values))
    columns["prediction_number"] = _column("prediction_number", (number for _, number in values))
    for name in _TOKENS:
        columns[f"tokens_{name}"] = _column(
            f"tokens_{name}", (getattr(event.tokens, name) if event.tokens else None for event in events)
        )
    columns["fallback_from"] = _column("fallback_from", (e.fallback and e.fallback.from_model for e in events))
    columns["fallback_reason"] = _column("fallback_reason", (e.fallback and e.fallback.reason for e in events))
    columns["needed_by"] = times.series("needed_by", [event.needed_by for event in events])
    columns["used_at"] = times.series("used_at", [event.used_at for event in events])
    columns["reason_codes"] = pl.Series("reason_codes", [e.reason_codes for e in events], pl.List(pl.String))
    checks = [[_check(check) for check in event.checks] if event.checks else None for event in events]
    columns["checks"] = pl.Series("checks", checks, pl.List(CHECK))
    frame = pl.DataFrame([ts, received, *columns.values(), stamped.alias("server_ts")]).with_columns(
        clock_skew=pl.col("ts") > pl.col("received_at") + SKEW
    )
    return Predictions(
        frame=frame,
        features=[None if event.features is EMPTY else fields_of(event.features) for event in events],
        segments=[event.segments for event in events],
        extra=[_extra(event, unknown.get(index)) for index, event in enumerate(events)],
    )


def outcomes(events: Sequence[Outcome], received_us: Sequence[int]) -> pl.DataFrame:
    """Give outcomes as columns; an outcome that does not say when it was known was known when it came."""
    received = pl.Series("received_at", received_us, pl.Int64).cast(TIME)
    known = times.series("known_at", [event.known_at for event in events])
    values = [text_and_number(event.value) for event in events]
    return pl.DataFrame(
        {
            "prediction_id": [event.prediction_id for event in events],
            "prediction_ts": times.series("prediction_ts", [event.prediction_ts for event in events]),
            "service": [event.service for event in events],
            "value": [text for text, _ in values],
            "value_number": pl.Series([number for _, number in values], dtype=pl.Float64),
            "known_at": known.zip_with(known.is_not_null(), received),
            "received_at": received,
            "source": [event.source for event in events],
        },
        schema_overrides={"service": pl.String, "source": pl.String},
    )


def reviews(events: Sequence[Review], received_us: Sequence[int]) -> pl.DataFrame:
    """Give human reviews as columns."""
    return _records(events, received_us).with_columns(
        times.series("prediction_ts", [event.prediction_ts for event in events])
    )


def changes(events: Sequence[Change], received_us: Sequence[int]) -> pl.DataFrame:
    """Give change markers as columns."""
    return _records(events, received_us)


def gpus(events: Sequence[GpuSample]) -> pl.DataFrame:
    """Give GPU samples as columns."""
    return _records(events, [0] * len(events)).drop("received_at")


def newest(frame: pl.DataFrame, column: str) -> datetime | None:
    """Give the newest time of a column, aware."""
    value = frame[column].max()
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None


def _records(
    events: Sequence[Review] | Sequence[Change] | Sequence[GpuSample], received_us: Sequence[int]
) -> pl.DataFrame:
    received = pl.Series("received_at", received_us, pl.Int64).cast(TIME)
    sent = times.series("ts", [event.ts for event in events])
    names = [name for name in type(events[0]).__struct_fields__ if name not in ("ts", "prediction_ts")]
    frame = pl.DataFrame({name: [getattr(event, name) for event in events] for name in names})
    return frame.with_columns(sent.zip_with(sent.is_not_null(), received).alias("ts"), received)


def _column(name: str, values: Iterable[object]) -> pl.Series:
    return pl.Series(name, list(values), PREDICTION_COLUMNS[name], strict=False)


def _check(check: Check) -> dict[str, object]:
    return cast("dict[str, object]", msgspec.structs.asdict(check))


def fields_of(raw: msgspec.Raw) -> Fields | None:
    """Decode one object of names and values; a number too great for a float is infinite, and will be counted as that.

    >>> fields_of(msgspec.Raw(b'{"a": 1e400, "b": 2}'))
    {'a': inf, 'b': 2}
    """
    try:
        value: Any = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        value = json.loads(bytes(raw), parse_int=lambda digits: float(digits) if len(digits) > 300 else int(digits))
    return cast("Fields | None", value)


def _extra(event: Prediction, unknown: Fields | None) -> Fields | None:
    own = None if event.extra is EMPTY else fields_of(event.extra)
    return {**own, **unknown} if own and unknown else own or unknown

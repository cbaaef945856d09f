"""The rows of a file of the past, as the store takes them: in stretches of time, each thing when it became known.

Rows come by when they were made, outcomes by when they became known.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import numpy as np
import polars as pl

from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.events import Review
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.batch import CHECK, Batch, Fields, ModelRows, Predictions, Wide
from watchkeeper.store.facts.ranked import RANKING

STRETCH = timedelta(days=28)
"""How much of the file is loaded at a time."""
SEGMENT = "segment"
PROTECTED = "protected_group"
"""A segment too; as if a system had declared it protected."""
MODEL = "model"

_RENAMED = {"tokens_in": "tokens_input", "tokens_out": "tokens_output"}
_OPERATIONS = (
    "score",
    "confidence",
    "confidence_threshold",
    "latency_ms",
    "attempts",
    "tokens_in",
    "tokens_out",
    "cost",
    "sample_weight",
)
REASONS = "reason_codes"
ROW = "\x00row"
"""The number of the row in the file; no feature is called like that."""
CHECKS, REVIEW, REVIEWED = "checks", "review", "review_ts"
_TIMES = ("ts", "outcome_ts", REVIEWED)
_KNOWN = {"prediction", "outcome", "ok", SEGMENT, PROTECTED, REASONS, CHECKS, REVIEW, RANKING, *_TIMES, *_OPERATIONS}
_LISTS = {REASONS: "text", RANKING: "items, the best first", CHECKS: "structs with name and passed"}
_DECISIONS: tuple[str, ...] = get_args(get_type_hints(Review)["decision"])


def read(file: Path) -> pl.DataFrame:
    """Read the file; its times are naive UTC afterwards."""
    try:
        frame = pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"cannot read {file} as Parquet: {error}") from None
    if "ts" not in frame.columns or frame.height == 0:
        raise InputError(f"{file} needs at least one row and a column ts (the time of the row, UTC)")
    _check(frame, file)
    frame = frame.with_columns(_naive(frame, name) for name in _TIMES if name in frame.columns)
    timeless = frame["ts"].null_count()
    if timeless:
        raise InputError(f"{timeless} of {frame.height} rows of {file} have no ts: take them out, or give them a time")
    if "outcome" in frame.columns and isinstance(frame.schema["outcome"], pl.List):
        frame = frame.with_columns(_json("outcome", frame["outcome"]))
    return frame.with_columns(_finite(frame, name) for name in (*_OPERATIONS, "outcome") if name in frame.columns)


def _check(frame: pl.DataFrame, file: Path) -> None:
    """Refuse a column that nothing can be made of, by its name."""
    for name, dtype in frame.schema.items():
        countable = dtype.is_numeric() or isinstance(dtype, pl.Boolean | pl.Null)
        if name in _OPERATIONS and not countable:
            raise InputError(f"column {name} of {file} must hold numbers, not {dtype}")
        if name == "ok" and not countable:
            raise InputError(f"column ok of {file} must hold true or false, not {dtype}")
        if name in _LISTS and not _is_list(name, dtype):
            raise InputError(f"column {name} of {file} must hold lists of {_LISTS[name]}, not {dtype}")
        may_nest = name in _LISTS or (name == "outcome" and RANKING in frame.columns and isinstance(dtype, pl.List))
        if not may_nest and (dtype.is_nested() or isinstance(dtype, pl.Binary | pl.Object)):
            raise InputError(f"column {name} of {file} holds {dtype}: take it out, or make it a number or text")
    if "sample_weight" in frame.columns and (frame["sample_weight"].cast(pl.Float64) <= 0).any():
        raise InputError(f"column sample_weight of {file} holds what is not above 0: leave a weight out where it is 1")
    if REVIEW in frame.columns:
        for word in frame[REVIEW].drop_nulls().unique().cast(pl.String).sort().to_list():
            if word not in _DECISIONS:
                raise InputError(f"column {REVIEW} of {file} holds {word!r}, not one of {', '.join(_DECISIONS)}")


def _is_list(name: str, dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.List) and (name != CHECKS or {"name", "passed"} <= _fields(dtype))


def _fields(dtype: pl.DataType) -> set[str]:
    """Name the fields of a list of structs; of another list there are none."""
    inner = dtype.inner if isinstance(dtype, pl.List) else None
    return {one.name for one in inner.fields} if isinstance(inner, pl.Struct) else set[str]()


def _finite(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Take what is not a number, or infinite, as unknown."""
    column = pl.col(name)
    return pl.when(column.is_finite()).then(column).alias(name) if frame.schema[name].is_float() else column


def _json(name: str, values: pl.Series) -> pl.Series:
    """Write lists as JSON, as an outcome that names what was relevant is sent."""
    texts = [None if value is None else msgspec.json.encode(value).decode() for value in values.to_list()]
    return pl.Series(name, texts, pl.String)


def _naive(frame: pl.DataFrame, name: str) -> pl.Expr:
    dtype = frame.schema[name]
    if not isinstance(dtype, pl.Datetime):
        raise InputError(f"column {name} must hold times, not {dtype}")
    column = pl.col(name)
    if dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(pl.Datetime("us"))


def day_of(time: object) -> datetime:
    """Give the day (UTC) of a time."""
    if not isinstance(time, datetime):
        raise InputError("column ts holds no time at all")
    return time.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)


def batches(
    frame: pl.DataFrame, service: str, first: datetime, end: datetime, since: datetime
) -> Iterator[tuple[Batch, datetime]]:
    """Hand out the file's days [first, end) in stretches, from the one on that begins at ``since``."""
    frame = frame.with_columns(pl.int_range(pl.len()).cast(pl.String).alias(ROW))
    late, looked_at = outcomes(frame, service), reviews(frame, service)
    start = since
    while start < end:
        until = min(start + STRETCH, end)
        low, high = stored(start), stored(until)
        rows = frame.filter((pl.col("ts") >= low) & (pl.col("ts") < high))
        known = None
        if late is not None:
            since_first = (pl.col("known_at") >= low) | (start == first)
            known = late.filter(since_first & (pl.col("known_at") < high))
        reviewed = None
        if looked_at is not None:
            since_first = (pl.col("ts") >= low) | (start == first)
            reviewed = looked_at.filter(since_first & (pl.col("ts") < high))
        yield Batch(predictions=predictions(rows, service), outcomes=known, reviews=reviewed), until
        start = until


def predictions(frame: pl.DataFrame, service: str) -> Predictions:
    """Give rows as predictions; unknown columns are features."""
    columns = set(frame.columns)
    operations = [name for name in _OPERATIONS if name in columns and name != "attempts"]
    made = frame.select(
        pl.col(ROW).alias("id"),
        "ts",
        pl.col("ts").alias("received_at"),
        pl.lit(service).alias("service"),
        pl.lit(MODEL).alias("model"),
        *(_text_and_number(frame, "prediction", "prediction") if "prediction" in columns else ()),
        *(pl.col(name).alias(_RENAMED.get(name, name)) for name in operations),
        (pl.col("attempts") if "attempts" in columns else pl.lit(1)).alias("attempts"),
        _status() if "ok" in columns else pl.lit("ok").alias("status"),
        *((pl.col(REASONS).cast(pl.List(pl.String)),) if REASONS in columns else ()),
        *((_checks(frame.schema[CHECKS]),) if CHECKS in columns else ()),
    )
    features = [_feature(name, dtype) for name, dtype in frame.schema.items() if name not in {*_KNOWN, ROW}]
    segments = [pl.col(name).cast(pl.String) for name in (SEGMENT, PROTECTED) if name in columns]
    positions = np.arange(frame.height)
    rows = ModelRows(service, MODEL, positions, wide(frame.select(features)), wide(frame.select(segments)))
    return Predictions(made, [rows], _rankings(frame))


def wide(frame: pl.DataFrame) -> Wide:
    """Give a frame as the columns of one model."""
    return Wide({column.name: column for column in frame})


def outcomes(frame: pl.DataFrame, service: str) -> pl.DataFrame | None:
    """Give what came true; None where the file does not say when that became known."""
    if not {"outcome", "outcome_ts"} <= set(frame.columns):
        return None
    known = frame.filter(pl.col("outcome").is_not_null() & pl.col("outcome_ts").is_not_null())
    return known.select(
        pl.col(ROW).alias("prediction_id"),
        pl.col("ts").alias("prediction_ts"),
        pl.lit(service).alias("service"),
        *_text_and_number(frame, "outcome", "value"),
        pl.col("outcome_ts").alias("known_at"),
        pl.col("outcome_ts").alias("received_at"),
    )


def reviews(frame: pl.DataFrame, service: str) -> pl.DataFrame | None:
    """Give what people decided; None where the file does not say what and when."""
    if not {REVIEW, REVIEWED} <= set(frame.columns):
        return None
    said = frame.filter(pl.col(REVIEW).is_not_null() & pl.col(REVIEWED).is_not_null())
    return said.select(
        pl.col(ROW).alias("prediction_id"),
        pl.col("ts").alias("prediction_ts"),
        pl.col(REVIEWED).alias("ts"),
        pl.col(REVIEWED).alias("received_at"),
        pl.lit(service).alias("service"),
        pl.col(REVIEW).alias("decision"),
    )


def _rankings(frame: pl.DataFrame) -> dict[int, Fields]:
    """Give what was ranked, by row: a prediction carries it under a name that has no column."""
    if RANKING not in frame.columns:
        return {}
    return {place: {RANKING: items} for place, items in enumerate(frame[RANKING].to_list()) if items is not None}


def _checks(dtype: pl.DataType) -> pl.Expr:
    """Give checks all of their fields; what a file leaves out is null."""
    given = _fields(dtype)
    fields = [
        (pl.element().struct.field(one.name) if one.name in given else pl.lit(None)).cast(one.dtype).alias(one.name)
        for one in CHECK.fields
    ]
    return pl.col(CHECKS).list.eval(pl.struct(fields))


def _text_and_number(frame: pl.DataFrame, column: str, name: str) -> tuple[pl.Expr, pl.Expr]:
    dtype = frame.schema[column]
    text = pl.col(column).cast(pl.String).alias(name)
    countable = dtype.is_numeric() or dtype == pl.Boolean
    number = pl.col(column).cast(pl.Float64) if countable else pl.lit(None, pl.Float64)
    return text, number.alias(f"{name}_number")


def _status() -> pl.Expr:
    return pl.when(pl.col("ok").cast(pl.Boolean)).then(pl.lit("ok")).otherwise(pl.lit("error")).alias("status")


def _feature(name: str, dtype: pl.DataType) -> pl.Expr:
    return pl.col(name).cast(pl.Float64 if dtype.is_numeric() else pl.String)

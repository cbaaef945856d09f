"""Traffic and latency by minute and hour: each load adds the rows of what it brought, a read sums them.

Latencies go to DDSketch's logarithmic buckets (1 % relative error; Masson, Rim, Lee, VLDB 2019), which merge by
addition over time, version and machine. Minutes are kept for two days and only for events that are that young.

These count rows. Where a sender samples, a row of weight w stands for w requests: what the other w - 1 come to is kept
beside, in the ``unsent`` tables, by the same keys. Rows and unsent together estimate the whole traffic (the estimator
of Horvitz and Thompson, JASA 1952); without sampling the second are empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import duckdb
import polars as pl

from watchkeeper.schemas.events import INNER_OPERATIONS
from watchkeeper.store.facts.batch import ModelRows
from watchkeeper.store.facts.connection import insert

ACCURACY = 0.01
GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
ZERO_BUCKET = -32768
MINUTES_KEPT = timedelta(hours=48)
MAX_SEGMENT_VALUES = 50
OTHER = "other"
SEGMENT_ROW = {"position": pl.Int64, "dim": pl.String, "value": pl.String}

_TRAFFIC_KEYS = "bucket, service, model, model_version, provider, dim, value"
_LATENCY_KEYS = "bucket, service, model, log_bucket"
_KEYS: Mapping[str, str] = {
    "traffic_minute": _TRAFFIC_KEYS,
    "traffic_hour": _TRAFFIC_KEYS,
    "latency_minute": _LATENCY_KEYS,
    "latency_hour": _LATENCY_KEYS,
    "traffic_unsent_minute": _TRAFFIC_KEYS,
    "traffic_unsent_hour": _TRAFFIC_KEYS,
    "latency_unsent_minute": _LATENCY_KEYS,
    "latency_unsent_hour": _LATENCY_KEYS,
    "feature_hour": "bucket, service, model, feature",
    "histogram_hour": "bucket, epoch, bin",
    "unseen_hour": "bucket, epoch, value",
}

_TOKENS = ("tokens_input", "tokens_cache_read", "tokens_cache_write", "tokens_output", "tokens_reasoning")
_COUNTED: Mapping[str, pl.Expr] = {
    "requests": pl.col("position").is_not_null(),
    "errors": pl.col("status") == "error",
    "late": pl.col("used_at") > pl.col("needed_by"),
    "due": pl.col("used_at").is_not_null() & pl.col("needed_by").is_not_null(),
    "checked": pl.col("checked"),
    "deferred": pl.col("confidence") < pl.col("confidence_threshold"),
    "weighed": (pl.col("confidence") - pl.col("confidence_threshold")).is_not_null(),
    "check_failures": pl.col("check_failed"),
    "blocked": pl.col("check_blocked"),
    "attempts": pl.col("attempts").cast(pl.Int64),
    "retried": pl.col("attempts") > 1,
    "fallbacks": pl.col("fallback_from").is_not_null(),
    "latency_n": pl.col("latency_ms").is_not_null(),
    "cost_n": pl.col("cost").is_not_null(),
}
"""What each row adds to each count."""
_ADDED: Mapping[str, pl.Expr] = {
    "latency_sum_ms": pl.col("latency_ms"),
    **{name: pl.col(name) for name in _TOKENS},
    "cost": pl.col("cost"),
}
_SUMS = (
    *(each.sum().cast(pl.Int64).alias(name) for name, each in _COUNTED.items()),
    *(each.sum().alias(name) for name, each in _ADDED.items()),
)
_UNSENT = pl.col("sample_weight") - 1
_UNSENT_SUMS = tuple(
    (each.cast(pl.Float64) * _UNSENT).sum().alias(name) for name, each in (*_COUNTED.items(), *_ADDED.items())
)
_SUMMED = (
    "service",
    "model",
    "model_version",
    "provider",
    "status",
    "used_at",
    "needed_by",
    "confidence",
    "confidence_threshold",
    "attempts",
    "fallback_from",
    "latency_ms",
    *_TOKENS,
    "cost",
    "sample_weight",
)


def bucket_value(log_bucket: int) -> float:
    """Give the latency (ms) that a bucket stands for, at most 1 % off.

    >>> bucket_of_250 = math.ceil(math.log(250.0) / math.log(GAMMA))
    >>> abs(bucket_value(bucket_of_250) - 250.0) <= ACCURACY * 250.0
    True
    """
    return 0.0 if log_bucket == ZERO_BUCKET else 2 * GAMMA**log_bucket / (GAMMA + 1)


def log_bucket(values: pl.Expr) -> pl.Expr:
    """Find the bucket of a positive number; zero has its own."""
    positive = (values.log() / math.log(GAMMA)).ceil()
    return pl.when(values > 1e-9).then(positive).otherwise(ZERO_BUCKET).cast(pl.Int32)


class SegmentValues:
    """Keeps the values of a segment column to fifty a model; the rest counts as ``other``."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], set[str]] = {}
        self._generation = -1

    def refresh(self, connection: duckdb.DuckDBPyConnection, generation: int) -> None:
        """Read the known values again after an aborted transaction (or for the first time)."""
        if generation == self._generation:
            return
        self._generation = generation
        self._known.clear()
        for service, model, dim, value in connection.execute(
            "SELECT DISTINCT service, model, dim, value FROM traffic_hour WHERE dim <> ''"
        ).fetchall():
            self._known.setdefault((service, model, dim), set()).add(value)

    def bounded(self, service: str, model: str, dim: str, values: pl.Series) -> pl.Series:
        """Give the values, but ``other`` for those that came after the column had fifty."""
        known = self._known.setdefault((service, model, dim), set())
        for value in values.unique(maintain_order=True).drop_nulls():
            if value not in known and len(known) < MAX_SEGMENT_VALUES:
                known.add(value)
        if known.issuperset(values.unique().drop_nulls()):
            return values
        bounded = pl.when(values.is_in(list(known)) | values.is_null()).then(values).otherwise(pl.lit(OTHER))
        return pl.select(bounded.alias(values.name)).to_series()


def segment_rows(rows: ModelRows, segments: Mapping[str, pl.Series], values: SegmentValues) -> pl.DataFrame:
    """Give one row (position, dim, value) for every segment of every prediction of one model."""
    positions = pl.Series("position", rows.positions, pl.Int64)
    parts = [
        pl.DataFrame([positions, values.bounded(rows.service, rows.model, dim, column).alias("value")])
        .select("position", pl.lit(dim).alias("dim"), "value")
        .drop_nulls("value")
        for dim, column in segments.items()
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=SEGMENT_ROW)


def add(connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame, segments: pl.DataFrame, now: datetime) -> None:
    """Add the increments of these new predictions; ``now`` (naive UTC) says how old a minute may be."""
    _write(connection, _increments(frame, segments), now)


def exchange(
    connection: duckdb.DuckDBPyConnection, old: pl.DataFrame, new: pl.DataFrame, segments: pl.DataFrame, now: datetime
) -> None:
    """Take back what these predictions added as they were, and add them as they are; their segments are the same."""
    was, becomes = _increments(old, segments), _increments(new, segments)
    for name, before in was.items():
        sums = [column for column in before.columns if column not in _KEYS[f"{name}_hour"].split(", ")]
        taken = before.with_columns(-pl.col(column) for column in sums)
        becomes[name] = pl.concat([becomes[name], taken], how="diagonal") if name in becomes else taken
    _write(connection, becomes, now)


def _increments(frame: pl.DataFrame, segments: pl.DataFrame) -> dict[str, pl.DataFrame]:
    rows = _requests(frame)
    sent = {"traffic": _traffic(rows, segments, _SUMS), "latency": _latency(rows, pl.len().cast(pl.Int64))}
    if rows["sample_weight"].null_count() == rows.height:
        return sent
    weighted = rows.filter(pl.col("sample_weight") != 1)
    unsent = {"traffic": _traffic(weighted, segments, _UNSENT_SUMS), "latency": _latency(weighted, _UNSENT.sum())}
    return sent | {f"{name}_unsent": increments for name, increments in unsent.items() if increments.height}


def _write(connection: duckdb.DuckDBPyConnection, increments: Mapping[str, pl.DataFrame], now: datetime) -> None:
    young = now - MINUTES_KEPT
    connection.execute("UPDATE minutes_kept SET since = ?", [young])  # what is older may never have been counted
    for name, minutes in increments.items():
        keys = _KEYS[f"{name}_hour"].split(", ")
        hours = (
            minutes.with_columns(pl.col("bucket").dt.truncate("1h"))
            .group_by(keys, maintain_order=True)
            .agg(pl.exclude(keys).sum())
        )
        insert(connection, f"{name}_hour", hours)
        insert(connection, f"{name}_minute", minutes.filter(pl.col("bucket") >= young.replace(second=0, microsecond=0)))


def _traffic(rows: pl.DataFrame, segments: pl.DataFrame, sums: Sequence[pl.Expr]) -> pl.DataFrame:
    """Sum requests by minute: all of them, and those of each segment's values."""
    keys = ["bucket", "service", "model", "model_version", "provider"]
    whole = rows.group_by(keys, maintain_order=True).agg(sums).with_columns(dim=pl.lit(""), value=pl.lit(""))
    if not segments.height:
        return whole
    return pl.concat(
        [whole, segments.join(rows, on="position").group_by(*keys, "dim", "value", maintain_order=True).agg(sums)],
        how="diagonal",
    )


def _latency(rows: pl.DataFrame, count: pl.Expr) -> pl.DataFrame:
    """Count latencies by minute and bucket."""
    measured = rows.lazy().filter(pl.col("latency_ms").is_not_null())
    keys = ("bucket", "service", "model", log_bucket(pl.col("latency_ms")).alias("log_bucket"))
    return measured.group_by(keys).agg(count.alias("n")).collect()


def _requests(frame: pl.DataFrame) -> pl.DataFrame:
    """Give what is summed of the rows that are requests, with their positions."""
    checks = pl.col("checks").list
    passed, blocked = pl.element().struct.field("passed"), pl.element().struct.field("blocked")
    checked = frame["checks"].null_count() < frame.height
    rows = frame.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("position"),
        pl.col("ts").dt.truncate("1m").alias("bucket"),
        *_SUMMED,
        "operation",
        checked=(checks.len() > 0).fill_null(False) if checked else pl.lit(False),
        check_failed=checks.eval(~passed).list.any() if checked else pl.lit(False),
        check_blocked=checks.eval(blocked).list.any() if checked else pl.lit(False),
    )
    inner = pl.col("operation").is_in(INNER_OPERATIONS).fill_null(False)
    return rows.filter(~inner) if frame["operation"].null_count() < frame.height else rows


def compact(connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
    """Sum the increments of each key of the last two days into one row, and let go of minutes that are older.

    Runs in the caller's transaction; a read gives the same before and after. What came later than two days stays as
    it was added: its rows are few, and history is not written anew each time.
    """
    young = {"young": now - MINUTES_KEPT}
    for table, keys in _KEYS.items():
        names = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
        key_names = set(keys.split(", "))
        sums = ", ".join(
            f"{name if name in ('min', 'max') else 'sum'}({name}) AS {name}" for name in names if name not in key_names
        )
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE compacted AS SELECT {keys}, {sums} FROM {table} "
            f"WHERE bucket >= $young GROUP BY {keys} ORDER BY bucket",
            young,
        )
        if table.endswith("_minute"):
            connection.execute(f"DELETE FROM {table}")
        else:
            connection.execute(f"DELETE FROM {table} WHERE bucket >= $young", young)
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM compacted")
    connection.execute("DROP TABLE compacted")

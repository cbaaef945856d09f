"""Traffic and latency by minute and hour: each load adds the rows of what it brought, a read sums them.

Latencies go to DDSketch's logarithmic buckets (1 % relative error; Masson, Rim, Lee, VLDB 2019), which merge by
addition over time, version and machine. Minutes are kept for two days and only for events that are that young.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

import duckdb
import polars as pl

from watchkeeper.schemas.events import INNER_OPERATIONS
from watchkeeper.store.facts.batch import ModelRows
from watchkeeper.store.facts.connection import frame_of, insert, registered

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
    "feature_hour": "bucket, service, model, feature",
    "histogram_hour": "bucket, epoch, bin",
    "unseen_hour": "bucket, epoch, value",
}

_SUMS = """
    count(*) AS requests,
    count(*) FILTER (status = 'error') AS errors,
    count(*) FILTER (used_at > needed_by) AS late,
    count(*) FILTER (check_failed) AS check_failures,
    count(*) FILTER (check_blocked) AS blocked,
    sum(attempts)::BIGINT AS attempts,
    count(*) FILTER (attempts > 1) AS retried,
    count(fallback_from) AS fallbacks,
    count(latency_ms) AS latency_n,
    coalesce(sum(latency_ms), 0) AS latency_sum_ms,
    coalesce(sum(tokens_input), 0)::BIGINT AS tokens_input,
    coalesce(sum(tokens_cache_read), 0)::BIGINT AS tokens_cache_read,
    coalesce(sum(tokens_cache_write), 0)::BIGINT AS tokens_cache_write,
    coalesce(sum(tokens_output), 0)::BIGINT AS tokens_output,
    coalesce(sum(tokens_reasoning), 0)::BIGINT AS tokens_reasoning,
    coalesce(sum(cost), 0) AS cost,
    count(cost) AS cost_n
"""
_SUMMED = (
    "ts",
    "service",
    "model",
    "model_version",
    "provider",
    "status",
    "used_at",
    "needed_by",
    "attempts",
    "fallback_from",
    "latency_ms",
    "tokens_input",
    "tokens_cache_read",
    "tokens_cache_write",
    "tokens_output",
    "tokens_reasoning",
    "cost",
)


def bucket_value(log_bucket: int) -> float:
    """Give the latency (ms) that a bucket stands for, at most 1 % off.

    >>> bucket_of_250 = math.ceil(math.log(250.0) / math.log(GAMMA))
    >>> abs(bucket_value(bucket_of_250) - 250.0) <= ACCURACY * 250.0
    True
    """
    return 0.0 if log_bucket == ZERO_BUCKET else 2 * GAMMA**log_bucket / (GAMMA + 1)


def bucket_sql(column: str) -> str:
    """Give the SQL that finds the bucket of a positive number; zero has its own."""
    return f"CASE WHEN {column} > 1e-9 THEN ceil(ln({column}) / {math.log(GAMMA)!r})::INTEGER ELSE {ZERO_BUCKET} END"


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
    young = now - MINUTES_KEPT
    connection.execute("UPDATE minutes_kept SET since = ?", [young])  # what is older may never have been counted
    rows = _requests(frame)
    keys = "date_trunc('minute', ts) AS bucket, service, model, model_version, provider"
    by_segment = f"""
        UNION ALL BY NAME
        SELECT {keys}, dim, value, {_SUMS} FROM new_segments JOIN new_rows USING (position) GROUP BY ALL"""
    with registered(connection, "new_rows", rows), registered(connection, "new_segments", segments):
        traffic = frame_of(
            connection.sql(
                f"""SELECT {keys}, '' AS dim, '' AS value, {_SUMS} FROM new_rows GROUP BY ALL
                    {by_segment if segments.height else ""}"""
            )
        )
        latency = frame_of(
            connection.sql(
                f"""SELECT date_trunc('minute', ts) AS bucket, service, model, {bucket_sql("latency_ms")} AS log_bucket,
                           count(*) AS n FROM new_rows WHERE latency_ms IS NOT NULL GROUP BY ALL"""
            )
        )
    for name, minutes in (("traffic", traffic), ("latency", latency)):
        names = _KEYS[f"{name}_hour"].split(", ")
        sums = ", ".join(f"sum({column}) AS {column}" for column in minutes.columns if column not in names)
        with registered(connection, "minutes", minutes):
            connection.execute(
                f"""INSERT INTO {name}_hour BY NAME
                    SELECT date_trunc('hour', bucket) AS bucket, {", ".join(names[1:])}, {sums}
                    FROM minutes GROUP BY ALL"""
            )
        insert(connection, f"{name}_minute", minutes.filter(pl.col("bucket") >= young.replace(second=0, microsecond=0)))


def _requests(frame: pl.DataFrame) -> pl.DataFrame:
    """Give what is summed of the rows that are requests, with their positions."""
    checks = pl.col("checks").list
    passed, blocked = pl.element().struct.field("passed"), pl.element().struct.field("blocked")
    checked = frame["checks"].null_count() < frame.height
    rows = frame.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("position"),
        *_SUMMED,
        "operation",
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

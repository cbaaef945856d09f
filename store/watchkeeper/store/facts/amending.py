"""Amends predictions that are stored already: a check that came later, an attempt that turned out not to be the last.

The row and the counts change together: what the row added to the rollups is taken back, what it adds now is added. It
happens in the transaction that stores what brought it on, and only where that was new: so it happens once.
"""

from __future__ import annotations

from datetime import datetime

import duckdb
import polars as pl

from watchkeeper.store.facts import rollups
from watchkeeper.store.facts.batch import AMENDMENT_COLUMNS, CHECK, PREDICTION_COLUMNS, complete
from watchkeeper.store.facts.connection import frame_of, registered
from watchkeeper.store.sql import quoted

MAX_CHECKS = 50
ATTEMPT = "attempt"
_KEY = ["id", "service"]


def amend(
    connection: duckdb.DuckDBPyConnection,
    asked: pl.DataFrame,
    new: pl.DataFrame,
    values: rollups.SegmentValues,
    now: datetime,
) -> int:
    """Amend what is asked for (AMENDMENT_COLUMNS) by rows that are among the new ones; give how many rows changed."""
    due = complete(asked, AMENDMENT_COLUMNS).join(
        new.select(pl.col("id").alias("source"), "service").unique(), on=["source", "service"], how="semi"
    )
    if not due.height:
        return 0
    changes = due.group_by(*_KEY, maintain_order=True).agg(
        pl.col("checks").explode(), pl.col("attempt").any(), pl.col("oldest").min(), pl.col("newest").max()
    )
    with registered(connection, "amendments", changes):
        old = frame_of(
            connection.sql(
                f"""SELECT {", ".join(f"p.{name}" for name in PREDICTION_COLUMNS)}, a.checks AS more, a.attempt
                    FROM predictions p JOIN amendments a ON a.id = p.id AND a.service = p.service
                    WHERE p.ts BETWEEN $oldest AND $newest AND p.ts BETWEEN a.oldest AND a.newest
                    ORDER BY p.ts, p.id""",
                params={"oldest": changes["oldest"].min(), "newest": changes["newest"].max()},
            )
        )
    if not old.height:
        return 0
    empty = pl.lit([], dtype=pl.List(CHECK))
    checks = pl.concat_list(pl.col("checks").fill_null(empty), pl.col("more").list.drop_nulls().fill_null(empty))
    amended = old.with_columns(
        pl.when(checks.list.len() > 0).then(checks.list.head(MAX_CHECKS)).alias("checks"),
        pl.when("attempt").then(pl.lit(ATTEMPT)).otherwise("operation").alias("operation"),
    )
    _write(connection, amended)
    segments = _segments(connection, old, values)
    rollups.exchange(connection, old, amended, segments, now)
    return old.height


def _write(connection: duckdb.DuckDBPyConnection, amended: pl.DataFrame) -> None:
    with registered(connection, "amended", amended.select("id", "service", "ts", "checks", "operation")):
        connection.execute(
            """UPDATE predictions SET checks = a.checks, operation = a.operation FROM amended a
               WHERE predictions.id = a.id AND predictions.service = a.service AND predictions.ts = a.ts
                 AND predictions.ts BETWEEN $oldest AND $newest""",
            {"oldest": amended["ts"].min(), "newest": amended["ts"].max()},
        )


def _segments(connection: duckdb.DuckDBPyConnection, rows: pl.DataFrame, values: rollups.SegmentValues) -> pl.DataFrame:
    """Give the segments of stored rows, as they were counted."""
    placed = rows.select("id", "service", "model").with_row_index("position")
    span = {"oldest": rows["ts"].min(), "newest": rows["ts"].max()}
    parts: list[pl.DataFrame] = [pl.DataFrame(schema=rollups.SEGMENT_ROW)]
    for (service, model), group in placed.group_by("service", "model", maintain_order=True):
        columns = connection.execute(
            """SELECT table_name, name, column_name FROM feature_columns JOIN feature_tables USING (table_name)
               WHERE service = $service AND model = $model AND role = 'segment'""",
            {"service": service, "model": model},
        ).fetchall()
        for table, name, column in columns:
            with registered(connection, "placed", group.select("id", "position")):
                found = frame_of(
                    connection.sql(
                        f"""SELECT position, {quoted(column)}::VARCHAR AS value
                            FROM {quoted(table)} JOIN placed USING (id)
                            WHERE ts BETWEEN $oldest AND $newest AND {quoted(column)} IS NOT NULL""",
                        params=span,
                    )
                )
            bounded = values.bounded(str(service), str(model), name, found["value"])
            parts.append(
                pl.DataFrame([found["position"].cast(pl.Int64), bounded.alias("value")]).select(
                    "position", pl.lit(name).alias("dim"), "value"
                )
            )
    return pl.concat(parts)

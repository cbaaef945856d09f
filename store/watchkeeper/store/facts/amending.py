"""Amends predictions that are stored already: a check that came later, an attempt that turned out not to be the last.

The row and the counts change together: what the row added to the rollups is taken back, what it adds now is added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import duckdb
import polars as pl

from watchkeeper.store.facts import prediction_rows, rollups
from watchkeeper.store.facts.batch import PREDICTION_COLUMNS
from watchkeeper.store.facts.connection import frame_of, registered
from watchkeeper.store.sql import quoted

ATTEMPT = "attempt"
_KEY = ["id", "service"]
_COLUMNS = ", ".join(f"p.{name}" for name in PREDICTION_COLUMNS)


def exchange(
    connection: duckdb.DuckDBPyConnection,
    changes: pl.DataFrame,
    values: rollups.SegmentValues,
    now: datetime,
    segments_too: Callable[[], object] | None = None,
) -> int:
    """Give stored rows new values, and the rollups what follows; give how many rows changed.

    ``changes`` has id, service and ts of a row, and the columns that change; ``segments_too`` changes their segments.
    """
    if not changes.height:
        return 0
    same = "p.id = c.id AND p.service = c.service AND p.ts = c.ts AND p.ts BETWEEN $oldest AND $newest"
    span = {"oldest": changes["ts"].min(), "newest": changes["ts"].max()}
    prediction_rows.make(connection, [name for name in changes.columns if name not in (*_KEY, "ts")])
    with registered(connection, "changes_made", changes):
        old = _rows(connection, same, span)
    places = _segments(connection, old, values)
    sets = ", ".join(f"{name} = c.{name}" for name in changes.columns if name not in (*_KEY, "ts"))
    with registered(connection, "changes_made", changes):
        connection.execute(f"UPDATE {prediction_rows.TABLE} p SET {sets} FROM changes_made c WHERE {same}", span)
    with registered(connection, "changes_made", changes):
        amended = _rows(connection, same, span)
    if segments_too is None:
        rollups.exchange(connection, old, amended, places, now)
        return old.height
    rollups.exchange(connection, old, old.clear(), places, now)
    segments_too()
    rollups.exchange(connection, amended.clear(), amended, _segments(connection, amended, values), now)
    return old.height


def _rows(connection: duckdb.DuckDBPyConnection, same: str, span: Mapping[str, object]) -> pl.DataFrame:
    return frame_of(
        connection.sql(
            f"SELECT {_COLUMNS} FROM predictions p JOIN changes_made c ON {same} ORDER BY p.ts, p.service, p.id",
            params=span,
        )
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
            with registered(connection, "segmented", group.select("id", "position")):
                found = frame_of(
                    connection.sql(
                        f"""SELECT position, {quoted(column)}::VARCHAR AS value
                            FROM {quoted(table)} JOIN segmented USING (id)
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

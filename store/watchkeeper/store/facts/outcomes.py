"""Late outcomes find their predictions: matched once, incrementally, into a table that is cheap to read.

An outcome that comes before its prediction waits in ``pending_outcomes``. A later outcome of the same prediction
supersedes the earlier one; both stay in ``outcomes``.
"""

from __future__ import annotations

import duckdb
import polars as pl

from watchkeeper.store.facts.batch import OUTCOME_COLUMNS, complete
from watchkeeper.store.facts.connection import first, registered

_CORRECT = """
    CASE WHEN p.prediction IS NULL THEN
           CASE WHEN o.value IN ('true', 'false') THEN o.value = 'true' END
         WHEN p.prediction_number IS NULL OR o.value_number IS NULL THEN p.prediction = o.value
         WHEN p.prediction_number IN (0, 1) AND o.value_number IN (0, 1) THEN p.prediction_number = o.value_number
    END
"""
"""Right or wrong; unknown for two numbers (their error is measured) and for an outcome that is no answer."""

_MATCHED = f"""
    SELECT o.prediction_id, p.ts AS prediction_ts, p.service, p.model, p.model_version, p.prediction,
           p.prediction_number, p.score, o.value, o.value_number, {_CORRECT} AS correct, o.known_at, o.received_at,
           o.source
"""


def add(connection: duckdb.DuckDBPyConnection, outcomes: pl.DataFrame) -> tuple[int, int, int]:
    """Store new outcomes and match them; give how many were new, repeated and matched.

    The frame has OUTCOME_COLUMNS. A ``prediction_ts`` bounds the search; without one all predictions are searched.
    """
    frame = complete(outcomes, OUTCOME_COLUMNS).unique(
        ["prediction_id", "value", "known_at"], keep="first", maintain_order=True
    )
    with registered(connection, "new_outcomes", frame):
        connection.execute(
            """CREATE OR REPLACE TEMP TABLE fresh_outcomes AS
               SELECT n.* FROM new_outcomes n ANTI JOIN (
                 SELECT prediction_id, value, known_at FROM outcomes
                 WHERE known_at BETWEEN (SELECT min(known_at) FROM new_outcomes)
                                    AND (SELECT max(known_at) FROM new_outcomes)
               ) o ON n.prediction_id = o.prediction_id AND n.value = o.value AND n.known_at = o.known_at"""
        )
    connection.execute("INSERT INTO outcomes BY NAME SELECT * FROM fresh_outcomes")
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE latest_outcomes AS
           SELECT * FROM fresh_outcomes
           QUALIFY row_number() OVER (PARTITION BY prediction_id ORDER BY known_at DESC, received_at DESC) = 1"""
    )
    total, dated, oldest, newest = first(
        connection, "SELECT count(*), count(prediction_ts), min(prediction_ts), max(prediction_ts) FROM latest_outcomes"
    )
    range_sql = "AND p.ts BETWEEN $oldest AND $newest" if total and total == dated else ""
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE found AS {_MATCHED}
            FROM latest_outcomes o JOIN predictions p ON p.id = o.prediction_id {range_sql}""",
        {"oldest": oldest, "newest": newest} if range_sql else None,
    )
    _supersede(connection)
    connection.execute(
        """INSERT INTO pending_outcomes BY NAME
           SELECT o.* FROM latest_outcomes o ANTI JOIN found f ON f.prediction_id = o.prediction_id"""
    )
    fresh = _count(connection, "fresh_outcomes")
    return fresh, outcomes.height - fresh, _count(connection, "found")


def retry_pending(connection: duckdb.DuckDBPyConnection, predictions: pl.DataFrame) -> int:
    """Match what waited for these new predictions; give how many found theirs."""
    if _count(connection, "pending_outcomes") == 0:
        return 0
    with registered(connection, "arrived", predictions.select("id")):
        connection.execute(
            """CREATE OR REPLACE TEMP TABLE latest_outcomes AS
               SELECT o.* FROM pending_outcomes o SEMI JOIN arrived a ON a.id = o.prediction_id
               QUALIFY row_number() OVER (PARTITION BY prediction_id ORDER BY known_at DESC, received_at DESC) = 1"""
        )
    if _count(connection, "latest_outcomes") == 0:
        return 0
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE found AS {_MATCHED}
            FROM latest_outcomes o JOIN predictions p ON p.id = o.prediction_id
            WHERE p.ts BETWEEN $oldest AND $newest""",
        {"oldest": predictions["ts"].min(), "newest": predictions["ts"].max()},
    )
    _supersede(connection)
    connection.execute("DELETE FROM pending_outcomes WHERE prediction_id IN (SELECT prediction_id FROM found)")
    return _count(connection, "found")


def _supersede(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a newer outcome take the place of an older one, never the other way round."""
    connection.execute(
        """DELETE FROM found f USING matched m
           WHERE m.prediction_ts = f.prediction_ts AND m.prediction_id = f.prediction_id AND m.known_at > f.known_at"""
    )
    connection.execute(
        """DELETE FROM matched m USING found f
           WHERE m.prediction_ts = f.prediction_ts AND m.prediction_id = f.prediction_id"""
    )
    connection.execute("INSERT INTO matched BY NAME SELECT * FROM found")


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(str(first(connection, f"SELECT count(*) FROM {table}")[0]))


def text_and_number(value: object) -> tuple[str | None, float | None]:
    """Give the two forms in which a prediction or an outcome is stored.

    >>> text_and_number(True), text_and_number("cat"), text_and_number(2.0)
    (('true', 1.0), ('cat', None), ('2.0', 2.0))
    """
    if value is None:
        return None, None
    if isinstance(value, bool):
        return ("true", 1.0) if value else ("false", 0.0)
    if isinstance(value, int | float):
        return repr(value), float(value)
    return str(value), None

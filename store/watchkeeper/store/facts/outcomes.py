"""Late outcomes find their predictions: matched once, incrementally, into a table that is cheap to read.

An outcome that comes before its prediction waits in ``pending_outcomes``. Of several outcomes of one prediction the
one that became known last is in force; the earlier ones say until when they were, so that what was known at a time can
be told again. Evaluations of different names stand beside each other, and beside the truth.
"""

from __future__ import annotations

import duckdb
import polars as pl

from watchkeeper.store.facts.connection import FactStore, first, frame_of, registered

_CORRECT = """
    CASE WHEN p.prediction IS NULL OR o.evaluation IS NOT NULL THEN
           CASE WHEN o.value IN ('true', 'false') THEN o.value = 'true' END
         WHEN p.prediction_number IS NULL OR o.value_number IS NULL THEN p.prediction = o.value
         WHEN p.prediction_number IN (0, 1) AND o.value_number IN (0, 1) THEN p.prediction_number = o.value_number
    END
"""
"""Right or wrong; unknown for two numbers (their error is measured) and for an outcome that is no answer. An evaluation
is no answer: it says itself whether it was right."""
_TRUTH = "CASE WHEN o.evaluation IS NULL THEN p.{0} END AS {0}"
"""A column of the prediction that the truth is compared with; a score of an evaluation is not."""

_MAX_INT = 10**300
"""A whole number from here on is kept as text alone: a float cannot hold it."""

_MATCHED = f"""
    SELECT o.prediction_id, p.ts AS prediction_ts, p.service, p.model, p.model_version,
           {_TRUTH.format("prediction")}, {_TRUTH.format("prediction_number")}, {_TRUTH.format("score")},
           o.value, o.value_number, {_CORRECT} AS correct, o.known_at, o.received_at, o.source, o.evaluation
"""


_OWN = """
    QUALIFY max(o.service = p.service) OVER (PARTITION BY o.prediction_id) IS NOT TRUE OR o.service = p.service
"""
"""Who sends an outcome need not be who predicted; but of two services with the same id it means its own."""


def add(connection: duckdb.DuckDBPyConnection, outcomes: pl.DataFrame) -> tuple[pl.Series, int]:
    """Store new outcomes and match them; give the service of each new one, and how many were matched.

    The frame has OUTCOME_COLUMNS. A ``prediction_ts`` bounds the search to an hour around it; without one all
    predictions are searched.
    """
    frame = outcomes.unique(
        ["prediction_id", "value", "known_at", "service", "evaluation"], keep="first", maintain_order=True
    )
    with registered(connection, "new_outcomes", frame):
        connection.execute(
            """CREATE OR REPLACE TEMP TABLE fresh_outcomes AS
               SELECT n.* FROM new_outcomes n ANTI JOIN (
                 SELECT prediction_id, value, known_at, service, evaluation FROM outcomes
                 WHERE known_at BETWEEN (SELECT min(known_at) FROM new_outcomes)
                                    AND (SELECT max(known_at) FROM new_outcomes)
               ) o ON n.prediction_id = o.prediction_id AND n.value = o.value AND n.known_at = o.known_at
                   AND n.service IS NOT DISTINCT FROM o.service
                   AND n.evaluation IS NOT DISTINCT FROM o.evaluation"""
        )
    connection.execute("INSERT INTO outcomes BY NAME SELECT * FROM fresh_outcomes")
    total, dated, oldest, newest = first(
        connection, "SELECT count(*), count(prediction_ts), min(prediction_ts), max(prediction_ts) FROM fresh_outcomes"
    )
    if total == 0:
        return services(connection, "fresh_outcomes"), 0
    near = "AND p.ts BETWEEN $oldest - INTERVAL 1 HOUR AND $newest + INTERVAL 1 HOUR" if total == dated else ""
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE found AS {_MATCHED}
            FROM fresh_outcomes o JOIN predictions p ON p.id = o.prediction_id {near} {_OWN}""",
        {"oldest": oldest, "newest": newest} if near else None,
    )
    _place(connection)
    connection.execute(
        """INSERT INTO pending_outcomes BY NAME
           SELECT o.* FROM fresh_outcomes o ANTI JOIN found f ON f.prediction_id = o.prediction_id"""
    )
    return services(connection, "fresh_outcomes"), _count(connection, "found")


def retry_pending(connection: duckdb.DuckDBPyConnection, predictions: pl.DataFrame) -> int:
    """Match what waited for these new predictions; give how many found theirs."""
    if _count(connection, "pending_outcomes") == 0:
        return 0
    with registered(connection, "arrived", predictions.select("id")):
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE found AS {_MATCHED}
                FROM pending_outcomes o SEMI JOIN arrived a ON a.id = o.prediction_id
                JOIN predictions p ON p.id = o.prediction_id
                WHERE p.ts BETWEEN $oldest AND $newest {_OWN}""",
            {"oldest": predictions["ts"].min(), "newest": predictions["ts"].max()},
        )
    _place(connection)
    connection.execute("DELETE FROM pending_outcomes WHERE prediction_id IN (SELECT prediction_id FROM found)")
    return _count(connection, "found")


def match_again(connection: duckdb.DuckDBPyConnection, changed: pl.DataFrame) -> int:
    """Compare the outcomes of stored predictions (id, service, ts) anew, after what was predicted has changed."""
    same = "m.prediction_id = c.id AND m.service = c.service AND m.prediction_ts = c.ts"
    with registered(connection, "changed_rows", changed.select("id", "service", "ts")):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE undone AS SELECT m.* FROM matched m JOIN changed_rows c ON {same}"
        )
    if _count(connection, "undone") == 0:
        return 0
    connection.execute(
        """INSERT INTO pending_outcomes BY NAME
           SELECT o.* FROM outcomes o SEMI JOIN undone m
           ON m.prediction_id = o.prediction_id AND m.known_at = o.known_at AND m.value = o.value
              AND m.evaluation IS NOT DISTINCT FROM o.evaluation"""
    )
    connection.execute(
        """DELETE FROM matched m USING undone u WHERE m.prediction_id = u.prediction_id AND m.service = u.service
           AND m.prediction_ts = u.prediction_ts"""
    )
    return retry_pending(connection, changed)


def _place(connection: duckdb.DuckDBPyConnection) -> None:
    """Put what was found among the outcomes of the same predictions, each in force until the next became known."""
    if _count(connection, "found") == 0:
        return
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE placed AS
           SELECT * EXCLUDE (superseded_at), lead(known_at) OVER (
                    PARTITION BY service, prediction_ts, prediction_id, evaluation
                    ORDER BY known_at, received_at) AS superseded_at
           FROM (SELECT m.* FROM matched m SEMI JOIN found f USING (service, prediction_ts, prediction_id)
                 WHERE m.prediction_ts BETWEEN (SELECT min(prediction_ts) FROM found)
                                           AND (SELECT max(prediction_ts) FROM found)
                 UNION ALL BY NAME SELECT *, NULL::TIMESTAMP AS superseded_at FROM found)"""
    )
    connection.execute(
        """DELETE FROM matched m USING found f
           WHERE m.prediction_ts = f.prediction_ts AND m.prediction_id = f.prediction_id AND m.service = f.service"""
    )
    connection.execute("INSERT INTO matched BY NAME SELECT * FROM placed")


def in_force(facts: FactStore, where: str, parameters: dict[str, object]) -> str:
    """Give the SQL of the outcomes in force at ``as_of``, one a prediction.

    That is the truth, else the evaluation that says worst.
    """
    several = facts.read(
        f"SELECT 1 FROM matched WHERE {where} AND $as_of IS NOT NULL AND evaluation IS NOT NULL LIMIT 1", parameters
    )
    one = """QUALIFY row_number() OVER (PARTITION BY service, prediction_ts, prediction_id
               ORDER BY evaluation IS NOT NULL, correct NULLS LAST, known_at DESC, evaluation) = 1"""
    return f"""(SELECT * FROM matched WHERE {where} AND known_at <= $as_of
                  AND (superseded_at IS NULL OR superseded_at > $as_of) {one if several.height else ""})"""


def services(connection: duckdb.DuckDBPyConnection, table: str) -> pl.Series:
    """Give the service of each row."""
    return frame_of(connection.sql(f"SELECT service FROM {table}"))["service"]


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
    if isinstance(value, int) and abs(value) >= _MAX_INT:
        return repr(value), None
    if isinstance(value, int | float):
        return repr(value), float(value)
    return str(value), None

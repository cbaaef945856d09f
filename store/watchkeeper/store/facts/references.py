"""Kept references: the first weeks of a model, binned once, never silently moved.

A reference is made when its window is over and holds enough rows. It fixes the epoch's edges; what was loaded before
is binned on them from the facts, in the same transaction.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb
import numpy as np
import polars as pl

from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore, first, frame_of, insert
from watchkeeper.store.facts.features import PREDICTION, SCORE
from watchkeeper.store.facts.histograms import INFINITE, MAX_CATEGORIES, MISSING, NAN, Epoch, numeric_edges
from watchkeeper.store.facts.profiles import Profile, add_bins, hours_of
from watchkeeper.store.facts.reader import features_sql
from watchkeeper.store.sql import quoted

MIN_ROWS = 500
SAMPLE_ROWS = 200_000


def make_due(facts: FactStore, as_of: datetime, days: int, min_rows: int = MIN_ROWS) -> list[tuple[str, str]]:
    """Make the reference of every model whose first ``days`` are over; give the models that got one.

    The first days are those from the first day on after which ``min_rows`` came within ``days``: a stray event from
    long before does not make a reference of one row.
    """
    due = facts.read(
        """
        WITH waiting AS (
          SELECT service, model FROM models m
          WHERE date_trunc('day', first_ts) + to_days($days) <= $as_of
            AND NOT EXISTS (
              SELECT 1 FROM reference_profiles r WHERE r.service = m.service AND r.model = m.model)),
        daily AS (
          SELECT service, model, date_trunc('day', bucket) AS day, sum(requests) AS rows
          FROM traffic_hour JOIN waiting USING (service, model) WHERE dim = '' AND bucket < $as_of GROUP BY ALL),
        ahead AS (
          SELECT service, model, day, sum(rows) OVER (
            PARTITION BY service, model ORDER BY day
            RANGE BETWEEN CURRENT ROW AND to_days($days - 1) FOLLOWING) AS rows
          FROM daily)
        SELECT service, model, min(day) AS start_ts FROM ahead
        WHERE rows >= $min_rows AND day + to_days($days) <= $as_of GROUP BY ALL ORDER BY ALL
        """,
        {"days": days, "as_of": stored(as_of), "min_rows": min_rows},
    )
    made: list[tuple[str, str]] = []
    for row in due.iter_rows(named=True):
        service, model, start = str(row["service"]), str(row["model"]), row["start_ts"]
        make(facts, service, model, start, start + timedelta(days=days), stored(as_of))
        made.append((service, model))
    return made


def make(facts: FactStore, service: str, model: str, start: datetime, end: datetime, made_at: datetime) -> None:
    """Keep [start, end) (naive UTC) as the reference of a model that has none."""
    with facts.transaction() as connection:
        columns = _columns(connection, service, model)
        number = _next_epoch(connection)
        epochs: list[Epoch] = []
        for feature, (table, column, kind) in columns.items():
            epoch = _epoch(connection, number + len(epochs), feature, table, column, kind, (service, model, start, end))
            if epoch is not None:
                epochs.append(epoch)
        _store(connection, service, model, epochs, made_at)
        _rebin(connection, service, model, epochs, columns)
        ids = [epoch.epoch for epoch in epochs]
        connection.execute(
            """INSERT INTO reference_bins
               SELECT epoch, bin, sum(n) FROM histogram_hour
               WHERE list_contains($ids, epoch) AND bucket >= $start_ts AND bucket < $end_ts GROUP BY epoch, bin""",
            {"ids": ids, "start_ts": start, "end_ts": end},
        )
        connection.execute(
            f"""INSERT INTO reference_days BY NAME
                SELECT $service AS service, $model AS model, * FROM ({features_sql(timedelta(days=1))})""",
            {"service": service, "model": model, "start_ts": start, "end_ts": end},
        )
        connection.execute(
            """INSERT INTO reference_profiles
               SELECT $service, $model, $start_ts, $end_ts, count(*), $made_at FROM predictions
               WHERE service = $service AND model = $model AND ts >= $start_ts AND ts < $end_ts""",
            {"service": service, "model": model, "start_ts": start, "end_ts": end, "made_at": made_at},
        )
    facts.generation += 1  # the loader's cached epochs are no longer all


def _columns(connection: duckdb.DuckDBPyConnection, service: str, model: str) -> dict[str, tuple[str, str, str]]:
    """Find where each feature is kept: (table, column, kind); the score and the prediction are features too."""
    columns = {
        SCORE: ("predictions", "score", "numeric"),
        PREDICTION: ("predictions", "prediction", "category"),
    }
    for name, table, column, kind in connection.execute(
        """SELECT c.name, c.table_name, c.column_name, c.kind
           FROM feature_columns c JOIN feature_tables t USING (table_name)
           WHERE t.service = ? AND t.model = ? AND c.role = 'feature' ORDER BY c.column_name""",
        [service, model],
    ).fetchall():
        columns.setdefault(str(name), (str(table), str(column), str(kind)))
    return columns


def _next_epoch(connection: duckdb.DuckDBPyConnection) -> int:
    return int(str(first(connection, "SELECT coalesce(max(epoch), 0) + 1 FROM epochs")[0]))


def _epoch(
    connection: duckdb.DuckDBPyConnection,
    number: int,
    feature: str,
    table: str,
    column: str,
    kind: str,
    scope: tuple[str, str, datetime, datetime],
) -> Epoch | None:
    service, model, start, end = scope
    where = "ts >= $start_ts AND ts < $end_ts"
    parameters: dict[str, object] = {"start_ts": start, "end_ts": end}
    if table == "predictions":
        where += " AND service = $service AND model = $model"
        parameters |= {"service": service, "model": model}
    source = f"FROM {table} WHERE {where} AND {quoted(column)} IS NOT NULL"
    if kind == "category":
        rows = connection.execute(
            f"SELECT {quoted(column)}, count(*) AS n {source} GROUP BY 1 ORDER BY n DESC, 1 LIMIT {MAX_CATEGORIES}",
            parameters,
        ).fetchall()
        categories = tuple(str(row[0]) for row in rows)
        return Epoch(number, feature, kind, np.array([]), categories) if categories else None
    relation = connection.sql(
        f"SELECT {quoted(column)} AS x {source} USING SAMPLE reservoir({SAMPLE_ROWS} ROWS) REPEATABLE (7)",
        params=parameters,
    )
    values = frame_of(relation)["x"].to_numpy()
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return None
    return Epoch(number, feature, kind, numeric_edges(finite), (), float(finite.min()), float(finite.max()))


def _store(
    connection: duckdb.DuckDBPyConnection, service: str, model: str, epochs: list[Epoch], made_at: datetime
) -> None:
    frame = pl.DataFrame(
        {
            "epoch": [e.epoch for e in epochs],
            "feature": [e.feature for e in epochs],
            "kind": [e.kind for e in epochs],
            "edges": [e.edges.tolist() for e in epochs],
            "categories": [list(e.categories) for e in epochs],
            "low": [e.low for e in epochs],
            "high": [e.high for e in epochs],
        },
        schema={
            "epoch": pl.Int32,
            "feature": pl.String,
            "kind": pl.String,
            "edges": pl.List(pl.Float64),
            "categories": pl.List(pl.String),
            "low": pl.Float64,
            "high": pl.Float64,
        },
    ).with_columns(pl.lit(service).alias("service"), pl.lit(model).alias("model"), pl.lit(made_at).alias("made_at"))
    insert(connection, "epochs", frame)


def _rebin(
    connection: duckdb.DuckDBPyConnection,
    service: str,
    model: str,
    epochs: list[Epoch],
    columns: dict[str, tuple[str, str, str]],
) -> None:
    """Bin what was loaded before the reference was made, from the facts."""
    profile = Profile()
    for epoch in epochs:
        table, column, _ = columns[epoch.feature]
        where = "WHERE service = $service AND model = $model" if table == "predictions" else ""
        relation = connection.sql(
            f"SELECT ts, {quoted(column)} AS x FROM {table} {where}",
            params={"service": service, "model": model} if where else None,
        )
        frame = frame_of(relation)
        if frame.height:
            add_bins(profile, {epoch.feature: epoch}, hours_of(frame["ts"]), {epoch.feature: frame["x"]})
    profile.write(connection)
    _tell_apart(connection, [e.epoch for e in epochs if e.kind == "numeric" and e.feature not in (SCORE, PREDICTION)])


def _tell_apart(connection: duckdb.DuckDBPyConnection, epochs: list[int]) -> None:
    """Move infinite and NaN out of the missing: a stored column holds null for all three, the hours count each."""
    connection.execute(
        f"""INSERT INTO histogram_hour BY NAME
            SELECT h.bucket, e.epoch, b.bin, sum(CASE b.bin WHEN {INFINITE} THEN infinite WHEN {NAN} THEN nan
                                                            ELSE -infinite - nan END) AS n
            FROM feature_hour h JOIN epochs e USING (service, model, feature),
                 (VALUES ({INFINITE}), ({NAN}), ({MISSING})) b(bin)
            WHERE list_contains($epochs, e.epoch) AND infinite + nan > 0 GROUP BY ALL""",
        {"epochs": epochs},
    )

"""Kept references: the first weeks of a model, binned once, never silently moved.

A reference is made when its window is over and holds enough rows. It fixes the epoch's edges; what was loaded before
is binned on them from the facts, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import numpy as np
import polars as pl

from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore, frame_of
from watchkeeper.store.facts.epochs import IN_FORCE_SQL, epoch_of, next_epoch, store
from watchkeeper.store.facts.features import PREDICTION, SCORE
from watchkeeper.store.facts.histograms import INFINITE, MAX_CATEGORIES, MISSING, NAN, Epoch, Hours, numeric_edges
from watchkeeper.store.facts.profiles import Profile, add_bins
from watchkeeper.store.facts.reader import features_sql
from watchkeeper.store.sql import quoted

MIN_ROWS = 500
SAMPLE_ROWS = 200_000
_Scope = tuple[str, str, datetime, datetime]
"""Service, model, and the days that are kept: from, until."""


@dataclass(frozen=True, slots=True)
class _Source:
    """The rows of one feature that are of one type; ``ended_at`` where another type has followed."""

    feature: str
    kind: str
    sql: str
    ended_at: datetime | None = None


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
    for row in _turned(facts, stored(as_of), days, min_rows).iter_rows(named=True):
        service, model, start = str(row["service"]), str(row["model"]), row["since"]
        _make_again(facts, (service, model, start, start + timedelta(days=days)), row["features"], stored(as_of))
        made.append((service, model))
    return made


def any_made(facts: FactStore) -> bool:
    """Whether any model has a reference."""
    return not facts.read("SELECT 1 FROM reference_profiles LIMIT 1").is_empty()


def _turned(facts: FactStore, as_of: datetime, days: int, min_rows: int) -> pl.DataFrame:
    """Find the features whose epoch ended with a change of type, and whose first days of the new type are over."""
    return facts.read(
        """
        WITH ended AS (
          SELECT service, model, feature FROM epochs GROUP BY ALL HAVING bool_and(ended_at IS NOT NULL)),
        versions AS (
          SELECT t.service, t.model, c.name AS feature, t.since, t.schema_version,
                 c.kind IS DISTINCT FROM lag(c.kind) OVER (
                   PARTITION BY t.service, t.model, c.name ORDER BY t.schema_version) AS turned
          FROM feature_tables t JOIN feature_columns c USING (table_name) WHERE c.role = 'feature'),
        began AS (
          SELECT service, model, feature, max_by(since, schema_version) AS since
          FROM versions JOIN ended USING (service, model, feature) WHERE turned GROUP BY ALL)
        SELECT b.service, b.model, b.since, list(b.feature ORDER BY b.feature) AS features FROM began b
        WHERE b.since + to_days($days) <= $as_of AND $min_rows <= (
          SELECT coalesce(sum(requests), 0) FROM traffic_hour t
          WHERE t.service = b.service AND t.model = b.model AND t.dim = ''
            AND t.bucket >= b.since AND t.bucket < b.since + to_days($days))
        GROUP BY ALL ORDER BY ALL
        """,
        {"days": days, "as_of": as_of, "min_rows": min_rows},
    )


def make(facts: FactStore, service: str, model: str, start: datetime, end: datetime, made_at: datetime) -> None:
    """Keep [start, end) (naive UTC) as the reference of a model that has none."""
    with facts.transaction() as connection:
        sources = _sources(connection, service, model)
        _keep(connection, (service, model, start, end), list(sources.values()), made_at)
        connection.execute(
            """INSERT INTO reference_profiles
               SELECT $service, $model, $start_ts, $end_ts, count(*), $made_at FROM predictions
               WHERE service = $service AND model = $model AND ts >= $start_ts AND ts < $end_ts""",
            {"service": service, "model": model, "start_ts": start, "end_ts": end, "made_at": made_at},
        )
    facts.generation += 1  # the loader's cached epochs are no longer all


def _make_again(facts: FactStore, scope: _Scope, features: Sequence[str], made_at: datetime) -> None:
    """Start a new epoch of features that are of another type now, with the days since then as their reference."""
    service, model, start, _ = scope
    with facts.transaction() as connection:
        sources = _sources(connection, service, model)
        _keep(connection, scope, [sources[name][:1] for name in features], made_at, since=start)
    facts.generation += 1


def _keep(
    connection: duckdb.DuckDBPyConnection,
    scope: _Scope,
    features: Sequence[Sequence[_Source]],
    made_at: datetime,
    since: datetime | None = None,
) -> None:
    """Fix the edges of these features; each in the newest of its types that has values in these days."""
    service, model, start, end = scope
    number = next_epoch(connection)
    held = {} if since is not None else _held(connection, service, model)
    epochs: list[tuple[Epoch, _Source]] = []
    for kinds in features:
        for source in kinds:
            epoch = held.get((source.feature, source.kind)) if source.ended_at is None else None
            epoch = epoch or _epoch(connection, number + len(epochs), source, scope)
            if epoch is not None:
                epochs.append((epoch, source))
                break
    new = [(epoch, source.ended_at) for epoch, source in epochs if epoch.epoch >= number]
    store(connection, (service, model), new, made_at, since)
    _rebin(connection, scope, epochs, since)
    connection.execute(
        """INSERT INTO reference_bins
           SELECT epoch, bin, sum(n) FROM histogram_hour
           WHERE list_contains($ids, epoch) AND bucket >= $start_ts AND bucket < $end_ts GROUP BY epoch, bin""",
        {"ids": [epoch.epoch for epoch, _ in epochs], "start_ts": start, "end_ts": end},
    )
    mine: dict[str, object] = {"service": service, "model": model}
    only = ""
    if since is not None:
        only, mine["features"] = "WHERE list_contains($features, feature)", [epoch.feature for epoch, _ in epochs]
        connection.execute(
            """DELETE FROM reference_days
               WHERE service = $service AND model = $model AND list_contains($features, feature)""",
            mine,
        )
    connection.execute(
        f"""INSERT INTO reference_days BY NAME
            SELECT $service AS service, $model AS model, * FROM ({features_sql(timedelta(days=1))}) {only}""",
        mine | {"start_ts": start, "end_ts": end},
    )


def _held(connection: duckdb.DuckDBPyConnection, service: str, model: str) -> dict[tuple[str, str], Epoch]:
    """Find the edges that a file of training data has brought; what was binned on them is binned with the rest."""
    rows = connection.execute(IN_FORCE_SQL, {"service": service, "model": model}).fetchall()
    epochs = [epoch_of(row) for row in rows]
    for table in ("histogram_hour", "unseen_hour"):
        connection.execute(
            f"DELETE FROM {table} WHERE list_contains($epochs, epoch)", {"epochs": [e.epoch for e in epochs]}
        )
    return {(epoch.feature, epoch.kind): epoch for epoch in epochs}


def _sources(connection: duckdb.DuckDBPyConnection, service: str, model: str) -> dict[str, list[_Source]]:
    """Find where each feature is kept, by type, the newest first; the score and the prediction are features too."""
    own = "SELECT ts, {} AS x FROM predictions WHERE service = $service AND model = $model"
    sources = {
        SCORE: [_Source(SCORE, "numeric", own.format(SCORE))],
        PREDICTION: [_Source(PREDICTION, "category", own.format(PREDICTION))],
    }
    tables: dict[str, dict[str, list[str]]] = {}
    began: dict[tuple[str, str], datetime | None] = {}
    for name, table, column, kind, since in connection.execute(
        """SELECT c.name, c.table_name, c.column_name, c.kind, t.since
           FROM feature_columns c JOIN feature_tables t USING (table_name)
           WHERE t.service = ? AND t.model = ? AND c.role = 'feature' ORDER BY t.schema_version DESC, c.column_name""",
        [service, model],
    ).fetchall():
        if name not in sources:
            tables.setdefault(name, {}).setdefault(kind, []).append(f"SELECT ts, {quoted(column)} AS x FROM {table}")
            began[name, kind] = since
    for name, kinds in tables.items():
        ended = None
        sources[name] = []
        for kind, selects in kinds.items():
            sources[name].append(_Source(name, kind, " UNION ALL ".join(selects), ended))
            ended = began[name, kind]
    return sources


def _epoch(connection: duckdb.DuckDBPyConnection, number: int, source: _Source, scope: _Scope) -> Epoch | None:
    service, model, start, end = scope
    parameters: dict[str, object] = {"start_ts": start, "end_ts": end}
    if source.feature in (SCORE, PREDICTION):
        parameters |= {"service": service, "model": model}
    rows_sql = f"FROM ({source.sql}) WHERE ts >= $start_ts AND ts < $end_ts AND x IS NOT NULL"
    if source.kind == "category":
        rows = connection.execute(
            f"SELECT x, count(*) AS n {rows_sql} GROUP BY 1 ORDER BY n DESC, 1 LIMIT {MAX_CATEGORIES}", parameters
        ).fetchall()
        categories = tuple(str(row[0]) for row in rows)
        return Epoch(number, source.feature, source.kind, np.array([]), categories) if categories else None
    relation = connection.sql(
        f"SELECT x {rows_sql} USING SAMPLE reservoir({SAMPLE_ROWS} ROWS) REPEATABLE (7)", params=parameters
    )
    values = frame_of(relation)["x"].to_numpy()
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return None
    edges = numeric_edges(finite)
    return Epoch(number, source.feature, source.kind, edges, (), float(finite.min()), float(finite.max()))


def _rebin(
    connection: duckdb.DuckDBPyConnection,
    scope: _Scope,
    made: Sequence[tuple[Epoch, _Source]],
    since: datetime | None,
) -> None:
    """Bin what was loaded before the reference was made (of the epoch's type, since it began), from the facts."""
    profile = Profile()
    where = "WHERE ts >= $since" if since else ""
    for epoch, source in made:
        parameters: dict[str, object] = {"since": since} if since else {}
        if source.feature in (SCORE, PREDICTION):
            parameters |= {"service": scope[0], "model": scope[1]}
        frame = frame_of(connection.sql(f"SELECT ts, x FROM ({source.sql}) {where}", params=parameters or None))
        if frame.height:
            add_bins(profile, {epoch.feature: epoch}, Hours.of(frame["ts"]), {epoch.feature: frame["x"]})
    profile.write(connection)
    numeric = [e.epoch for e, _ in made if e.kind == "numeric" and e.feature not in (SCORE, PREDICTION)]
    _tell_apart(connection, numeric, since)


def _tell_apart(connection: duckdb.DuckDBPyConnection, epochs: list[int], since: datetime | None) -> None:
    """Move infinite and NaN out of the missing: a stored column holds null for all three, the hours count each."""
    connection.execute(
        f"""INSERT INTO histogram_hour BY NAME
            SELECT h.bucket, e.epoch, b.bin, sum(CASE b.bin WHEN {INFINITE} THEN infinite WHEN {NAN} THEN nan
                                                            ELSE -infinite - nan END) AS n
            FROM feature_hour h JOIN epochs e USING (service, model, feature),
                 (VALUES ({INFINITE}), ({NAN}), ({MISSING})) b(bin)
            WHERE list_contains($epochs, e.epoch) AND infinite + nan > 0 {"AND h.bucket >= $since" if since else ""}
            GROUP BY ALL""",
        {"epochs": epochs} | ({"since": since} if since else {}),
    )

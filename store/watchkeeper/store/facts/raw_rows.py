"""A model's rows of a few days, bounded: for what no rollup keeps (how scores, outcomes and segments go together).

Of a day with more rows than asked for, those are given whose id's hash is low: the same ones at every read. Steps
around a model's requests (tool calls, agents) are no requests and are left out, as in the rollups. A feature is read
from every schema version that holds it in one type: the type that it had at a given time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from watchkeeper.schemas.events import INNER_OPERATIONS
from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.sql import literal, quoted

PARTS = 10_000
DAY_SECONDS = 86_400
REQUEST = f"coalesce(p.operation NOT IN ({', '.join(map(literal, sorted(INNER_OPERATIONS)))}), true)"


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """Where a feature or a segment of one model is kept, and how the rows name it.

    ``since`` and ``ended`` bound the time in which it had its type; None where it always had.
    """

    name: str
    role: str
    kind: str
    column: str
    places: tuple[tuple[str, str], ...]
    since: datetime | None = None
    ended: datetime | None = None

    def at(self, table: str) -> str | None:
        """Give its column in a table that has it."""
        return next((column for name, column in self.places if name == table), None)

    def holds(self, window: Window) -> bool:
        """Whether it had its type all through a window."""
        begun = self.since is None or self.since <= stored(window.start)
        return begun and (self.ended is None or stored(window.end) <= self.ended)


def feature_columns(facts: FactStore, pair: tuple[str, str], by: datetime) -> list[FeatureColumn]:
    """List a model's features and segments in order of their names, each in the type that it had at a time."""
    rows = facts.read(
        """SELECT role, name, kind, table_name, column_name, since
           FROM feature_columns JOIN feature_tables USING (table_name)
           WHERE service = $service AND model = $model ORDER BY role, name, schema_version""",
        {"service": pair[0], "model": pair[1]},
    )
    listed: dict[tuple[str, str], list[tuple[str, str, str, datetime | None]]] = {}
    for role, name, kind, table, column, since in rows.iter_rows():
        listed.setdefault((role, name), []).append((kind, table, column, since))
    return [_column(role, name, versions, stored(by)) for (role, name), versions in listed.items()]


def _column(
    role: str, name: str, versions: Sequence[tuple[str, str, str, datetime | None]], by: datetime
) -> FeatureColumn:
    begun = [place for place, version in enumerate(versions) if version[3] is None or version[3] < by]
    last = max(begun, default=0)
    kind = versions[last][0]
    first = last
    while first > 0 and versions[first - 1][0] == kind:
        first -= 1
    after = next((place for place in range(last, len(versions)) if versions[place][0] != kind), len(versions))
    same = versions[first:after]
    return FeatureColumn(
        name,
        role,
        kind,
        same[0][2],
        tuple((table, column) for _, table, column, _ in same),
        None if first == 0 else same[0][3],
        versions[after][3] if after < len(versions) else None,
    )


def prediction_rows(
    facts: FactStore, pair: tuple[str, str], window: Window, columns: Sequence[FeatureColumn], keep: float = 1.0
) -> pl.DataFrame:
    """Give requests with their features and segments: a column each."""
    kept, joined = joined_columns(columns, "p.id", "p.ts")
    return facts.read(
        f"""SELECT p.ts, p.score, p.prediction_number AS prediction, p.status = 'error' AS failed, p.latency_ms,
                   p.attempts, p.tokens_input AS tokens_in, p.tokens_output AS tokens_out, p.cost{kept}
            FROM predictions p {joined}
            WHERE p.service = $service AND p.model = $model AND p.ts >= $start_ts AND p.ts < $end_ts
              AND {REQUEST} AND hash(p.id) % {PARTS} < $keep""",
        _parameters(pair, window, keep),
    )


def outcome_rows(
    facts: FactStore,
    pair: tuple[str, str],
    window: Window,
    columns: Sequence[FeatureColumn],
    delay: timedelta,
    keep: float = 1.0,
) -> pl.DataFrame:
    """Give predictions with their outcome, as known when ``delay`` had passed since the end of their day (UTC)."""
    kept, joined = joined_columns(columns, "m.prediction_id", "m.prediction_ts")
    ripe = f"time_bucket(to_seconds({DAY_SECONDS}), m.prediction_ts) + to_seconds($ripe)"
    return facts.read(
        f"""SELECT m.prediction_ts AS ts, m.score, m.prediction_number AS prediction, m.value_number AS outcome,
                   m.correct{kept}
            FROM matched m {joined}
            WHERE m.service = $service AND m.model = $model
              AND m.prediction_ts >= $start_ts AND m.prediction_ts < $end_ts AND m.known_at <= {ripe}
              AND (m.superseded_at IS NULL OR m.superseded_at > {ripe}) AND hash(m.prediction_id) % {PARTS} < $keep""",
        _parameters(pair, window, keep) | {"ripe": DAY_SECONDS + int(delay.total_seconds())},
    )


def outcome_delays(facts: FactStore, pair: tuple[str, str], window: Window, keep: float = 1.0) -> pl.DataFrame:
    """Give for each outcome of the window its ``delay`` in days, and ``known``: days from the window's end."""
    return facts.read(
        f"""SELECT epoch(known_at - prediction_ts) / {DAY_SECONDS} AS delay,
                   epoch(known_at - $end_ts::TIMESTAMP) / {DAY_SECONDS} AS known FROM matched
            WHERE service = $service AND model = $model AND prediction_ts >= $start_ts AND prediction_ts < $end_ts
              AND hash(prediction_id) % {PARTS} < $keep""",
        _parameters(pair, window, keep),
    )


def joined_columns(columns: Sequence[FeatureColumn], id_: str, ts: str) -> tuple[str, str]:
    """Give the columns to select, and the join that brings them from every version's table."""
    tables = sorted({table for one in columns for table, _ in one.places})
    if not tables:
        return "", ""
    parts = [
        f"SELECT id, ts, {', '.join(_selected(one, table) for one in columns)} FROM {quoted(table)} "
        "WHERE ts >= $start_ts AND ts < $end_ts"
        for table in tables
    ]
    kept = "".join(f", f.{quoted(one.column)}" for one in columns)
    return kept, f"LEFT JOIN ({' UNION ALL '.join(parts)}) f ON f.id = {id_} AND f.ts = {ts}"


def _selected(one: FeatureColumn, table: str) -> str:
    column = one.at(table)
    empty = "NULL::DOUBLE" if one.kind == "numeric" else "NULL::VARCHAR"
    return f"{empty if column is None else quoted(column)} AS {quoted(one.column)}"


def _parameters(pair: tuple[str, str], window: Window, keep: float) -> dict[str, object]:
    return {
        "service": pair[0],
        "model": pair[1],
        "start_ts": stored(window.start),
        "end_ts": stored(window.end),
        "keep": max(1, round(keep * PARTS)),
    }

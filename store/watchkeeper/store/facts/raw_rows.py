"""A model's rows of a few days, bounded: for what no rollup keeps (how scores, outcomes and segments go together).

Of a day with more rows than asked for, those are given whose id's hash is low: the same ones at every read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.sql import quoted

PARTS = 10_000
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """Where a feature or a segment of one model is kept, and how the rows name it."""

    name: str
    role: str
    kind: str
    table: str
    column: str


def feature_columns(facts: FactStore, pair: tuple[str, str]) -> list[FeatureColumn]:
    """List a model's features and segments, in order of their names."""
    rows = facts.read(
        """SELECT name, role, kind, table_name, column_name FROM feature_columns JOIN feature_tables USING (table_name)
           WHERE service = $service AND model = $model ORDER BY role, name""",
        {"service": pair[0], "model": pair[1]},
    )
    return [FeatureColumn(*map(str, row)) for row in rows.iter_rows()]


def prediction_rows(
    facts: FactStore, pair: tuple[str, str], window: Window, columns: Sequence[FeatureColumn], keep: float = 1.0
) -> pl.DataFrame:
    """Give predictions with their features and segments: a column each, named as it is stored."""
    kept, joined = _columns(columns, "p.id", "p.ts")
    return facts.read(
        f"""SELECT p.ts, p.score, p.prediction_number AS prediction, p.status = 'error' AS failed, p.latency_ms,
                   p.attempts, p.tokens_input AS tokens_in, p.tokens_output AS tokens_out, p.cost{kept}
            FROM predictions p {joined}
            WHERE p.service = $service AND p.model = $model AND p.ts >= $start_ts AND p.ts < $end_ts
              AND hash(p.id) % {PARTS} < $keep""",
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
    kept, joined = _columns(columns, "m.prediction_id", "m.prediction_ts")
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


def _columns(columns: Sequence[FeatureColumn], id_: str, ts: str) -> tuple[str, str]:
    """Give the columns to select, and the join that brings them; a model has one table."""
    if not columns:
        return "", ""
    kept = "".join(f", f.{quoted(one.column)}" for one in columns)
    return kept, f"LEFT JOIN {columns[0].table} f ON f.id = {id_} AND f.ts = {ts}"


def _parameters(pair: tuple[str, str], window: Window, keep: float) -> dict[str, object]:
    return {
        "service": pair[0],
        "model": pair[1],
        "start_ts": stored(window.start),
        "end_ts": stored(window.end),
        "keep": max(1, round(keep * PARTS)),
    }

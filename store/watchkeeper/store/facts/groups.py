"""What the groups of a segment column were given, and how often that was wrong: counts by day, never a row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.outcomes import in_force
from watchkeeper.store.facts.raw_rows import REQUEST, FeatureColumn, joined_columns
from watchkeeper.store.facts.rollups import OTHER
from watchkeeper.store.sql import literal, quoted


def selected_days(
    facts: FactStore, pair: tuple[str, str], window: Window, columns: Sequence[FeatureColumn]
) -> pl.DataFrame:
    """Count yes/no predictions by ``dim``, ``value`` and ``day``: ``n``, and ``selected``, those that said yes."""
    kept, joined = joined_columns(columns, "p.id", "p.ts")
    counts = "count(*) AS n, count(*) FILTER (said = 1) AS selected"
    return facts.read(
        f"""WITH made AS (
              SELECT time_bucket(INTERVAL 1 DAY, p.ts) AS day, p.prediction_number AS said{kept}
              FROM predictions p {joined}
              WHERE p.service = $service AND p.model = $model AND p.ts >= $start_ts AND p.ts < $end_ts
                AND {REQUEST} AND p.prediction_number IN (0, 1))
            {_by_column("made", columns, counts)}""",
        _parameters(pair, window),
    )


def judged_days(
    facts: FactStore, pair: tuple[str, str], window: Window, as_of: datetime, columns: Sequence[FeatureColumn]
) -> pl.DataFrame:
    """Count what was known at ``as_of``: ``judged``, ``wrong``; ``negative`` and ``false_positive``; ``positive`` and
    ``false_negative`` (the last four of yes/no predictions).
    """
    where = "service = $service AND model = $model AND prediction_ts >= $start_ts AND prediction_ts < $end_ts"
    parameters = _parameters(pair, window) | {"as_of": stored(as_of)}
    kept, joined = joined_columns(columns, "m.prediction_id", "m.prediction_ts")
    counts = """count(correct) AS judged, count(*) FILTER (NOT correct) AS wrong,
                count(*) FILTER (yes_no AND truth = 0) AS negative,
                count(*) FILTER (yes_no AND truth = 0 AND said = 1) AS false_positive,
                count(*) FILTER (yes_no AND truth = 1) AS positive,
                count(*) FILTER (yes_no AND truth = 1 AND said = 0) AS false_negative"""
    return facts.read(
        f"""WITH known AS (
              SELECT time_bucket(INTERVAL 1 DAY, m.prediction_ts) AS day, m.correct, m.prediction_number AS said,
                     m.value_number AS truth,
                     coalesce(m.prediction_number IN (0, 1) AND m.value_number IN (0, 1), false) AS yes_no{kept}
              FROM {in_force(facts, where, parameters)} m {joined})
            {_by_column("known", columns, counts)}""",
        parameters,
    )


def new_values(facts: FactStore, pair: tuple[str, str], reference: Window, window: Window) -> pl.DataFrame:
    """Count ``requests`` of the window by ``dim`` and ``value`` for what the reference never had.

    The dim "" is the whole, its values are the model's versions.
    """
    return facts.read(
        """SELECT dim, CASE WHEN dim = '' THEN model_version ELSE value END AS value,
                  sum(requests) FILTER (bucket >= $start_ts)::DOUBLE AS requests
           FROM traffic_hour
           WHERE service = $service AND model = $model
             AND (bucket >= $start_ts AND bucket < $end_ts OR bucket >= $first AND bucket < $last)
           GROUP BY ALL
           HAVING coalesce(sum(requests) FILTER (bucket < $last), 0) = 0 AND requests > 0
           ORDER BY requests DESC, value""",
        _parameters(pair, window) | {"first": stored(reference.start), "last": stored(reference.end)},
    ).filter(pl.col("value").is_not_null() & ~pl.col("value").is_in(["", OTHER]))


def version_days(facts: FactStore, pair: tuple[str, str], window: Window, as_of: datetime) -> pl.DataFrame:
    """Count what was known at ``as_of`` by model version (``value``) and day (``bucket``): ``known``, and ``wrong``."""
    where = "service = $service AND model = $model AND prediction_ts >= $start_ts AND prediction_ts < $end_ts"
    parameters = _parameters(pair, window) | {"as_of": stored(as_of)}
    return facts.read(
        f"""SELECT model_version AS value, time_bucket(INTERVAL 1 DAY, prediction_ts) AS bucket,
                   count(correct) AS known, count(*) FILTER (NOT correct) AS wrong
            FROM {in_force(facts, where, parameters)} GROUP BY ALL ORDER BY ALL""",
        parameters,
    )


def _by_column(table: str, columns: Sequence[FeatureColumn], counts: str) -> str:
    """Count one table by each column; rows without a value belong to no group."""
    parts = [
        f"""SELECT {literal(one.name)} AS dim, {quoted(one.column)}::VARCHAR AS value, day, {counts}
            FROM {table} WHERE {quoted(one.column)} IS NOT NULL GROUP BY ALL"""
        for one in columns
    ]
    return f"{' UNION ALL '.join(parts)} ORDER BY ALL"


def _parameters(pair: tuple[str, str], window: Window) -> dict[str, object]:
    return {
        "service": pair[0],
        "model": pair[1],
        "start_ts": stored(window.start),
        "end_ts": stored(window.end),
    }

"""How often checks and people said of an answer what came true: counts by day and by who said it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.examples import LIMIT
from watchkeeper.store.facts.outcomes import in_force

_WHERE = "service = $service AND model = $model AND prediction_ts >= $start_ts AND prediction_ts < $end_ts"
_SPAN = "service = $service AND model = $model AND ts >= $start_ts AND ts < $end_ts"
_ANYTHING = f"""EXISTS (SELECT 1 FROM predictions WHERE {_SPAN} AND checks IS NOT NULL) OR EXISTS (
    SELECT 1 FROM reviews WHERE (service IS NULL OR service = $service) AND ts >= $start_ts AND ts <= $as_of)"""
"""Asked first: few models have either, and to look for what came true costs far more."""
_DAYS = {"kind": pl.String, "name": pl.String, "day": pl.Datetime("us")} | dict.fromkeys(
    ("caught", "false_alarm", "missed", "passed"), pl.Int64
)
MOST_CHECKS = 50
REVIEWS = "reviews"
"""Stands for the people, where a check has its name."""


def said_days(facts: FactStore, pair: tuple[str, str], window: Window, as_of: datetime) -> pl.DataFrame:
    """Count by ``kind`` (check or review), ``name`` and ``day`` what was said of answers that came out right or wrong.

    ``caught``: called wrong and wrong; ``false_alarm``: called wrong and right; ``missed``: called right and wrong;
    ``passed``: called right and right. Of several reviews of one answer the last one known at ``as_of`` counts; one
    that was escalated says neither.
    """
    parameters = _parameters(pair, window, as_of)
    if not facts.read(f"SELECT {_ANYTHING} AS said", parameters).item():
        return pl.DataFrame(schema=_DAYS)
    return facts.read(
        f"""SELECT * FROM (SELECT kind, name, day, count(*) FILTER (called AND wrong) AS caught,
                   count(*) FILTER (called AND NOT wrong) AS false_alarm,
                   count(*) FILTER (NOT called AND wrong) AS missed,
                   count(*) FILTER (NOT called AND NOT wrong) AS passed
            FROM ({_said(facts, pair, window, as_of)}) GROUP BY ALL)
            QUALIFY dense_rank() OVER (ORDER BY kind DESC, name) <= {MOST_CHECKS} ORDER BY ALL""",
        parameters,
    )


def _said(facts: FactStore, pair: tuple[str, str], window: Window, as_of: datetime) -> str:
    parameters = _parameters(pair, window, as_of)
    return f"""WITH known AS (
          SELECT prediction_id, prediction_ts, NOT correct AS wrong
          FROM {in_force(facts, _WHERE, parameters)} WHERE correct IS NOT NULL)
        SELECT 'check' AS kind, c.name, time_bucket(INTERVAL 1 DAY, p.ts) AS day, NOT c.passed AS called, k.wrong,
               p.id, p.ts
        FROM (SELECT id, ts, unnest(checks) AS c FROM predictions WHERE {_SPAN} AND checks IS NOT NULL) p
        JOIN known k ON k.prediction_id = p.id AND k.prediction_ts = p.ts
        UNION ALL BY NAME
        SELECT 'review' AS kind, '{REVIEWS}' AS name, time_bucket(INTERVAL 1 DAY, k.prediction_ts) AS day,
               r.decision <> 'approved' AS called, k.wrong, k.prediction_id AS id, k.prediction_ts AS ts
        FROM known k JOIN (
          SELECT prediction_id, decision FROM reviews
          WHERE (service IS NULL OR service = $service) AND ts >= $start_ts AND ts <= $as_of
            AND decision <> 'escalated'
          QUALIFY row_number() OVER (PARTITION BY prediction_id ORDER BY ts DESC, received_at DESC) = 1) r
          USING (prediction_id)"""


@dataclass(frozen=True, slots=True)
class Disagreeing:
    """The newest answers of which a check (or a person) said other than what came true."""

    kind: str
    name: str
    as_of: datetime

    def ids(self, facts: FactStore, pair: tuple[str, str], window: Window) -> tuple[str, ...]:
        """Look them up."""
        rows = facts.read(
            f"""SELECT id FROM ({_said(facts, pair, window, self.as_of)})
                WHERE kind = $kind AND name = $name AND called <> wrong ORDER BY ts DESC, id LIMIT {LIMIT}""",
            _parameters(pair, window, self.as_of) | {"kind": self.kind, "name": self.name},
        )
        return tuple(rows["id"].to_list())


def _parameters(pair: tuple[str, str], window: Window, as_of: datetime) -> dict[str, object]:
    return {
        "service": pair[0],
        "model": pair[1],
        "start_ts": stored(window.start),
        "end_ts": stored(window.end),
        "as_of": stored(as_of),
    }

"""What was decided without a person, and how often that was right: counts by day and by how sure the model was.

Of predictions with a ``confidence`` and the ``confidence_threshold`` that was in force for them.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.outcomes import in_force
from watchkeeper.store.facts.raw_rows import REQUEST

BINS = 200
"""Confidence is told apart in steps of 1 / BINS: ties of a risk-coverage curve."""
_BOTH = "confidence IS NOT NULL AND confidence_threshold IS NOT NULL"


def automated_days(facts: FactStore, pair: tuple[str, str], window: Window) -> pl.DataFrame:
    """Count predictions by ``day``: ``n``, ``automated`` (as sure as the threshold asks), the mean ``threshold``."""
    return facts.read(
        f"""SELECT time_bucket(INTERVAL 1 DAY, ts) AS day, count(*) AS n,
                   count(*) FILTER (confidence >= confidence_threshold) AS automated,
                   avg(confidence_threshold) AS threshold
            FROM predictions p
            WHERE service = $service AND model = $model AND ts >= $start_ts AND ts < $end_ts AND {REQUEST} AND {_BOTH}
            GROUP BY ALL ORDER BY ALL""",
        _parameters(pair, window),
    )


def known_days(facts: FactStore, pair: tuple[str, str], window: Window, as_of: datetime) -> pl.DataFrame:
    """Count what was right or wrong by ``day``, ``bin`` of confidence and ``automated``: ``judged`` and ``wrong``."""
    where = "service = $service AND model = $model AND prediction_ts >= $start_ts AND prediction_ts < $end_ts"
    parameters = _parameters(pair, window) | {"as_of": stored(as_of)}
    return facts.read(
        f"""SELECT time_bucket(INTERVAL 1 DAY, p.ts) AS day, floor(p.confidence * {BINS})::INTEGER AS bin,
                   p.confidence >= p.confidence_threshold AS automated, count(*) AS judged,
                   count(*) FILTER (NOT m.correct) AS wrong
            FROM {in_force(facts, where, parameters)} m
            JOIN (SELECT id, ts, confidence, confidence_threshold FROM predictions
                  WHERE service = $service AND model = $model AND ts >= $start_ts AND ts < $end_ts AND {_BOTH}) p
              ON p.id = m.prediction_id AND p.ts = m.prediction_ts
            WHERE m.correct IS NOT NULL GROUP BY ALL ORDER BY ALL""",
        parameters,
    )


def _parameters(pair: tuple[str, str], window: Window) -> dict[str, object]:
    return {
        "service": pair[0],
        "model": pair[1],
        "start_ts": stored(window.start),
        "end_ts": stored(window.end),
    }

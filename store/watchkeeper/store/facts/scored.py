"""How often each score was given, and how often it came true: counts by bins of the score's log odds.

Of yes/no predictions with a score in [0, 1]; a bin is 0.05 wide in log odds, so that ties hardly matter. Counts only:
the same rows give the same numbers, to the last bit.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.outcomes import in_force
from watchkeeper.store.facts.raw_rows import REQUEST

_BIN = "round(20 * ln(greatest(score, 1e-6) / greatest(1 - score, 1e-6)))::INTEGER"
_SCORED = "score BETWEEN 0 AND 1 AND prediction_number IN (0, 1)"


def score_bins(facts: FactStore, pair: tuple[str, str], window: Window) -> pl.DataFrame:
    """Count all predictions of a window by ``bin`` and ``said`` (the answer, 0 or 1)."""
    return facts.read(
        f"""SELECT {_BIN} AS bin, prediction_number::INTEGER AS said, count(*) AS n FROM predictions p
            WHERE service = $service AND model = $model AND ts >= $start_ts AND ts < $end_ts AND {REQUEST} AND {_SCORED}
            GROUP BY ALL ORDER BY ALL""",
        _parameters(pair, window),
    )


def known_bins(facts: FactStore, pair: tuple[str, str], window: Window, as_of: datetime) -> pl.DataFrame:
    """Count the predictions whose outcome was known at ``as_of`` by ``day``, bin and answer, and those that were 1."""
    parameters = _parameters(pair, window) | {"as_of": stored(as_of)}
    where = "service = $service AND model = $model AND prediction_ts >= $start_ts AND prediction_ts < $end_ts"
    return facts.read(
        f"""SELECT time_bucket(INTERVAL 1 DAY, prediction_ts) AS day, {_BIN} AS bin,
                   prediction_number::INTEGER AS said, count(*) AS n, count(*) FILTER (value_number = 1) AS positive
            FROM {in_force(facts, where, parameters)} WHERE {_SCORED} AND value_number IN (0, 1)
            GROUP BY ALL ORDER BY ALL""",
        parameters,
    )


def _parameters(pair: tuple[str, str], window: Window) -> dict[str, object]:
    return {
        "service": pair[0],
        "model": pair[1],
        "start_ts": stored(window.start),
        "end_ts": stored(window.end),
    }

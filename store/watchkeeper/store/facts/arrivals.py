"""What came twice, what came for nothing, and which checks failed: counts by day and the names behind them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore

UNNAMED = "unnamed"
"""Stands for the service of who names none."""


def duplicates(facts: FactStore, window: Window) -> pl.DataFrame:
    """Count by ``service``, ``kind`` and ``day`` of arrival what came (``n``), and what had come before (``hits``)."""
    return facts.read(
        f"""SELECT coalesce(service, '{UNNAMED}') AS service, kind, time_bucket(INTERVAL 1 DAY, hour) AS day,
                   sum(loaded + duplicates)::BIGINT AS n, sum(duplicates)::BIGINT AS hits
            FROM ingest WHERE hour >= $start_ts AND hour < $end_ts AND kind IN ('predictions', 'outcomes', 'reviews')
            GROUP BY ALL ORDER BY ALL""",
        _span(window),
    )


def orphans(facts: FactStore, window: Window) -> pl.DataFrame:
    """Count by ``service`` and ``day`` the outcomes that became known (``n``), and those that match nothing (``hits``).

    They may match later: what waits for its prediction is an orphan until that comes.
    """
    by_day = f"""SELECT coalesce(service, '{UNNAMED}') AS service, time_bucket(INTERVAL 1 DAY, known_at) AS day,
                        count(*) AS {{}} FROM {{}} WHERE known_at >= $start_ts AND known_at < $end_ts GROUP BY ALL"""
    return facts.read(
        f"""SELECT service, day, n, coalesce(hits, 0) AS hits FROM ({by_day.format("n", "outcomes")})
            LEFT JOIN ({by_day.format("hits", "pending_outcomes")}) USING (service, day) ORDER BY ALL""",
        _span(window),
    )


@dataclass(frozen=True, slots=True)
class Lost:
    """Where the orphans of a window come from, and what their ids look like beside those of predictions."""

    source: str | None
    from_source: int
    orphan_id: str
    prediction_id: str | None


def lost(facts: FactStore, service: str, window: Window) -> Lost | None:
    """Look at the orphans of one service: the source of most, the newest id, and the newest id that was predicted."""
    asked = _span(window) | {"service": service}
    found = facts.read(
        f"""SELECT source, count(*) AS n, arg_max(prediction_id, known_at) AS id FROM pending_outcomes
            WHERE coalesce(service, '{UNNAMED}') = $service AND known_at >= $start_ts AND known_at < $end_ts
            GROUP BY source ORDER BY n DESC, source LIMIT 1""",
        asked,
    )
    if found.height == 0:
        return None
    source, many, orphan = found.row(0)
    made = facts.read(
        """SELECT arg_max(id, ts) AS id FROM predictions
           WHERE service = $service AND ts >= $start_ts - INTERVAL 7 DAY AND ts < $end_ts""",
        asked,
    )
    return Lost(source, int(many), str(orphan), made.item())


def failing(facts: FactStore, pair: tuple[str, str], window: Window) -> pl.DataFrame:
    """Count by ``name`` the answers that a check saw (``n``) and that did not pass it (``hits``), the worst first."""
    return facts.read(
        """SELECT c.name AS name, count(*) AS n, count(*) FILTER (NOT c.passed) AS hits
           FROM (SELECT unnest(checks) AS c FROM predictions
                 WHERE service = $service AND model = $model AND ts >= $start_ts AND ts < $end_ts
                   AND checks IS NOT NULL)
           GROUP BY name ORDER BY hits DESC, name""",
        _span(window) | {"service": pair[0], "model": pair[1]},
    )


def _span(window: Window) -> dict[str, object]:
    return {"start_ts": stored(window.start), "end_ts": stored(window.end)}

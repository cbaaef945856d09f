"""What was ranked, and which of it turned out to be relevant: rows of a bounded sample.

A ranking is what a prediction carries under the name ``ranking`` (kept under ``extra``): items, the best first. Its
outcome is text: an item, or JSON: a list of relevant items, or an object of relevance by item. Rows are drawn by a
hash of their id: the same ones at every read.
"""

from __future__ import annotations

from datetime import datetime
from typing import cast

import msgspec
import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.outcomes import in_force
from watchkeeper.store.facts.raw_rows import PARTS

RANKING = "ranking"
_WHERE = "service = $service AND model = $model AND prediction_ts >= $start_ts AND prediction_ts < $end_ts"


def ranked_rows(
    facts: FactStore, pair: tuple[str, str], window: Window, as_of: datetime, keep: float = 1.0
) -> pl.DataFrame:
    """Give ``id``, ``day``, ``ranking`` and ``value`` (as text) of what was known at ``as_of``, the newest last."""
    parameters: dict[str, object] = {
        "service": pair[0],
        "model": pair[1],
        "start_ts": stored(window.start),
        "end_ts": stored(window.end),
        "as_of": stored(as_of),
    }
    force = in_force(facts, _WHERE, parameters)
    return facts.read(
        f"""SELECT p.id, time_bucket(INTERVAL 1 DAY, p.ts) AS day, p.ranking, m.value
            FROM (SELECT id, ts, (extra::JSON->'{RANKING}')::VARCHAR AS ranking FROM predictions
                  WHERE service = $service AND model = $model AND ts >= $start_ts AND ts < $end_ts
                    AND extra IS NOT NULL AND hash(id) % {PARTS} < $keep
                    AND json_type(extra::JSON->'{RANKING}') = 'ARRAY') p
            JOIN {force} m ON m.prediction_id = p.id AND m.prediction_ts = p.ts
            WHERE m.evaluation IS NULL ORDER BY p.ts, p.id""",
        parameters | {"keep": max(1, round(keep * PARTS))},
    )


def items_of(ranking: str) -> list[str]:
    """Read a ranking: each item once, where it first stands.

    >>> items_of('["b", 7, "b"]')
    ['b', '7']
    """
    return list(dict.fromkeys(map(_name, cast("list[object]", msgspec.json.decode(ranking)))))


def relevance_of(value: str) -> dict[str, float]:
    """Read an outcome: what was relevant, and how much.

    >>> relevance_of("b"), relevance_of('["b", 7]'), relevance_of('{"b": 3, "c": 0}'), relevance_of("[]")
    ({'b': 1.0}, {'b': 1.0, '7': 1.0}, {'b': 3.0}, {})
    """
    if value[:1] not in ("[", "{"):
        return {value: 1.0}
    try:
        given = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return {value: 1.0}
    if isinstance(given, list):
        return {_name(item): 1.0 for item in cast("list[object]", given)}
    numbers = cast("dict[str, object]", given)
    return {
        name: float(much)
        for name, much in numbers.items()
        if isinstance(much, int | float) and not isinstance(much, bool) and much > 0
    }


def _name(item: object) -> str:
    return item if isinstance(item, str) else msgspec.json.encode(item).decode()

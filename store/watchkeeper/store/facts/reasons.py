"""Which reasons were given for decisions, and how much each input is said to have counted: by day, of a bounded sample.

Reason codes are a field of the prediction. Attributions are what else it carries under the name ``attributions``: an
object of numbers by input. Rows are drawn by a hash of their id: the same ones at every read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import cast

import msgspec
import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.raw_rows import PARTS, REQUEST

ATTRIBUTIONS = "attributions"
MOST_NAMES = 50
"""Codes, and inputs, beyond those of most rows are left out."""
SHARES = {"day": pl.Datetime("us"), "name": pl.String, "sum": pl.Float64, "rows": pl.Int64}


def code_days(facts: FactStore, pair: tuple[str, str], window: Window, keep: float = 1.0) -> pl.DataFrame:
    """Count by ``day`` and ``name`` (the code) the rows that give it (``sum``), of all that give any (``rows``)."""
    return facts.read(
        f"""WITH given AS (
              SELECT time_bucket(INTERVAL 1 DAY, ts) AS day, list_distinct(reason_codes) AS codes
              FROM predictions p
              WHERE service = $service AND model = $model AND ts >= $start_ts AND ts < $end_ts AND {REQUEST}
                AND len(reason_codes) > 0 AND hash(id) % {PARTS} < $keep),
            each AS (SELECT day, unnest(codes) AS name FROM given),
            most AS (SELECT name FROM each GROUP BY name ORDER BY count(*) DESC, name LIMIT {MOST_NAMES}),
            counted AS (SELECT day, name, count(*) AS hits FROM each SEMI JOIN most USING (name) GROUP BY day, name),
            days AS (SELECT day, count(*) AS rows FROM given GROUP BY day)
            SELECT day, name, coalesce(hits, 0)::DOUBLE AS sum, rows
            FROM days CROSS JOIN most LEFT JOIN counted USING (day, name) ORDER BY day, name""",
        _parameters(pair, window, keep),
    )


def attribution_days(facts: FactStore, pair: tuple[str, str], window: Window, keep: float = 1.0) -> pl.DataFrame:
    """Sum by ``day`` and ``name`` (the input) its share of all that was attributed, of rows that attribute (``rows``).

    The share is of absolute values: what speaks against a decision counts as much as what speaks for it.
    """
    rows = facts.read(
        f"""SELECT time_bucket(INTERVAL 1 DAY, ts) AS day, (extra::JSON->'{ATTRIBUTIONS}')::VARCHAR AS given
            FROM predictions p
            WHERE service = $service AND model = $model AND ts >= $start_ts AND ts < $end_ts AND {REQUEST}
              AND extra IS NOT NULL AND hash(id) % {PARTS} < $keep
              AND json_type(extra::JSON->'{ATTRIBUTIONS}') = 'OBJECT' ORDER BY day, id""",
        _parameters(pair, window, keep),
    )
    sums: dict[datetime, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    counted: dict[datetime, int] = defaultdict(int)
    for day, given in rows.iter_rows():
        shares = shares_of(msgspec.json.decode(given))
        for name, share in shares.items():
            sums[day][name] += share
        counted[day] += bool(shares)
    whole: dict[str, float] = defaultdict(float)
    for shares in sums.values():
        for name, share in shares.items():
            whole[name] += share
    most = sorted(whole, key=lambda name: (-whole[name], name))[:MOST_NAMES]
    found = [
        (day, name, shares.get(name, 0.0), counted[day])
        for day, shares in sorted(sums.items())
        for name in sorted(most)
    ]
    return pl.DataFrame(found, schema=SHARES, orient="row")


def shares_of(given: object) -> Mapping[str, float]:
    """Give each input's share of the absolute attributions; nothing of what is no object of numbers.

    >>> shares_of({"age": -3.0, "amount": 1, "note": "x"}), shares_of({"age": 0})
    ({'age': 0.75, 'amount': 0.25}, {})
    """
    if not isinstance(given, dict):
        return {}
    numbers = {
        name: abs(float(value))
        for name, value in cast("dict[str, object]", given).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    total = sum(numbers.values())
    return {name: value / total for name, value in numbers.items()} if 0 < total < float("inf") else {}


def _parameters(pair: tuple[str, str], window: Window, keep: float) -> dict[str, object]:
    return {
        "service": pair[0],
        "model": pair[1],
        "start_ts": stored(window.start),
        "end_ts": stored(window.end),
        "keep": max(1, round(keep * PARTS)),
    }

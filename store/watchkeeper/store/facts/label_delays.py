"""How long do outcomes take, by source: the share that has come so many days after the prediction?

Learned from the days of the last months as insurers do it for claims: of the days that are old enough to tell, how much
did the next day add? So young days count for what they can say, and a delay that is longer than any day is old cannot
be seen: the curve is then too short, and ends at 1 too early.
Source: chain ladder; Mack 1993, ASTIN Bulletin 23.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore

LOOKBACK = 120
"""Days of predictions that the curve is learned from; no longer delay is seen."""
LEAST = 100
"""Outcomes of a source under which nothing is learned."""
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Curve:
    """``shares[d]`` of the outcomes that come at all are known at the end of day d after the prediction's (0: its own).

    ``outcomes`` is how many it was learned from.
    """

    shares: tuple[float, ...]
    outcomes: int

    def known_after(self, days: int) -> float:
        """Give the share that is known after so many whole days, the prediction's own among them; 0 before.

        >>> curve = Curve((0.5, 0.9, 1.0), 200)
        >>> [curve.known_after(days) for days in (0, 1, 2, 3, 50)]
        [0.0, 0.5, 0.9, 1.0, 1.0]
        """
        return 0.0 if days <= 0 else self.shares[min(days, len(self.shares)) - 1]

    def days_until(self, share: float) -> int:
        """Give the days after which at least this share is known."""
        return next((days for days, known in enumerate(self.shares, 1) if known >= share - 1e-9), len(self.shares))


def learned(counts: Ints) -> tuple[float, ...]:
    """Learn a curve from outcomes by age of the day (rows: 1 day old, 2, ...) and by days of delay (columns).

    A day that is a days old can tell of delays under a only. What the last columns add is seen on old days alone.

    >>> triangle = np.array([[50, 0, 0], [40, 40, 0], [60, 60, 0], [30, 30, 0]])
    >>> learned(triangle)
    (0.5, 1.0, 1.0)
    """
    ages, width = counts.shape
    known = counts.cumsum(axis=1)
    share = [1.0]
    for lag in range(width - 1, 0, -1):
        old = slice(lag, ages)  # row r is r + 1 days old: delays up to r are whole
        before, after = int(known[old, lag - 1].sum()), int(known[old, lag].sum())
        share.append(share[-1] * (before / after if after else 1.0))
    return tuple(reversed(share))


def curves(facts: FactStore, service: str, model: str, as_of: datetime) -> Mapping[str | None, Curve]:
    """Give the curve of each source of outcomes, and under None that of all together; none where too few are known."""
    rows = facts.read(
        f"""SELECT coalesce(source, '') AS source, date_diff('day', prediction_ts, $until::TIMESTAMP) AS age,
                   greatest(date_diff('day', prediction_ts, known_at), 0) AS lag, count(*)::BIGINT AS n
            FROM matched
            WHERE service = $service AND model = $model AND known_at < $until::TIMESTAMP
              AND prediction_ts >= $until::TIMESTAMP - to_days({LOOKBACK}) AND prediction_ts < $until::TIMESTAMP
              AND (superseded_at IS NULL OR superseded_at > $until::TIMESTAMP)
            GROUP BY ALL""",
        {"service": service, "model": model, "until": stored(_day_of(as_of))},
    )
    found: dict[str | None, Curve] = {}
    sources: Sequence[str] = rows["source"].unique().sort().to_list()
    for source in (None, *sources):
        part = rows if source is None else rows.filter(source=source)
        total = int(part["n"].sum())
        if total >= LEAST:
            found[source] = Curve(learned(_triangle(part)), total)
    return found


def table(facts: FactStore, service: str, model: str, as_of: datetime) -> pl.DataFrame:
    """Give the curves as rows: source (null: all together), days after the prediction, share known, outcomes."""
    rows = [
        {"source": source, "days": days, "share": share, "outcomes": curve.outcomes}
        for source, curve in curves(facts, service, model, as_of).items()
        for days, share in enumerate(curve.shares, 1)
    ]
    kinds = {"source": pl.String, "days": pl.Int64, "share": pl.Float64, "outcomes": pl.Int64}
    return pl.DataFrame(rows, schema=kinds)


def _day_of(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _triangle(rows: pl.DataFrame) -> Ints:
    age, lag, n = (rows[name].to_numpy().astype(np.int64) for name in ("age", "lag", "n"))
    counts = np.zeros((int(age.max()), int(lag.max()) + 1), dtype=np.int64)
    np.add.at(counts, (age - 1, lag), n)
    return counts

"""When there is something: the times before and after which no table has a row."""

from __future__ import annotations

from datetime import UTC, datetime

from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore

_TIMES = (
    ("predictions", "ts"),
    ("outcomes", "known_at"),
    ("outcomes", "received_at"),
    ("pending_outcomes", "known_at"),
    ("matched", "known_at"),
    ("reviews", "ts"),
    ("changes", "ts"),
    ("gpu_samples", "ts"),
    ("telemetry", "looked_at"),
    ("traffic_hour", "bucket"),
    ("feature_hour", "bucket"),
    ("readings", "window_end"),
)
"""What any analyzer reads, by the time at which it begins to count; counts by the hour outlive their facts."""


def around(facts: FactStore, at: datetime) -> tuple[datetime | None, datetime | None]:
    """Give the last time up to one, and the first after it, at which any row stands; None where there is none."""
    parts = " UNION ALL ".join(
        f"SELECT max({time}) FILTER ({time} <= $at) AS before, min({time}) FILTER ({time} > $at) AS after FROM {table}"
        for table, time in _TIMES
    )
    [(before, after)] = facts.read(f"SELECT max(before), min(after) FROM ({parts})", {"at": stored(at)}).rows()
    return _aware(before), _aware(after)


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)

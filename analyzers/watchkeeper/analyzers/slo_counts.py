"""How many requests of an objective were bad, over every window that ends now: two reads, however many windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.memo import once
from watchkeeper.schemas.declared import Objective
from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.rollups import bucket_value

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
FINE = timedelta(hours=6)
"""Windows up to here are counted by the minute, longer ones by the hour."""

_COLUMNS = {"errors": "errors", "check_failures": "check_failures", "late": "late", "retries": "retried"}


@dataclass(frozen=True, slots=True)
class BadRequests:
    """Requests that broke one objective's promise, by bucket, newest last.

    Latency comes from logarithmic buckets, so a request within 1 % of ``maxMs`` may fall on either side; requests
    without a latency count for nothing. A late request is one that was used after it was needed.
    """

    end: datetime
    hours: Sequence[tuple[datetime, int, int]]
    minutes: Sequence[tuple[datetime, int, int]]

    def over(self, length: timedelta) -> Count:
        """Count the last stretch of this length."""
        start = stored(self.end - length)
        bad = total = 0
        for bucket, affected, rows in reversed(self.minutes if length <= FINE else self.hours):
            if bucket < start:
                break
            bad, total = bad + affected, total + rows
        return Count(min(bad, total), total)


def bad_requests(facts: FactReader, objective: Objective, end: datetime) -> BadRequests:
    """Read what one objective needs at a time; objectives of the same service share the reads."""
    period = max(objective.period, timedelta(days=3))
    by_hour = _buckets(facts, objective, Window(end - period, end), HOUR)
    by_minute = _buckets(facts, objective, Window(end - FINE, end), MINUTE)
    return BadRequests(end, by_hour, by_minute)


def _buckets(
    facts: FactReader, objective: Objective, window: Window, step: timedelta
) -> Sequence[tuple[datetime, int, int]]:
    sli, service = objective.sli, objective.service
    if sli.measure != "latency":
        frame = _traffic(facts, service, sli.model, window, step)
        return list(frame.select("bucket", _COLUMNS[sli.measure], "requests").iter_rows())
    latency = facts.latency(window, service=service, model=sli.model, step=step)
    limit = sli.max_ms or 0.0
    too_slow = [number for number in latency["log_bucket"].unique().to_list() if bucket_value(number) > limit]
    slow = pl.col("n").filter(pl.col("log_bucket").is_in(too_slow)).sum()
    counted = latency.group_by("bucket").agg(slow.alias("slow"), pl.col("n").sum().alias("total")).sort("bucket")
    return list(counted.iter_rows())


def _traffic(facts: FactReader, service: str, model: str | None, window: Window, step: timedelta) -> pl.DataFrame:
    def read() -> pl.DataFrame:
        frame = facts.traffic(window, service=service, model=model, step=step)
        counts = pl.col("requests", *_COLUMNS.values()).sum().cast(pl.Int64)
        return frame.group_by("bucket").agg(counts).sort("bucket")

    return once(facts, ("slo traffic", service, model, window, step), read)

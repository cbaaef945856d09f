"""How many requests of an objective were bad: what each measure counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.rows import LatencyRow, TrafficRow, rows
from watchkeeper.schemas.declared import Objective
from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts.rollups import bucket_value

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader


def bad_requests(facts: FactReader, objective: Objective, window: Window) -> Count:
    """Count the requests that broke the promise in the window.

    Latency comes from logarithmic buckets, so a request within 1 % of ``maxMs`` may fall on either side; requests
    without a latency count for nothing. A late request is one that was used after it was needed.
    """
    sli = objective.sli
    if sli.measure == "latency":
        buckets = rows(facts.latency(window, service=objective.service, model=sli.model), LatencyRow)
        slow = sum(row.n for row in buckets if bucket_value(row.log_bucket) > (sli.max_ms or 0.0))
        return Count(slow, sum(row.n for row in buckets))
    traffic = rows(facts.traffic(window, service=objective.service, model=sli.model), TrafficRow)
    requests = sum(row.requests for row in traffic)
    bad = sum(
        {"errors": row.errors, "check_failures": row.check_failures, "late": row.late}[sli.measure] for row in traffic
    )
    return Count(min(bad, requests), requests)

"""How many events of an objective were bad, over every window that ends now: few reads, however many windows.

Requests come from rollups (minutes for windows up to six hours, else hours), outcomes by the day, numbers such as cost
or drift from what the analyzers computed. Time slices become events: a slice is one. What was planned work is left
out: minutes to the minute, hours wholly, so that the same hour is never counted in one report and not in the next.
Where a sender samples, requests are those that its rows stand for (see ``slo_sampled``); outcomes are rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from watchkeeper.analyzers import slo_sampled
from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.maturity import DAY
from watchkeeper.analyzers.memo import once
from watchkeeper.analyzers.rows import DelayRow, QualityRow, rows
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Window
from watchkeeper.schemas.objectives import COUNTED, READ, Objective, Planned
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.rollups import bucket_value

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
FINE = timedelta(hours=6)
"""Windows up to here are counted by the minute, longer ones by the hour."""
SLICED = timedelta(hours=46)
"""So far back slices under an hour are made of minutes; what is older was kept as a reading when it was young."""
SLICES = "slo_slices"
MIN_OUTCOMES = 200

READINGS = {
    "cost_per_request": "cost_per_request",
    "cost_per_success": "cost_per_success",
    "drift": "psi",
    "evaluation_lag": "evaluation_lag",
}
"""The number that each measure compares with its bound."""
_BAD = {
    "errors": pl.col("errors"),
    "check_failures": pl.col("check_failures"),
    "check_coverage": pl.col("requests") - pl.col("checked"),
    "late": pl.col("late"),
    "retries": pl.col("retried"),
    "automation": pl.col("deferred"),
}
_TOTAL = {"late": "due", "automation": "weighed"}
_COLUMNS = ("requests", "errors", "check_failures", "checked", "late", "due", "retried", "deferred", "weighed")
_KEYS = ("bucket", "model", "model_version", "provider")
_EVENTS = {"bucket": pl.Datetime("us"), "bad": pl.Float64, "total": pl.Float64}


class Ticks:
    """Bad and all events by bucket, summed from the first on, so that any stretch is one subtraction."""

    def __init__(self, frame: pl.DataFrame) -> None:
        ordered = frame.sort("bucket")
        self._starts = ordered["bucket"].cast(pl.Datetime("us")).to_numpy()
        self._bad, self._total = _course(ordered["bad"]), _course(ordered["total"])
        self._parts = [_course(ordered[name]) for name in slo_sampled.PARTS if name in ordered.columns]

    def between(self, start: datetime, end: datetime | None = None) -> Count:
        """Count the buckets that begin in [start, end); without an end all that follow."""
        first = int(np.searchsorted(self._starts, np.datetime64(stored(start))))
        last = len(self._starts)
        if end is not None:
            last = max(int(np.searchsorted(self._starts, np.datetime64(stored(end)))), first)
        total = float(self._total[last] - self._total[first])
        bad = float(self._bad[last] - self._bad[first])
        if self._parts:
            return slo_sampled.count(bad, total, [float(part[last] - part[first]) for part in self._parts])
        total, near = round(total), round(bad)
        return Count(min(near if abs(bad - near) < 1e-9 else bad, total), total)


def _course(column: pl.Series) -> NDArray[np.float64]:
    return np.concatenate(([0.0], np.cumsum(column.to_numpy().astype(float))))


@dataclass(frozen=True, slots=True)
class BadRequests:
    """Events that broke one objective's promise, newest last; ``end`` is where every window ends.

    Latency comes from logarithmic buckets, so a request within 1 % of ``maxMs`` may fall on either side; requests
    without a latency count for nothing. ``finest`` is the shortest window that says anything. ``maturity`` is the
    share of the predictions whose outcome is known, where outcomes decide.
    """

    end: datetime
    finest: timedelta
    coarse: Ticks
    fine: Ticks | None = None
    maturity: float | None = None

    def over(self, length: timedelta) -> Count:
        """Count the last stretch of this length."""
        return self.between(self.end - length)

    def between(self, start: datetime, end: datetime | None = None) -> Count:
        """Count the stretch that begins at a time and ends at another, or now."""
        young = self.fine is not None and self.end - start <= FINE
        return (self.fine if young and self.fine is not None else self.coarse).between(start, end)


def bad_requests(facts: FactReader, declared: Declarations, objective: Objective, end: datetime) -> BadRequests:
    """Read what one objective needs at a time; objectives over the same span share the reads."""
    back = max(objective.period * (1.05 if objective.calendar else 1.0), timedelta(days=3))
    if objective.sli.measure in READ:
        return _of_readings(facts, declared, objective, end, back)
    if objective.sli.measure not in COUNTED:
        return _of_outcomes(facts, declared, objective, end, back)
    if objective.slice is not None:
        return _of_slices(facts, declared, objective, end, back, objective.slice)
    hours = _clear(events(facts, objective, Window(end - back, end), HOUR), declared, objective, HOUR)
    minutes = _clear(events(facts, objective, Window(end - FINE, end), MINUTE), declared, objective, MINUTE)
    return BadRequests(end, MINUTE, Ticks(hours), Ticks(minutes))


def events(facts: FactReader, objective: Objective, window: Window, step: timedelta) -> pl.DataFrame:
    """Count bad and all requests by step; with what a count rests on (``slo_sampled.PARTS``) where some are sampled."""
    sampled = once(facts, ("slo sampled", window, step), lambda: facts.sampled(window, step))
    if objective.sli.measure == "latency":
        return _latency(facts, objective, window, step, sampled=sampled)
    counted = _judged(_traffic(facts, window, step, weighted=sampled), objective)
    if not sampled:
        return counted.group_by("bucket").agg(pl.col("bad", "total").sum())
    came = _judged(_traffic(facts, window, step, weighted=False), objective)
    return slo_sampled.with_rows(counted, came, _KEYS)


def _judged(traffic: Mapping[tuple[object, ...], pl.DataFrame], objective: Objective) -> pl.DataFrame:
    """Give bad and all requests of an objective's service by key."""
    sli = objective.sli
    mine = traffic.get((objective.service,))
    if mine is None:
        return pl.DataFrame(schema=_EVENTS | dict.fromkeys(_KEYS[1:], pl.String))
    if sli.model is not None:
        mine = mine.filter(model=sli.model)
    total = _TOTAL.get(sli.measure, "requests")
    return mine.select(*_KEYS, _BAD[sli.measure].cast(pl.Float64).alias("bad"), pl.col(total).alias("total"))


def _traffic(
    facts: FactReader, window: Window, step: timedelta, *, weighted: bool
) -> dict[tuple[object, ...], pl.DataFrame]:
    """Read the traffic of all services at once: a hundred objectives ask for the same table."""

    def read() -> dict[tuple[object, ...], pl.DataFrame]:
        frame = facts.traffic(window, step=step, weighted=weighted).select("service", *_KEYS, *_COLUMNS)
        return frame.partition_by("service", as_dict=True)

    return once(facts, ("slo traffic", window, step, weighted), read)


def _latency(
    facts: FactReader, objective: Objective, window: Window, step: timedelta, *, sampled: bool
) -> pl.DataFrame:
    latency = facts.latency(window, service=objective.service, model=objective.sli.model, step=step)
    limit = objective.sli.max_ms or 0.0
    too_slow = [number for number in latency["log_bucket"].unique().to_list() if bucket_value(number) > limit]
    slow = pl.col("log_bucket").is_in(too_slow)
    counted, came = (
        latency.group_by("bucket").agg(
            pl.col(name).filter(slow).sum().cast(pl.Float64).alias("bad"),
            pl.col(name).sum().cast(pl.Float64).alias("total"),
        )
        for name in ("n", "rows")
    )
    return slo_sampled.with_rows(counted, came, ("bucket",)) if sampled else counted


def planned_for(declared: Declarations, objective: Objective, window: Window) -> tuple[Planned, ...]:
    """Give the planned work that is left out of an objective."""
    return tuple(
        one for one in declared.planned if one.touches(objective.service, objective.sli.model, window.start, window.end)
    )


def _clear(frame: pl.DataFrame, declared: Declarations, objective: Objective, step: timedelta) -> pl.DataFrame:
    """Leave the buckets out that planned work touched."""
    for one in declared.planned:
        if one.touches(objective.service, objective.sli.model, one.start, one.end):
            touched = (pl.col("bucket") < stored(one.end)) & (pl.col("bucket") > stored(one.start - step))
            frame = frame.filter(~touched)
    return frame


def cleared_days(frame: pl.DataFrame, declared: Declarations, objective: Objective) -> pl.DataFrame:
    """Leave the days out that planned work touched."""
    return _clear(frame, declared, objective, DAY)


def sliced(frame: pl.DataFrame, objective: Objective, step: timedelta, until: datetime) -> pl.DataFrame:
    """Make one event of each finished slice: bad or good by its target, or bad by its share."""
    share = pl.col("bad") / pl.col("total")
    if objective.method == "Timeslices":
        share = (1 - share < (objective.slice_target or 0.0) - 1e-12).cast(pl.Float64)
    return (
        frame.group_by(pl.col("bucket").dt.truncate(_every(step)))
        .agg(pl.col("bad", "total").sum())
        .filter((pl.col("total") > 0) & (pl.col("bucket") <= stored(until - step)))
        .select("bucket", share.alias("bad"), pl.lit(1.0).alias("total"))
    )


def _every(step: timedelta) -> str:
    return f"{round(step / MINUTE)}m"


def _of_slices(
    facts: FactReader, declared: Declarations, objective: Objective, end: datetime, back: timedelta, step: timedelta
) -> BadRequests:
    if step >= HOUR:
        hours = _clear(events(facts, objective, Window(end - back, end), HOUR), declared, objective, HOUR)
        return BadRequests(end, step, Ticks(sliced(hours, objective, step, end)))
    young = young_slices(facts, declared, objective, end)
    older = _older_slices(facts, declared, objective, Window(end - back, _young(facts, end)), end)
    ticks = Ticks(pl.concat([older, young]))
    return BadRequests(end, step, ticks, ticks)


def young_slices(facts: FactReader, declared: Declarations, objective: Objective, end: datetime) -> pl.DataFrame:
    """Make slices under an hour of what is still kept by the minute, in whole hours."""
    start = _young(facts, end)
    if start >= end:
        return pl.DataFrame(schema=_EVENTS)
    minutes = _clear(events(facts, objective, Window(start, end), MINUTE), declared, objective, MINUTE)
    return sliced(minutes, objective, objective.slice or MINUTE, end)


def _young(facts: FactReader, end: datetime) -> datetime:
    """Give the first whole hour of which minutes are looked at."""
    return max(_hour(end - SLICED), _hour(facts.minutes_since() + HOUR - timedelta(microseconds=1)))


def _older_slices(
    facts: FactReader, declared: Declarations, objective: Objective, window: Window, as_of: datetime
) -> pl.DataFrame:
    kept = facts.readings(SLICES, window, as_of, objective.service).filter(pl.col("subject") == objective.name)
    frame = kept.select(
        pl.col("window_start").alias("bucket"),
        pl.col("value").alias("bad"),
        pl.col("n").cast(pl.Float64).alias("total"),
    )
    return _clear(frame, declared, objective, HOUR)


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _of_readings(
    facts: FactReader, declared: Declarations, objective: Objective, end: datetime, back: timedelta
) -> BadRequests:
    """Judge a number of each slice (the largest in it) by its bound."""
    step, bound = objective.slice or DAY, objective.sli.max or 0.0
    found = facts.readings(READINGS[objective.sli.measure], Window(end - back, end), end, objective.service)
    if objective.sli.model is not None:
        found = found.filter(model=objective.sli.model)
    worst = (
        found.group_by((pl.col("window_end") - timedelta(microseconds=1)).dt.truncate(_every(step)).alias("bucket"))
        .agg(pl.col("value").max(), pl.col("maturity").min())
        .select(
            "bucket", (pl.col("value") > bound).cast(pl.Float64).alias("bad"), pl.lit(1.0).alias("total"),
            "maturity",
        )
    )  # fmt: skip
    known = cast("float | None", worst["maturity"].mean())
    cleared = _clear(worst.select(*_EVENTS), declared, objective, step)
    return BadRequests(end, step, Ticks(cleared), maturity=known)


def _of_outcomes(
    facts: FactReader, declared: Declarations, objective: Objective, end: datetime, back: timedelta
) -> BadRequests:
    """Count right and wrong by the day of the prediction, on days that have had time to be known."""
    last = matured_end(facts, objective, end)
    if last is None:
        return BadRequests(end, DAY, Ticks(pl.DataFrame(schema=_EVENTS)), maturity=0.0)
    days = outcomes(facts, objective, Window(last - _whole(back), last), end)
    made, known = sum(day.predictions for day in days), sum(day.known for day in days)
    frame = pl.DataFrame(
        {
            "bucket": [day.bucket for day in days],
            "bad": [float(day.wrong) for day in days],
            "total": [float(day.correct + day.wrong) for day in days],
        },
        schema=_EVENTS,
    )
    cleared = _clear(frame.group_by("bucket").agg(pl.col("bad", "total").sum()), declared, objective, DAY)
    return BadRequests(last, DAY, Ticks(cleared), maturity=min(known / made, 1.0) if made else 0.0)


def outcomes(facts: FactReader, objective: Objective, window: Window, as_of: datetime) -> list[QualityRow]:
    """Give predictions and outcomes by day and model, as known at a time."""
    return [
        row
        for model in models_of(facts, objective, as_of)
        for row in rows(facts.quality(objective.service, model, window, as_of, step=DAY), QualityRow)
        if row.bucket is not None
    ]


def matured_end(facts: FactReader, objective: Objective, as_of: datetime) -> datetime | None:
    """Give the midnight up to which outcomes have had their time; None where nobody knows how long they take."""
    delay = objective.maturing or _learned(facts, objective, as_of)
    if delay is None:
        return None
    at = as_of - delay
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _learned(facts: FactReader, objective: Objective, as_of: datetime) -> timedelta | None:
    """Learn from the references after how many days nine of ten outcomes were known: the longest of the models."""
    delays: list[float] = []
    for info in facts.models(as_of):
        if info.service == objective.service and objective.sli.model in (None, info.model) and info.reference:
            found = rows(facts.outcome_delay(info.service, info.model, info.reference, as_of), DelayRow)
            delays += [row.q90 for row in found if row.q90 is not None and row.n >= MIN_OUTCOMES]
    return DAY * max(int(np.ceil(max(delays) - 1e-6)), 0) if delays else None


def models_of(facts: FactReader, objective: Objective, as_of: datetime) -> Sequence[str]:
    """Name the models that an objective is about."""
    if objective.sli.model is not None:
        return (objective.sli.model,)
    return tuple(info.model for info in facts.models(as_of) if info.service == objective.service)


def _whole(length: timedelta) -> timedelta:
    return DAY * int(np.ceil(length / DAY))

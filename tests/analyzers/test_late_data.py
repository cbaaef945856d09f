"""What an edge site sends days late belongs to the day that it is of, and nobody is paged as if it were news."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from analyzers.test_schedule import Sink
from analyzers.world import World, day

from watchkeeper.analyzers.schedule import Schedule
from watchkeeper.analyzers.slo import burn_rate
from watchkeeper.schemas.declared import Declarations, Objective
from watchkeeper.schemas.findings import Severity, Window
from watchkeeper.schemas.objectives import Sli

HOUR = timedelta(hours=1)
NAME = burn_rate.ANALYZER.name
PROMISE = Objective(name="promise", service="flights", sli=Sli(measure="errors"), target=0.99, days=28)


def rows(start: datetime, hours: int, *, ok: int) -> pl.DataFrame:
    """Give a request a minute."""
    begin = start.replace(tzinfo=None)
    return pl.DataFrame({"ts": [begin + timedelta(minutes=n) for n in range(hours * 60)], "ok": [ok] * hours * 60})


def told(world: World, sink: Sink) -> Schedule:
    marks = {NAME: day(30) - HOUR}
    return Schedule(
        {NAME: burn_rate.ANALYZER},
        world.reader,
        lambda: Declarations(objectives=(PROMISE,)),
        lambda: day(30),
        sink,
        marks,
    )


def pages(sink: Sink) -> list[str]:
    return [finding.summary for finding in sink.findings if finding.severity is Severity.PAGE and finding.active]


def test_six_bad_hours_of_four_days_ago_are_counted_then_and_page_nobody_now() -> None:
    world, sink = World(now=day(31)).load(rows(day(0), 30 * 24, ok=1)), Sink()
    schedule = told(world, sink)
    schedule.run_due(day(30))
    before = world.reader.traffic(Window(day(26), day(27)), service="flights")["errors"].sum()
    world.load(rows(day(26), 6, ok=0))
    world.load(rows(day(30), 2, ok=1))
    schedule.run_due(day(30) + 2 * HOUR)
    assert before == 0
    assert world.reader.traffic(Window(day(26), day(26) + 6 * HOUR), service="flights")["errors"].sum() == 360
    assert world.reader.traffic(Window(day(27), day(31)), service="flights")["errors"].sum() == 0
    assert pages(sink) == []
    found = world.evaluate(burn_rate.ANALYZER, day(26) + 6 * HOUR, Declarations(objectives=(PROMISE,))).findings
    assert any(finding.severity is Severity.PAGE for finding in found), "evaluated as of then it would have been one"


def test_the_same_hours_as_they_happen_do_page() -> None:
    world, sink = World(now=day(31)).load(rows(day(0), 30 * 24, ok=1)), Sink()
    schedule = told(world, sink)
    schedule.run_due(day(30))
    world.load(rows(day(30), 2, ok=0))
    schedule.run_due(day(30) + 2 * HOUR)
    assert len(pages(sink)) > 0

"""Telemetry that goes missing: what is said, of whom, and what is not said."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from analyzers.world import World, day

from watchkeeper.analyzers.data.telemetry import ANALYZER
from watchkeeper.schemas.declared import Declarations, Monitor
from watchkeeper.schemas.findings import DataState, Finding, Severity, Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts import telemetry

NOW = day(30)
MINUTE = timedelta(minutes=1)
NOTHING = Declarations()


def look(world: World, at, *groups: dict) -> None:
    named = [
        {"service": "shop", "site": "", "version": "1", "clients": 1}
        | {name: stored(value) if name == "seen_at" else value for name, value in group.items()}
        for group in groups
    ]
    telemetry.write(world.facts, pl.DataFrame(named, infer_schema_length=None), at)


def said(world: World, declared: Declarations = NOTHING, at=NOW) -> tuple[Finding, ...]:
    return world.evaluate(ANALYZER, at, declared).findings


def grown(dropped: int = 0, missing: int = 0, overdue: int = 0, **more) -> tuple[dict, dict]:
    start = {"accepted": 5000, "dropped": 7, "missing": 3} | more
    lost = {"dropped": 7 + dropped, "missing": 3 + missing, "overdue": overdue}
    return start, start | {"accepted": 5950} | lost


def lossy(*groups: tuple[dict, dict]) -> World:
    world = World()
    look(world, NOW - timedelta(days=2), *(start for start, _ in groups))
    look(world, NOW - 6 * MINUTE, *(end for _, end in groups))
    return world


@pytest.mark.parametrize("loss", [{"dropped": 50}, {"missing": 50}, {"overdue": 50}, {"dropped": 30, "missing": 20}])
def test_a_loss_of_the_last_day_is_told_whichever_way_it_was_lost(loss):
    (finding,) = said(lossy(grown(**loss)))
    assert (finding.metric, finding.subject, finding.severity) == ("lost_share", "everywhere", Severity.TICKET)
    assert finding.observed == pytest.approx(0.05)
    assert (
        finding.summary
        == "5.0 % of what shop logged in the last day is lost: 50 events, all of them from client version 1."
    )
    assert finding.data_state is DataState.PARTIAL


def test_the_one_site_or_version_that_loses_is_named():
    site = lossy(grown(50, site="ams"), grown(site="bru"))
    assert said(site)[0].subject == "site:ams"
    assert said(site)[0].summary.endswith("50 events, all of them from site ams, client version 1.")
    version = lossy(grown(50, site="ams", version="2"), grown(50, site="bru", version="2"), grown(version="1"))
    assert said(version)[0].subject == "version:2"
    both = lossy(grown(50, site="ams"), grown(50, site="bru"))
    assert said(both)[0].subject == "everywhere"
    assert said(both)[0].summary.endswith("100 events, 50 of them from site ams, client version 1.")


def test_nothing_is_said_of_old_losses_small_ones_and_what_is_in_flight():
    assert not said(lossy(grown()))
    assert not said(lossy(grown(9)))
    world = lossy(grown())
    _, end = grown(missing=500)
    look(world, NOW - 2 * MINUTE, end)
    assert not said(world)
    assert said(world, at=NOW + 5 * MINUTE)


def test_it_does_not_look_ahead():
    world = lossy(grown(50))
    assert said(world)
    assert not said(world, at=NOW - 7 * MINUTE)
    before = world.evaluate(ANALYZER, NOW)
    look(world, NOW + MINUTE, grown(900)[1])
    assert world.evaluate(ANALYZER, NOW) == before


def test_a_monitor_makes_it_louder_or_ends_it():
    loud = Declarations(monitors=(Monitor(analyzer="data.telemetry", service="shop", severity="page"),))
    assert said(lossy(grown(50)), loud)[0].severity is Severity.PAGE
    off = Declarations(monitors=(Monitor(analyzer="data.telemetry", enabled=False),))
    assert not said(lossy(grown(50)), off)
    assert not said(
        lossy(grown(50)), Declarations(monitors=(Monitor(analyzer="data.telemetry", params={"min_share": 0.1}),))
    )


def test_the_facts_keep_only_what_moved():
    world = World()
    look(world, NOW, {"accepted": 5, "seen_at": NOW})
    look(world, NOW + MINUTE, {"accepted": 5, "seen_at": NOW})
    look(world, NOW + 2 * MINUTE, {"accepted": 6, "seen_at": NOW})
    frame = world.facts.read("SELECT service, accepted FROM telemetry ORDER BY looked_at, service")
    assert frame.filter(pl.col("service") == "shop")["accepted"].to_list() == [5, 6]
    assert world.reader.watched(Window(NOW - MINUTE, NOW + 9 * MINUTE)) == 2 * MINUTE
    assert world.reader.newest_look(Window(NOW, NOW + 9 * MINUTE)) == (NOW + 2 * MINUTE, NOW + 2 * MINUTE)
    assert world.reader.newest_look(Window(NOW + 2 * MINUTE, NOW + 9 * MINUTE)) is None
    assert world.reader.telemetry(NOW + MINUTE)["accepted"].to_list() == [5]


def test_what_is_old_is_kept_by_the_hour():
    world = World()
    old = NOW - timedelta(days=31)
    for minute in range(120):
        look(world, old + minute * MINUTE, {"accepted": minute})
        look(world, NOW - minute * MINUTE, {"accepted": 1000 + minute})
    telemetry.thin(world.facts, NOW)
    frame = world.facts.read("SELECT accepted FROM telemetry WHERE service = 'shop' ORDER BY looked_at")
    assert frame["accepted"].to_list()[:2] == [59, 119]
    assert frame.height == 2 + 120
    assert world.reader.telemetry(old + timedelta(hours=3))["accepted"].to_list() == [119]

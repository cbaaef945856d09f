"""Telemetry that goes missing, and those who are silent: what is said, of whom, and what is not said."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from analyzers.world import World, day, made

from watchkeeper.analyzers.data.telemetry import ANALYZER
from watchkeeper.schemas.declared import Declarations, Monitor, System
from watchkeeper.schemas.findings import DataState, Finding, Severity, Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts import telemetry

NOW = day(30)
MINUTE = timedelta(minutes=1)
NOTHING = Declarations()
SHOP = System(name="s", services=["shop"], owner="o", sites=["ams", "bru"], expect_every="1h")
HOURLY = Declarations(systems=(SHOP,))


def look(world: World, at, *groups: dict) -> None:
    named = [
        {"service": "shop", "site": "", "version": "1"}
        | {name: stored(value) if name == "seen_at" else value for name, value in group.items()}
        for group in groups
    ]
    telemetry.write(world.facts, pl.DataFrame(named, infer_schema_length=None), at)


def watch(world: World, start=NOW - 2 * timedelta(hours=1), end=NOW) -> None:
    """The server was there and looked every 5 minutes, and nothing moved."""
    at = start
    while at <= end:
        telemetry.write(world.facts, pl.DataFrame(), at)
        at += 5 * MINUTE


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
    assert finding.summary == "5.0 % of what shop logged in the last day is lost: 50 events."
    assert finding.data_state is DataState.PARTIAL


def test_the_one_site_or_version_that_loses_is_named():
    site = lossy(grown(50, site="ams"), grown(site="bru"))
    assert said(site)[0].subject == "site:ams"
    assert said(site)[0].summary.endswith("50 events, all of them from site ams.")
    version = lossy(grown(50, site="ams", version="2"), grown(50, site="bru", version="2"), grown(version="1"))
    assert said(version)[0].subject == "version:2"
    both = lossy(grown(50, site="ams"), grown(50, site="bru"))
    assert said(both)[0].subject == "everywhere"


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


def silent(**seen: timedelta) -> World:
    world = World()
    heard = [{"site": site, "seen_at": NOW - ago, "accepted": 5} for site, ago in seen.items()]
    look(world, NOW - timedelta(days=3), *heard)
    watch(world)
    return world


def test_one_site_that_is_silent_is_offline_and_the_other_is_not():
    (finding,) = said(silent(ams=timedelta(hours=3), bru=timedelta(minutes=50)), HOURLY)
    assert (finding.metric, finding.subjects) == ("silent_seconds", ("site:ams",))
    assert (finding.observed, finding.since) == (3 * 3600, NOW - timedelta(hours=3))
    assert finding.data_state is DataState.ABSENT
    assert finding.summary.startswith("site ams of shop is offline since ")
    assert finding.summary.endswith("; it should send every 1 h.")


def test_a_service_that_is_silent_as_a_whole_is_told_once():
    (finding,) = said(silent(ams=timedelta(hours=3), bru=timedelta(hours=2)), HOURLY)
    assert finding.subjects == ("everywhere", "site:ams", "site:bru")
    assert (finding.since, finding.summary[:24]) == (NOW - timedelta(hours=2), "shop is offline since 3 ")


def test_a_site_that_never_sent_is_silent_since_it_is_waited_for():
    (finding,) = said(silent(bru=timedelta(minutes=1)), HOURLY)
    assert (finding.subject, finding.observed) == ("site:ams", 3600.0)


def test_a_service_without_sites_and_a_sender_without_a_book():
    declared = Declarations(systems=(System(name="s", services=["flights", "other"], owner="o", expect_every="2h"),))
    world = World().load(made(days=30))
    world.facts.read("SELECT 1")
    with world.facts.transaction() as connection:
        connection.execute("UPDATE predictions SET received_at = ?", [stored(NOW - timedelta(hours=1))])
    watch(world, NOW - timedelta(hours=3))
    assert [(one.service, one.subject) for one in said(world, declared)] == [("other", "everywhere")]
    later = NOW + timedelta(hours=3)
    watch(world, NOW, later)
    assert {one.service for one in said(world, declared, later)} == {"flights", "other"}


def test_while_the_server_was_away_nobody_is_called_silent():
    world = World()
    look(world, NOW - timedelta(days=3), {"site": "ams", "seen_at": NOW - timedelta(days=3)})
    watch(world, NOW - timedelta(minutes=30))
    assert not said(world, HOURLY)
    watch(world, NOW, NOW + timedelta(minutes=40))
    assert said(world, HOURLY, NOW + timedelta(minutes=40))


def test_nobody_is_expected_who_is_not_declared():
    assert not said(silent(ams=timedelta(days=2)))


def test_the_facts_keep_only_what_moved():
    world = World()
    look(world, NOW, {"accepted": 5, "seen_at": NOW})
    look(world, NOW + MINUTE, {"accepted": 5, "seen_at": NOW})
    look(world, NOW + 2 * MINUTE, {"accepted": 6, "seen_at": NOW})
    frame = world.facts.read("SELECT service, accepted FROM telemetry ORDER BY looked_at, service")
    assert frame.filter(pl.col("service") == "shop")["accepted"].to_list() == [5, 6]
    assert len(world.reader.telemetry_looks(Window(NOW - MINUTE, NOW + 9 * MINUTE))) == 3
    assert world.reader.telemetry(NOW + MINUTE)["accepted"].to_list() == [5]

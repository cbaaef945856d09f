"""Who is silent that should send: what is declared, what is learned, and that quiet and bursty senders are not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from analyzers.world import World, day, made

from watchkeeper.analyzers.data.silence import ANALYZER, LEARNED, TAIL, Limit, learned
from watchkeeper.analyzers.evaluation import Evaluation
from watchkeeper.analyzers.schedule import Schedule
from watchkeeper.schemas.declared import Declarations, Monitor, System
from watchkeeper.schemas.findings import DataState, Finding, Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts import prediction_rows, telemetry
from watchkeeper.store.facts.batch import complete
from watchkeeper.store.facts.connection import insert
from watchkeeper.store.facts.telemetry import LOOK, TELEMETRY_COLUMNS

NOW = day(30) + timedelta(hours=14)  # a Wednesday
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOTHING = Declarations()


def expecting(every: str, *sites: str, services: Sequence[str] = ("shop",)) -> Declarations:
    shop = System(name="s", services=list(services), owner="o", sites=list(sites), expect_every=every)
    return Declarations(systems=(shop,))


HOURLY = expecting("1h", "ams", "bru")


def said(world: World, declared: Declarations = NOTHING, at: datetime = NOW) -> tuple[Finding, ...]:
    return world.evaluate(ANALYZER, at, declared).findings


def looked(world: World, start: datetime, end: datetime = NOW, loaded_to: datetime | None = None) -> World:
    """The server was there, and looked every minute."""
    count = (end - start) // MINUTE + 1
    at = pl.Series([stored(end - number * MINUTE) for number in range(count)])
    up_to = at if loaded_to is None else pl.Series([stored(loaded_to)] * count)
    frame = pl.DataFrame({"looked_at": at, "seen_at": up_to}).with_columns(pl.lit(LOOK).alias("service"))
    with world.facts.transaction() as connection:
        insert(connection, "telemetry", complete(frame, TELEMETRY_COLUMNS))
    return world


def heard(
    world: World, arrivals: Sequence[datetime], site: str = "", service: str = "shop", *, clients: int = 1
) -> World:
    """Someone sent at these times; each look shows the newest. Of no clients is who keeps no book."""
    seen = pl.Series([stored(one) for one in arrivals]).sort()
    minutes = pl.DataFrame({"seen_at": seen, "looked_at": seen.dt.truncate("1m") + MINUTE})
    frame = minutes.group_by("looked_at").agg(pl.col("seen_at").max())
    named = frame.with_columns(
        pl.lit(service).alias("service"),
        pl.lit(site).alias("site"),
        pl.lit("1").alias("version"),
        pl.lit(clients).alias("clients"),
    )
    with world.facts.transaction() as connection:
        insert(connection, "telemetry", complete(named.sort("looked_at"), TELEMETRY_COLUMNS))
    return world


def silent(**seen: timedelta) -> World:
    world = looked(World(), NOW - 4 * HOUR)
    for site, ago in seen.items():
        heard(world, [NOW - ago], site)
    return world


def test_one_site_that_is_silent_is_offline_and_the_other_is_not():
    (finding,) = said(silent(ams=3 * HOUR, bru=50 * MINUTE), HOURLY)
    assert (finding.metric, finding.subjects) == ("silent_seconds", ("site:ams",))
    assert (finding.observed, finding.since) == (3 * 3600, NOW - 3 * HOUR)
    assert finding.data_state is DataState.ABSENT
    assert finding.summary.startswith("site ams of shop is offline since ")
    assert finding.summary.endswith("; it should send every 1 h.")


def test_a_service_that_is_silent_as_a_whole_is_told_once():
    (finding,) = said(silent(ams=3 * HOUR, bru=2 * HOUR), HOURLY)
    assert finding.subjects == ("everywhere", "site:ams", "site:bru")
    assert (finding.since, finding.summary[:24]) == (NOW - 2 * HOUR, "shop is offline since 4 ")


def test_a_site_that_never_sent_is_told_apart():
    (finding,) = said(silent(bru=MINUTE), HOURLY)
    assert (finding.subject, finding.observed) == ("site:ams", 3600.0)
    assert finding.summary == "site ams of shop never sent; it should send every 1 h."


@pytest.mark.parametrize("every", ["30s", "1m", "2m", "10m"])
def test_a_declared_silence_may_be_short(every):
    declared = expecting(every, "ams", "bru")
    limit = declared.systems[0].silence
    assert limit is not None
    assert not said(silent(ams=limit - timedelta(seconds=5), bru=timedelta(seconds=1)), declared)
    (finding,) = said(silent(ams=limit + 2 * MINUTE, bru=timedelta(seconds=1)), declared)
    assert finding.subject == "site:ams"


def test_a_service_without_sites_and_a_sender_without_a_book():
    declared = expecting("2h", services=["flights", "other"])
    world = looked(World().load(made(days=30)), NOW - 5 * HOUR)
    with world.facts.transaction() as connection:
        connection.execute("UPDATE prediction_rows SET received_at = ?", [stored(NOW - HOUR)])
    assert [(one.service, one.subject) for one in said(world, declared)] == [("other", "everywhere")]
    later = NOW + 3 * HOUR
    looked(world, NOW + MINUTE, later)
    assert {one.service for one in said(world, declared, later)} == {"flights", "other"}


def test_while_what_came_waits_to_be_loaded_nobody_without_a_book_is_called_silent():
    world = looked(World(), NOW - 5 * HOUR, loaded_to=NOW - 2 * HOUR)
    assert not said(world, expecting("2h", services=["other"]))


@pytest.mark.parametrize("every", ["2m", "10m", "1h"])
def test_time_in_which_the_server_was_away_is_not_counted(every):
    """Also what is caught up after it came back: nobody looked then."""
    declared = expecting(every, "ams")
    limit = declared.systems[0].silence
    assert limit is not None
    world = heard(looked(World(), NOW - 5 * HOUR, NOW - 3 * HOUR), [NOW - 3 * HOUR], "ams")
    back = NOW
    looked(world, back, back + 3 * HOUR)
    for minutes in range(-170, int(limit / MINUTE) - 1, 10 if limit == HOUR else 1):
        assert not said(world, declared, back + minutes * MINUTE), minutes
    (finding,) = said(world, declared, back + limit + 2 * MINUTE)
    assert finding.since == NOW - 3 * HOUR


def steady(rng: np.random.Generator, days: int) -> np.ndarray:
    return np.sort(rng.random(days * 20_000)) * days * 86_400


def nightly(rng: np.random.Generator, days: int) -> np.ndarray:
    """Busy from eight to eight on working days, with a ragged edge; nothing at night and at the weekend."""
    times = steady(rng, days)
    begin, end = (8 + rng.uniform(-0.5, 0.5, days + 1)) * 3600, (20 + rng.uniform(-0.5, 0.5, days + 1)) * 3600
    number, second = (times // 86_400).astype(int), times % 86_400
    return times[(second > begin[number]) & (second < end[number]) & (number % 7 < 5)]


def thin_at_night(rng: np.random.Generator, days: int) -> np.ndarray:
    times = steady(rng, days)
    share = 0.002 + 0.998 * np.clip(np.sin((times % 86_400 / 86_400 - 0.25) * 2 * np.pi), 0, 1)
    return times[rng.random(times.size) < share]


def bursts(rng: np.random.Generator, days: int) -> np.ndarray:
    """Pauses with a heavy tail between bursts."""
    pauses = 20 * (rng.pareto(1.3, days * 3000) + 0.1)
    times = np.cumsum(pauses)
    return np.sort((times[:, None] + rng.exponential(2, (times.size, 5))).ravel())


def sparse(rng: np.random.Generator, days: int) -> np.ndarray:
    return np.sort(rng.random(days * 30)) * days * 86_400


def memoryless(rng: np.random.Generator, days: int) -> np.ndarray:
    return np.cumsum(rng.exponential(70, days * 1234))


def told_of(times: np.ndarray, floor: float = 120.0) -> tuple[int, int]:
    """Of the longest gaps after the first 28 days: how many would have been told, and how many were watched."""
    seen = np.unique(np.maximum.reduceat(times, np.unique(times // 60, return_index=True)[1]))
    gaps, second, weekend = np.diff(seen), seen[:-1] % 86_400, seen[:-1] // 86_400 % 7 >= 5
    false = watched = 0
    reach = LEARNED.total_seconds()
    for place in [one for one in np.argsort(gaps)[-3000:] if gaps[one] >= floor and seen[one] >= reach]:
        apart = np.abs(second - second[place])
        alike = (np.minimum(apart, 86_400 - apart) <= 3600) & (weekend == weekend[place])
        alike &= (seen[:-1] >= seen[place] - reach) & (np.arange(gaps.size) < place)
        past = gaps[alike]
        longest = np.sort(past)[::-1][: TAIL + 1].tolist()
        limit = learned(longest, past.size, np.unique(seen[:-1][alike] // 86_400).size, floor)
        watched += limit is not None
        false += limit is not None and gaps[place] >= limit.span.total_seconds()
    return false, watched


def exported(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """What an exporter of OpenTelemetry makes of it: batches of five seconds, some of them sent again after a wait."""
    batches = np.unique(np.ceil(times / 5)) * 5
    return np.sort(batches + np.where(rng.random(batches.size) < 0.01, rng.uniform(2, 10, batches.size), 0))


@pytest.mark.parametrize("exporter", [False, True])
@pytest.mark.parametrize("traffic", [steady, nightly, thin_at_night, bursts, sparse, memoryless])
def test_half_a_year_of_healthy_traffic_is_never_called_silent(traffic, exporter):
    rng = np.random.default_rng(7)
    times = traffic(rng, 182)
    times = times[times < 182 * 86_400]
    false, watched = told_of(exported(rng, times) if exporter else times)
    assert false == 0
    assert watched or traffic is not memoryless, "it must be one that is watched"


def since_weeks(traffic, until: datetime, service: str = "shop", *, clients: int = 1) -> World:
    start = until - LEARNED - DAY
    world = looked(World(), start, until + 3 * DAY)
    midnight = start.replace(hour=0)
    times = traffic(np.random.default_rng(3), 33)
    monday = timedelta(days=midnight.weekday())
    arrivals = [midnight - monday + timedelta(seconds=float(one)) for one in times[:: max(1, times.size // 60_000)]]
    return heard(world, [one for one in arrivals if start <= one <= until], service=service, clients=clients)


@pytest.mark.parametrize("clients", [0, 1])
def test_dense_traffic_that_ends_is_told_within_minutes_without_a_declaration(clients):
    world = since_weeks(nightly, NOW, clients=clients)
    assert not said(world, at=NOW + MINUTE)
    (finding,) = said(world, at=NOW + 5 * MINUTE)
    assert (finding.subject, finding.severity.value) == ("everywhere", "ticket")
    assert finding.summary.startswith("shop is offline since 4 Feb 13:5")
    assert "at this hour it was never silent for longer than" in finding.summary
    assert finding.evidence.n >= 200
    off = Declarations(monitors=(Monitor(analyzer="data.silence", service="shop", enabled=False),))
    assert not said(world, off, NOW + 5 * MINUTE)
    patient = Declarations(monitors=(Monitor(analyzer="data.silence", params={"floor_minutes": 30.0}),))
    assert not said(world, patient, NOW + 20 * MINUTE)
    assert said(world, patient, NOW + 31 * MINUTE)
    assert not said(world, expecting("2h"), NOW + HOUR), "what is declared goes first"


@pytest.mark.parametrize("clients", [0, 1])
def test_the_night_and_the_weekend_of_a_service_that_is_quiet_then_are_not_told(clients):
    evening = day(25) + timedelta(hours=21)  # a Friday
    world = since_weeks(nightly, evening, clients=clients)
    for hours in range(0, 60, 5):
        assert not said(world, at=evening + timedelta(hours=hours))


def test_what_arrived_and_is_not_loaded_yet_is_no_silence_of_an_exporter():
    world = since_weeks(nightly, NOW, clients=0)
    with world.facts.transaction() as connection:
        connection.execute(
            "UPDATE telemetry SET seen_at = $to WHERE service = 'watchkeeper' AND looked_at > $to", {"to": stored(NOW)}
        )
    assert not said(world, at=NOW + 10 * MINUTE)


def test_a_service_that_gets_a_book_is_not_missed_where_it_had_none():
    world = since_weeks(nightly, NOW, clients=0)
    heard(world, [NOW + number * MINUTE for number in range(30)], "ams")
    assert not said(world, at=NOW + 30 * MINUTE)
    (finding,) = said(heard(silent(ams=3 * HOUR), [NOW - MINUTE], clients=0), expecting("1h", "ams"))
    assert finding.subjects == ("everywhere", "site:ams"), "and one without a site is no sign of life of a site"


def test_arrivals_of_exporters_are_noted_at_each_look_as_those_of_clients_are():
    """Also of what was loaded only after the next look; who keeps a book is left out."""
    world, other = World(), World()
    rng = np.random.default_rng(5)
    times = [NOW + timedelta(seconds=float(one)) for one in np.cumsum(rng.exponential(40, 30))]
    looks = [NOW + number * MINUTE for number in range(1, 23)]
    for look in looks:
        loaded_to = look - MINUTE / 2 if look.minute % 7 == 0 else look
        came = [one for one in times if look - 2 * MINUTE < one <= loaded_to]
        known = set(world.facts.read("SELECT received_at FROM predictions WHERE service = 'shop'").to_series())
        rows = [
            {"id": f"{service}-{one}", "service": service, "ts": stored(one), "received_at": stored(one)}
            for one in came
            if stored(one) not in known
            for service in ("shop", "sdk")
        ]
        if rows:
            with world.facts.transaction() as connection:
                insert(connection, prediction_rows.TABLE, pl.DataFrame(rows))
        telemetry.write(world.facts, telemetry.arrivals(world.facts, ["sdk"], look), look, loaded_to)
    heard(other, [one for one in times if one <= looks[-1]], clients=0)
    noted = "SELECT DISTINCT seen_at FROM telemetry WHERE service <> 'watchkeeper' ORDER BY seen_at"
    found, wanted = (set(one.facts.read(noted).to_series()) for one in (world, other))
    assert len(found) > 10
    assert len(found & wanted) / len(wanted) > 0.7, "but for looks that came while something was still loading"
    assert world.facts.read("SELECT max(seen_at) FROM telemetry WHERE service = 'shop'").item() == max(
        stored(one) for one in times if one <= looks[-1]
    )
    assert world.facts.read("SELECT count(*) FROM telemetry WHERE service = 'sdk'").item() == 0


def test_who_is_new_or_gone_for_a_week_is_not_expected():
    assert not said(silent(ams=10 * MINUTE))
    world = since_weeks(steady, NOW - 9 * DAY)
    looked(world, NOW - 5 * DAY, NOW)
    assert not said(world)
    assert ("shop", "") in world.evaluate(ANALYZER, NOW).judged, "so what was told is over"


def test_a_single_long_gap_of_the_past_is_allowed_again():
    assert learned([600.0, *[70.0] * 30], 3000, 20, 120.0) == Limit(timedelta(seconds=900), 3000, timedelta(minutes=10))
    assert learned([70.0] * 30, 199, 20, 120.0) is None
    assert learned([70.0] * 30, 3000, 4, 120.0) is None


def test_gaps_are_those_of_the_hour_and_of_times_in_which_somebody_looked():
    world = looked(World(), NOW - 3 * DAY, NOW - 2 * DAY)
    looked(world, NOW - 2 * DAY + HOUR, NOW)
    midday = NOW - 2 * DAY
    heard(world, [midday - 9 * MINUTE, midday - 5 * MINUTE, midday + 61 * MINUTE, midday + 5 * HOUR, NOW])
    (found,) = telemetry.gaps(world.facts, [("shop", "", NOW)], Window(NOW - LEARNED, NOW), 3)
    assert (found.n, found.longest, found.days) == (1, (240.0,), 1)


def test_who_is_waited_for_is_told_also_where_no_event_ever_came():
    world = looked(World(), NOW - 2 * HOUR)
    found: list[Finding] = []
    registry = {ANALYZER.name: ANALYZER}

    def run(**more: object) -> None:
        def sink(evaluations: Sequence[Evaluation], marks: object) -> None:
            found.extend(finding for one in evaluations for finding in one.findings)

        Schedule(registry, world.reader, lambda: HOURLY, lambda: NOW, sink, {}, **more).run_due()

    run()
    assert not found
    run(without_events={ANALYZER.name})
    assert [one.subjects for one in found] == [("everywhere", "site:ams", "site:bru")]

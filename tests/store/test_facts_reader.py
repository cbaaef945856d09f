"""What the reader answers: half-open windows, whole buckets, nothing invented."""

from __future__ import annotations

from datetime import UTC, timedelta

import polars as pl
import pytest
from store.facts_made import DAY, HOUR, MINUTE, NOW, START, WEEK, Made, event, outcome, times, window

from watchkeeper.store.facts.rollups import bucket_value

LATER = (START + 7 * DAY).replace(tzinfo=UTC)


def hourly(made: Made, hours: int = 24, **parts: object) -> None:
    made.load(*(event(ts=START + n * HOUR, **parts) for n in range(hours)))


def requests(made: Made, start: timedelta, end: timedelta, **asked: object) -> float:
    return made.reader.traffic(window(start, end), **asked)["requests"].sum()


def test_a_window_has_its_start_and_not_its_end() -> None:
    made = Made()
    hourly(made)
    assert requests(made, 0 * HOUR, 24 * HOUR) == 24
    assert requests(made, 3 * HOUR, 7 * HOUR) == 4
    assert requests(made, 24 * HOUR, 48 * HOUR) == 0


def test_a_long_window_is_read_by_whole_hours() -> None:
    """Hours that begin in the window count whole: what an unaligned start cuts in two is left out, its end is not.

    So two windows that follow each other without a gap count every event once, aligned or not.
    """
    made = Made()
    made.load(*(event(ts=START + n * 20 * MINUTE) for n in range(48)))
    assert requests(made, 30 * MINUTE, 8 * HOUR + 30 * MINUTE) == 8 * 3
    assert requests(made, 1 * HOUR, 9 * HOUR) == 8 * 3
    parts = [(0 * HOUR, 7 * HOUR + 10 * MINUTE), (7 * HOUR + 10 * MINUTE, 16 * HOUR)]
    assert sum(requests(made, *part) for part in parts) == 48


def test_a_short_window_is_read_by_the_minute_while_minutes_are_kept() -> None:
    made = Made(now=START + 2 * DAY)
    made.load(*(event(ts=START + 2 * DAY - n * MINUTE - timedelta(seconds=30)) for n in range(180)))
    end = 2 * DAY
    assert requests(made, end - 90 * MINUTE, end - 10 * MINUTE) == 80
    assert requests(made, end - 5 * MINUTE, end) == 5


def test_a_short_window_of_long_ago_is_read_by_the_hour() -> None:
    made = Made(now=START + 9 * DAY)
    hourly(made, 9 * 24)
    assert requests(made, 2 * HOUR, 5 * HOUR) == 3
    assert requests(made, 2 * HOUR + MINUTE, 2 * HOUR + 31 * MINUTE) == 0, "no hour begins in it"


def test_a_clock_that_runs_ahead_takes_nobody_the_minutes() -> None:
    """One event of next year, and the last five minutes of everybody else must still be seen."""
    made = Made(now=START + 2 * DAY)
    made.load(*(event(ts=START + 2 * DAY - n * MINUTE - timedelta(seconds=30)) for n in range(60)))
    made.load(event(service="ahead", ts=START + 300 * DAY, clock_skew=True))
    assert requests(made, 2 * DAY - 5 * MINUTE, 2 * DAY) == 5


def test_what_came_too_late_for_the_minutes_is_read_by_the_hour() -> None:
    """Two days before the newest event is not two days before now: a service may have been silent since."""
    made = Made(now=START + 10 * DAY)
    made.load(event(ts=START + 10 * DAY - 12 * HOUR))
    made.load(*(event(ts=START + 10 * DAY - 50 * HOUR - n * MINUTE) for n in range(1, 61)))
    assert requests(made, 10 * DAY - 52 * HOUR, 10 * DAY - 50 * HOUR) == 60


def test_traffic_by_step_and_segment() -> None:
    made = Made()
    made.load(
        *(event(ts=START + n * 12 * HOUR, segments={"d": "x" if n % 2 else "y"}, cost=0.5) for n in range(6)),
        event(ts=START, status="error", segments=None),
    )
    days = made.reader.traffic(WEEK, step=DAY).group_by("bucket").agg(pl.col("requests", "errors", "cost").sum())
    assert days.sort("bucket").rows() == [(START, 3, 1, 1.0), (START + DAY, 2, 0, 1.0), (START + 2 * DAY, 2, 0, 1.0)]
    values = made.reader.traffic(WEEK, dim="d")
    assert sorted(values.select("value", "requests").rows()) == [("x", 3), ("y", 3)]
    assert made.reader.traffic(WEEK, service="nobody").height == 0


def test_one_service_and_one_model_can_be_asked_for() -> None:
    made = Made()
    made.load(event(service="a", model="m"), event(service="a", model="n"), event(service="b", model="m"))
    assert made.reader.traffic(WEEK)["requests"].sum() == 3
    assert made.reader.traffic(WEEK, service="a")["requests"].sum() == 2
    assert made.reader.traffic(WEEK, service="a", model="n")["requests"].sum() == 1
    assert made.reader.latency(WEEK, service="a").height == 0


def test_latencies_by_bucket() -> None:
    made = Made()
    made.load(*(event(latency_ms=latency) for latency in (100.0, 100.1, 2000.0)), event())
    counted = made.reader.latency(WEEK, service="shop")
    assert counted["n"].to_list() == [2, 1]
    assert [bucket_value(b) for b in counted["log_bucket"]] == [
        pytest.approx(100, rel=0.011),
        pytest.approx(2000, rel=0.011),
    ]


def test_features_before_and_after_the_first_reference_have_the_same_columns() -> None:
    made = Made()
    made.load(event(features={"x": 1.0, "c": "a", "n": None}))
    features = made.reader.features("shop", "ranker", WEEK, step=None)
    kinds = dict(features.select("feature", "kind").rows())
    assert kinds == {"x": "numeric", "c": "category"}
    assert features.filter(feature="x").select("rows", "min", "max", "sum", "unseen", "below", "above").rows() == [
        (1, 1.0, 1.0, 1.0, 0, 0, 0)
    ]
    assert set(made.reader.features("shop", "ranker", WEEK).columns) == {*features.columns, "bucket"}


def test_quality_by_day_and_segment_counts_what_has_no_outcome_too() -> None:
    made = Made()
    made.load(
        *(event(id=f"a{n}", prediction=True, segments={"d": "x"}) for n in range(4)),
        *(event(id=f"b{n}", ts=START + DAY, prediction=True, segments={"d": "y"}) for n in range(2)),
        event(id="c", ts=START + DAY, prediction=True),
    )
    made.outcomes(outcome("a0", True, START + HOUR), outcome("a1", False, START + HOUR), outcome("b0", True, NOW))
    by_day = made.reader.quality("shop", "ranker", WEEK, LATER)
    assert by_day.select("bucket", "predictions", "known", "correct", "wrong").rows() == [
        (START, 4, 2, 1, 1),
        (START + DAY, 3, 1, 1, 0),
    ]
    by_value = made.reader.quality("shop", "ranker", WEEK, LATER, step=None, dim="d")
    assert by_value.select("value", "predictions", "known", "correct").rows() == [("x", 4, 2, 1), ("y", 2, 1, 1)]
    assert made.reader.quality("shop", "ranker", WEEK, LATER, dim="no such segment").height == 0


def test_the_delay_of_outcomes() -> None:
    made = Made()
    made.load(*(event(id=f"p{n}") for n in range(5)))
    made.outcomes(*(outcome(f"p{n}", True, START + n * DAY) for n in range(5)))
    [row] = made.reader.outcome_delay("shop", "ranker", WEEK, LATER).rows()
    assert row == (2.0, pytest.approx(3.6), pytest.approx(3.96), 5)


def test_a_gpu_without_utilisation_is_unknown_not_idle() -> None:
    made = Made()
    base = {"uuid": "G", "mig": None, "memory_used_mib": 50.0, "memory_free_mib": 50.0}
    samples = pl.DataFrame(
        [base | {"utilization": busy} for busy in (0.0, 0.5, None)], schema_overrides={"mig": pl.String}
    ).with_columns(times(START, START + MINUTE, START + 2 * MINUTE))
    mig = samples.head(1).with_columns(mig=pl.lit("7"), utilization=pl.lit(1.0))
    made.load(gpus=pl.concat([samples, mig]))
    rows = made.reader.gpus(WEEK)
    columns = ("uuid", "mig", "samples", "util_samples", "busy_sum", "idle_held", "unknown")
    assert sorted(rows.select(columns).rows(), key=str) == [("G", "7", 1, 1, 1.0, 0, 0), ("G", None, 3, 2, 0.5, 1, 1)]


def test_changes_and_reviews_of_a_window() -> None:
    made = Made()
    changes = pl.DataFrame({"kind": "deploy", "title": ["1", "2"], "service": ["shop", "other"]})
    made.load(changes=changes.with_columns(times(START, START + DAY)))
    reviews = pl.DataFrame({"prediction_id": ["a", "b", "c"], "decision": ["approved", "approved", "rejected"]})
    minutes = pl.Series("minutes", [1.0, None, 4.0])
    made.load(reviews=reviews.with_columns(times(START, START, START), minutes, service=pl.lit("shop")))
    assert made.reader.changes(None, window(0 * DAY, DAY))["title"].to_list() == ["1"]
    assert made.reader.changes("other", WEEK)["title"].to_list() == ["2"]
    assert made.reader.reviews("shop", WEEK).rows() == [("approved", 2, 1.0), ("rejected", 1, 4.0)]


def test_a_model_is_listed_from_its_first_event_on() -> None:
    made = Made()
    made.load(event(ts=START + DAY), event(ts=START + 3 * DAY))
    assert made.reader.models((START + HOUR).replace(tzinfo=UTC)) == []
    [model] = made.reader.models(LATER)
    assert (model.service, model.model) == ("shop", "ranker")
    assert (model.first_ts, model.last_ts) == tuple((START + n * DAY).replace(tzinfo=UTC) for n in (1, 3))
    made.load(event(ts=START))
    assert made.reader.models(LATER)[0].first_ts == START.replace(tzinfo=UTC), "a late event may be the first"

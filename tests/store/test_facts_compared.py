"""What a window is compared with: kept first days, rolling, seasonal, kept by name; from rollups, never by a scan."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store.facts_made import DAY, HOUR, PROPERTY, START, Made, event, window

from watchkeeper.schemas.declared import Reference
from watchkeeper.schemas.errors import InputError, NotFound
from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts import kept_references
from watchkeeper.store.facts.bin_counts import BinCounts
from watchkeeper.store.facts.kept_references import Binned
from watchkeeper.store.facts.kept_references import Made as ToKeep
from watchkeeper.store.facts.references import make_due

PAIR = ("shop", "ranker")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
counts = st.dictionaries(
    st.integers(1, 40), st.dictionaries(st.integers(-5, 100), st.integers(1, 10**6), max_size=20), max_size=10
).map(lambda bins: BinCounts.of((e, b, n) for e, held in bins.items() for b, n in held.items()))


def merged(*parts: BinCounts) -> BinCounts:
    return BinCounts.of(row for part in parts for row in part.rows)


@PROPERTY
@given(counts, counts, counts)
def test_counts_merge_in_any_order_and_lose_nothing(a: BinCounts, b: BinCounts, c: BinCounts) -> None:
    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert sum(n for *_, n in merged(a, b).rows) == sum(n for *_, n in (*a.rows, *b.rows))
    assert BinCounts.unpacked(a.packed()) == a


def test_a_reference_of_25_columns_takes_less_than_20_kb() -> None:
    rng = np.random.default_rng(1)
    large = BinCounts.of((e, b, int(n)) for e in range(25) for b, n in enumerate(rng.integers(0, 10**6, 103), -2))
    assert len(large.packed()) < 20_000


def traffic(days: int) -> Made:
    """Hour 9 has x near 9, hour 21 near 21; each day a little more; version "old" in the first week."""
    made = Made()
    for day in range(days):
        made.load(
            *(
                event(
                    ts=START + day * DAY + hour * HOUR + n * timedelta(minutes=1),
                    model_version="old" if day < 7 else "new",
                    score=n / 20,
                    prediction="yes" if n % 2 else "no",
                    features={"x": hour + day / 10 + n / 100, "c": f"c{day % 7}"},
                )
                for hour in (9, 21)
                for n in range(20)
            )
        )
    make_due(made.facts, (START + 4 * DAY).replace(tzinfo=UTC), 4, 10)
    return made


@cache
def weeks() -> Made:
    return traffic(35)


def compared(made: Made, span: Window, reference: Reference | None) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for row in made.reader.histogram(*PAIR, span, reference).iter_rows(named=True):
        if row["reference_n"]:
            found.setdefault(row["feature"], {})[row["bin"]] = row["reference_n"]
    return found


def counted(made: Made, span: Window) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for row in made.reader.histogram(*PAIR, span).iter_rows(named=True):
        if row["n"]:
            found.setdefault(row["feature"], {})[row["bin"]] = row["n"]
    return found


LAST = window(28 * DAY, 35 * DAY)


def test_rolling_is_the_days_before_and_says_that_it_takes_in_slow_drift() -> None:
    rolling = Reference(service="shop", type="rolling", days=14)
    assert compared(weeks(), LAST, rolling) == counted(weeks(), window(14 * DAY, 28 * DAY))
    [words] = weeks().reader.histogram(*PAIR, LAST, rolling)["against"].unique()
    assert words == "the 14 days before each window; they take in slow drift, which is not seen against them"


def test_seasonal_is_the_same_hours_of_the_week() -> None:
    seasonal = Reference(service="shop", type="seasonal", weeks=3)
    evening = window(30 * DAY + 20 * HOUR, 31 * DAY)
    found = compared(weeks(), evening, seasonal)
    parts = [counted(weeks(), window(30 * DAY - n * 7 * DAY + 20 * HOUR, 31 * DAY - n * 7 * DAY)) for n in (1, 2, 3)]
    assert sum(found["x"].values()) == 60
    assert found["c"] == {place: sum(part["c"].get(place, 0) for part in parts) for place in found["c"]}
    whole = compared(weeks(), LAST, seasonal)
    assert sum(whole["x"].values()) == 3 * 7 * 40, "three whole weeks"


def test_without_one_it_is_the_first_days() -> None:
    assert compared(weeks(), LAST, None) == counted(weeks(), window(0 * DAY, 4 * DAY))


def test_a_window_that_is_kept_stays_when_its_rollups_go() -> None:
    made = traffic(14)
    span = window(7 * DAY, 9 * DAY)
    before = counted(made, span)
    row = kept_references.keep(
        made.facts, *PAIR, ToKeep("calm", "window", "two days", kept_references.of_window(made.facts, *PAIR, span)), NOW
    )
    assert (row["version"], row["total"]) == (1, 80)
    with made.facts.transaction() as connection:
        connection.execute("DELETE FROM histogram_hour WHERE bucket < ?", [START + 10 * DAY])
    kept = Reference(service="shop", type="kept", kept="calm")
    assert compared(made, window(10 * DAY, 14 * DAY), kept) == before
    again = kept_references.of_window(made.facts, *PAIR, window(10 * DAY, 11 * DAY))
    assert kept_references.keep(made.facts, *PAIR, ToKeep("calm", "window", "", again), NOW)["version"] == 2
    assert compared(made, window(10 * DAY, 14 * DAY), kept) == before, "the first version does not move"
    listed = kept_references.listed(made.facts, "shop")
    assert listed.select("name", "version").rows() == [("calm", 1), ("calm", 2)]
    assert listed["bytes"].max() < 20_000


def test_another_version_of_the_model_is_counted_from_its_rows() -> None:
    made = traffic(14)
    old = kept_references.of_version(made.facts, *PAIR, "old")
    kept_references.keep(made.facts, *PAIR, ToKeep("before", "version", "version old", old), NOW)
    found = compared(made, window(7 * DAY, 14 * DAY), Reference(service="shop", type="kept", kept="before"))
    assert found == counted(made, window(0 * DAY, 7 * DAY))


def test_what_is_not_there_is_said_and_compared_with_nothing() -> None:
    with pytest.raises(NotFound, match="has no reference gone of version 3"):
        kept_references.read(weeks().facts, *PAIR, "gone", 3)
    assert compared(weeks(), LAST, Reference(service="shop", type="kept", kept="gone")) == {}
    nothing = kept_references.of_version(weeks().facts, *PAIR, "never")
    with pytest.raises(InputError, match="no rows of any feature"):
        kept_references.keep(weeks().facts, *PAIR, ToKeep("x", "version", "version never", nothing), NOW)


def training() -> pl.DataFrame:
    rng = np.random.default_rng(2)
    return pl.DataFrame(
        {
            "x": rng.uniform(5, 30, 2_000),
            "c": rng.choice(["c1", "c2"], 2_000),
            "score": rng.random(2_000),
            "prediction": rng.choice(["yes", "no"], 2_000),
        }
    )


def test_training_data_before_any_traffic_makes_the_edges_that_traffic_is_counted_on() -> None:
    made = Made()
    features, left_out = kept_references.binned(training().with_columns(pl.lit(None).alias("empty")), [])
    assert left_out == ["empty"]
    kept_references.keep(made.facts, *PAIR, ToKeep("training", "file", "file t.csv", features), NOW)
    early = [event(ts=START + n * HOUR, score=0.5, features={"x": 7.0, "c": "c9"}) for n in range(24 * 4)]
    made.load(*early[:40])
    trained = {epoch.feature: epoch for epoch in kept_references.in_force(made.facts, *PAIR)}
    make_due(made.facts, (START + 4 * DAY).replace(tzinfo=UTC), 4, 10)
    made.load(*early[40:])
    after = {epoch.feature: epoch for epoch in kept_references.in_force(made.facts, *PAIR)}
    assert after["x"].epoch == trained["x"].epoch
    assert after["x"].edges.tolist() == trained["x"].edges.tolist()
    span = window(0 * DAY, 4 * DAY)
    found = made.reader.histogram(*PAIR, span, Reference(service="shop", type="kept", kept="training"))
    sums = {name: rows.select("n", "reference_n").sum().row(0) for (name,), rows in found.group_by("feature")}
    assert sums == {"x": (96, 2000), "c": (96, 2000), "score": (96, 2000), "prediction": (96, 2000)}
    assert found.filter(feature="c", label="never seen before")["n"].to_list() == [96]


def test_edges_that_have_changed_meanwhile_are_refused() -> None:
    made = Made()
    features, _ = kept_references.binned(training(), [])
    kept_references.keep(made.facts, *PAIR, ToKeep("training", "file", "f", features), NOW)
    with pytest.raises(InputError, match="the edges of x are others now"):
        kept_references.keep(made.facts, *PAIR, ToKeep("training", "file", "f", features), NOW)
    held = kept_references.in_force(made.facts, *PAIR)
    again, _ = kept_references.binned(training(), held)
    assert kept_references.keep(made.facts, *PAIR, ToKeep("training", "file", "f", again), NOW)["version"] == 2
    other, left_out = kept_references.binned(training().with_columns(pl.lit("text").alias("x")), held)
    assert left_out == ["x"]
    assert all(isinstance(one, Binned) for one in other)


def test_a_week_of_25_columns_comes_from_rollups_without_a_scan() -> None:
    made = Made()
    names = [f"n{number}" for number in range(18)], [f"c{number}" for number in range(7)]
    rng = np.random.default_rng(4)
    for day in range(12):
        made.load(
            *(
                event(
                    ts=START + day * DAY + n * timedelta(minutes=40),
                    features={name: float(rng.normal()) for name in names[0]}
                    | {name: f"v{rng.integers(4)}" for name in names[1]},
                )
                for n in range(30)
            )
        )
    make_due(made.facts, (START + 4 * DAY).replace(tzinfo=UTC), 4, 10)
    span = window(5 * DAY, 12 * DAY)
    before = made.reader.histogram(*PAIR, span)
    tables = ["prediction_rows", *(str(name) for (name,) in made.rows("SELECT table_name FROM feature_tables"))]
    with made.facts.transaction() as connection:
        for table in tables:
            connection.execute(f"DROP TABLE {table}")
    after = made.reader.histogram(*PAIR, span)
    assert after.equals(before)
    sums = after.filter(pl.col("feature").is_in(names[0] + names[1])).group_by("feature").agg(pl.col("n").sum())
    assert (sums.height, set(sums["n"])) == (25, {210})

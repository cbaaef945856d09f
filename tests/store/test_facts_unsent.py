"""Where a sender samples, rows and what they stand for are both kept, by addition, however the rows came in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store.facts_made import DAY, HOUR, NOW, PROPERTY, START, Made, event

from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts import amending, compaction, erasure, retention, rollups
from watchkeeper.store.facts.kept import Keep, Policy
from watchkeeper.store.facts.queries import Ask, answer
from watchkeeper.store.facts.rollups import MINUTES_KEPT
from watchkeeper.store.sealed import SealedDays
from watchkeeper.store.subjects import Subject

Row = Mapping[str, object]
UNSENT = ("traffic_unsent_minute", "traffic_unsent_hour", "latency_unsent_minute", "latency_unsent_hour")
WEEK = Window((START - 3 * DAY).replace(tzinfo=UTC), (START + 7 * DAY).replace(tzinfo=UTC))
EVENTS = st.fixed_dictionaries(
    {
        "ts": st.integers(0, 60).map(lambda hours: NOW - hours * HOUR),
        "model_version": st.sampled_from([None, "1"]),
        "status": st.sampled_from(["ok", "error"]),
        "attempts": st.integers(1, 3),
        "latency_ms": st.none() | st.sampled_from([1.0, 250.0, 9000.0]),
        "cost": st.none() | st.sampled_from([0.25, 1.0]),
        "tokens_input": st.none() | st.integers(0, 1000),
        "segments": st.none() | st.dictionaries(st.just("d"), st.sampled_from(["x", "y"])),
        "sample_weight": st.sampled_from([None, 1.0, 10.0, 4.0, 0.5, 2.5]),
    }
)
BATCHES = st.lists(st.lists(EVENTS, min_size=1, max_size=8), min_size=1, max_size=4)


def weight(row: Row) -> float:
    return row["sample_weight"] or 1.0  # type: ignore[return-value]


def by_hand(rows: list[Row], dim: str) -> dict[str, float]:
    """Add up what rows stand for: once under no segment, once more under each of a segment."""
    mine = [row for row in rows if not dim or (row["segments"] or {}).get(dim)]
    return {
        "rows": len(mine),
        "requests": sum(map(weight, mine)),
        "errors": sum(weight(row) for row in mine if row["status"] == "error"),
        "attempts": sum(weight(row) * row["attempts"] for row in mine),
        "retried": sum(weight(row) for row in mine if row["attempts"] > 1),
        "latency_n": sum(weight(row) for row in mine if row["latency_ms"] is not None),
        "latency_sum_ms": sum(weight(row) * (row["latency_ms"] or 0) for row in mine),
        "cost": sum(weight(row) * (row["cost"] or 0) for row in mine),
        "cost_n": sum(weight(row) for row in mine if row["cost"] is not None),
        "tokens_input": sum(weight(row) * (row["tokens_input"] or 0) for row in mine),
    }


@PROPERTY
@given(BATCHES)
def test_weighted_sums_are_what_the_rows_stand_for(batches: list[list[Row]]) -> None:
    made = Made()
    rows = [row for batch in batches for row in batch]
    for batch in batches:
        made.load(*(event(**row) for row in batch))
    for dim in ("", "d"):
        expected = by_hand(rows, dim)
        found = made.reader.traffic(WEEK, dim=dim, weighted=True).select(pl.col(list(expected)).sum())
        assert found.row(0, named=True) == pytest.approx(expected)
        came = made.reader.traffic(WEEK, dim=dim)
        assert came["requests"].sum() == expected["rows"]
    slow = made.reader.latency(WEEK, service="shop")
    measured = [row for row in rows if row["latency_ms"] is not None]
    assert (slow["n"].sum(), slow["rows"].sum()) == (pytest.approx(sum(map(weight, measured))), len(measured))
    young = [row for row in rows if row["ts"] >= NOW - MINUTES_KEPT and weight(row) != 1]
    beside = made.value("SELECT coalesce(sum(requests), 0) FROM traffic_unsent_minute WHERE dim = ''")
    assert beside == pytest.approx(sum(weight(row) - 1 for row in young))


@PROPERTY
@given(BATCHES, st.sampled_from([None, 1.0]))
def test_without_sampling_there_is_nothing_beside_the_rows(batches: list[list[Row]], one: float | None) -> None:
    made, plain = Made(), Made()
    for batch in batches:
        made.load(*(event(**dict(row) | {"id": f"{row['ts']}", "sample_weight": one}) for row in batch))
        plain.load(*(event(**dict(row) | {"id": f"{row['ts']}", "sample_weight": None}) for row in batch))
    assert [made.value(f"SELECT count(*) FROM {table}") for table in UNSENT] == [0, 0, 0, 0]
    for weighted in (False, True):
        ours, theirs = (one.reader.traffic(WEEK, weighted=weighted) for one in (made, plain))
        assert ours.equals(theirs)
    both = made.reader.traffic(WEEK, weighted=True)
    assert both.drop("rows").equals(made.reader.traffic(WEEK))
    assert not made.reader.sampled(WEEK)


def sampled() -> Made:
    """Twenty rows that stand for ten each, of one person; twenty that stand for themselves, of another."""
    made = Made(now=NOW)
    for number in range(40):
        user, heavy = ("u-17", 10.0) if number < 20 else ("u-18", None)
        made.load(
            event(
                id=f"p{number}", ts=START, segments={"user": user}, sample_weight=heavy, latency_ms=100.0, cost=1.0,
                status="error" if number % 20 == 0 else "ok",
            )
        )  # fmt: skip
    return made


def test_compaction_adds_up_what_was_not_sent() -> None:
    made = sampled()
    before = made.reader.traffic(WEEK, dim="user", weighted=True)
    with made.facts.transaction() as connection:
        rollups.compact(connection, NOW)
    assert made.reader.traffic(WEEK, dim="user", weighted=True).equals(before)
    assert [made.value(f"SELECT count(*) FROM {table}") for table in UNSENT] == [2, 2, 1, 1]


def test_minutes_that_were_not_sent_go_with_the_others() -> None:
    made = Made(now=NOW)
    made.load(event(ts=NOW, sample_weight=3.0, latency_ms=1.0))
    with made.facts.transaction() as connection:
        rollups.compact(connection, NOW + 3 * DAY)
    assert [made.value(f"SELECT count(*) FROM {table}") for table in UNSENT] == [0, 1, 0, 1]


def test_what_is_counted_again_is_taken_back_by_its_weight() -> None:
    """A failure that leads to a second attempt is no request any more: nor are those that it stood for."""
    made = sampled()
    rows = made.rows("SELECT id, ts, service FROM predictions WHERE sample_weight = 10")
    changes = pl.DataFrame(rows, schema=["id", "ts", "service"], orient="row").with_columns(
        ts=pl.col("ts").cast(pl.Datetime("us")), operation=pl.lit("attempt")
    )
    with made.facts.transaction() as connection:
        amending.exchange(connection, changes, rollups.SegmentValues(), NOW)
    left = made.reader.traffic(WEEK, weighted=True)
    assert left.select(pl.col("requests", "errors", "cost", "latency_n", "rows").sum()).row(0) == (20, 1, 20, 20, 20)
    assert made.reader.latency(WEEK, service="shop")["n"].sum() == 20


def test_retention_and_erasure_know_what_was_not_sent(tmp_path: Path) -> None:
    made = sampled()
    erasure.erase(made.facts, SealedDays(tmp_path), [Subject("user", "u-17")])
    assert made.rows("SELECT DISTINCT value FROM traffic_unsent_hour WHERE dim = 'user'") == [(erasure.ERASED,)]
    retention.run(made.facts, SealedDays(tmp_path), Policy(Keep(rollups=5)), NOW + 30 * DAY)
    assert made.value("SELECT count(*) FROM traffic_unsent_hour") == 0
    assert made.value("SELECT count(*) FROM latency_unsent_hour") == 0


def test_a_copied_file_holds_what_was_not_sent(tmp_path: Path) -> None:
    made = Made(tmp_path / "facts.duckdb", now=NOW)
    made.load(*(event(id=f"p{n}", ts=START, sample_weight=10.0, cost=1.0) for n in range(5)))
    before = made.reader.traffic(WEEK, weighted=True)
    made.facts.copy_file(tmp_path / "copy.duckdb")
    made.facts.close()
    compaction.compact(tmp_path / "copy.duckdb")
    copy = Made(tmp_path / "copy.duckdb", now=NOW)
    assert copy.reader.traffic(WEEK, weighted=True).equals(before)
    assert before["requests"].sum() == 50
    copy.load(*(event(id=f"p{n}", ts=START, sample_weight=10.0, cost=1.0) for n in range(10)))
    assert copy.reader.traffic(WEEK, weighted=True)["requests"].sum() == 100, "what came twice weighs once"
    copy.facts.close()


def test_queries_tell_the_requests_and_the_rows() -> None:
    made = sampled()
    for name, step in (("overview", DAY), ("traffic", DAY), ("segments", DAY)):
        [row] = answer(made.reader, name, Ask(WEEK, "shop", "ranker", step=step)).to_dicts()
        assert (row["rows"], row["requests"], row["errors"], row["cost"]) == (40, 220, 11, 220), name
    few = answer(made.reader, "segments", Ask(WEEK, dim="user", protected=frozenset({"user"})))
    assert few["rows"].to_list() == [20, 20], "as many came of each"
    made.load(event(ts=START, segments={"user": "u-19"}, sample_weight=1000.0))
    few = answer(made.reader, "segments", Ask(WEEK, dim="user", protected=frozenset({"user"})))
    assert "u-19" not in few["value"].to_list(), "one row is one person, whatever it stands for"


def test_quantiles_are_of_what_the_rows_stand_for() -> None:
    made = Made(now=NOW)
    made.load(*(event(ts=START, latency_ms=1000.0, status="error", sample_weight=1.0) for _ in range(50)))
    made.load(*(event(ts=START, latency_ms=10.0, sample_weight=100.0) for _ in range(50)))
    [row] = answer(made.reader, "overview", Ask(WEEK)).to_dicts()
    assert math.isclose(row["latency_p95_ms"], 10.0, rel_tol=0.011)
    [row] = answer(made.reader, "traffic", Ask(WEEK, step=timedelta(days=1))).to_dicts()
    assert math.isclose(row["latency_p95_ms"], 10.0, rel_tol=0.011)
    assert row["latency_mean_ms"] == pytest.approx((50 * 1000 + 5000 * 10) / 5050)

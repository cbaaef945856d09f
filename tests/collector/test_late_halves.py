"""A half that comes after its other was told alone goes into that row: as if both had come in time, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from collector.sent import TS
from collector.test_cloudevents import ID, IRIS, WAIT_US, Bench, kserve

from watchkeeper.store.facts import references
from watchkeeper.store.facts.batch import Batch
from watchkeeper.store.facts.story import story

ANSWER = {"predictions": [1]}
SENT = {"request": (kserve("request"), IRIS), "response": (kserve("response", seconds=0.25), ANSWER)}
OTHER = {"request": "response", "response": "request"}
BOTH = pytest.mark.parametrize("first", ["request", "response"])
OUTCOME = {"prediction_id": ID, "service": "sklearn-iris", "value": "1", "value_number": 1.0}
START = datetime.fromtimestamp(TS, UTC)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def told_alone(bench: Bench, part: str, wait: timedelta = timedelta(0)) -> None:
    bench.send(*SENT[part])
    bench.load()
    bench.now_us += WAIT_US + 1
    assert bench.pump.tell_alone() == 1
    bench.now_us += round(wait.total_seconds() * 1e6)


def everything(bench: Bench) -> dict[str, object]:
    """All that is told and counted, but for when it came."""
    rows = bench.rows("SELECT * EXCLUDE (ts, received_at, extra, server_ts), extra::JSON::VARCHAR FROM predictions")
    told = story(bench.facts, ID)
    sums = "sum(total)::INT, sum(missing)::INT, sum(mismatched)::INT, min(min), max(max), sum(sum)"
    return {
        "rows": rows,
        "values": (told["features"], told["segments"], told["extra"]),
        "outcomes": bench.rows("SELECT value, correct FROM matched WHERE superseded_at IS NULL"),
        "pending": bench.rows("SELECT count(*) FROM pending_outcomes"),
        "traffic": bench.rows(
            """SELECT bucket, dim, value, sum(requests)::INT, sum(errors)::INT, sum(latency_n)::INT, sum(latency_sum_ms)
               FROM traffic_hour GROUP BY ALL HAVING sum(requests) <> 0 ORDER BY ALL"""
        ),
        "latency": bench.rows("SELECT log_bucket, sum(n)::INT FROM latency_hour GROUP BY ALL HAVING sum(n) <> 0"),
        "features": bench.rows(f"SELECT feature, {sums} FROM feature_hour GROUP BY feature ORDER BY feature"),
        "bins": bench.rows(
            """SELECT feature, bin, sum(n)::INT FROM histogram_hour JOIN epochs USING (epoch)
               GROUP BY ALL HAVING sum(n) <> 0 ORDER BY ALL"""
        ),
        "held": bench.rows("SELECT count(*) FROM held"),
        "rejects": bench.rows("SELECT count(*) FROM rejects"),
    }


def with_reference(bench: Bench) -> Bench:
    """Sixty earlier predictions that features, prediction and score are compared with."""
    for number in range(60):
        for part, (body, after) in {"request": (IRIS, -7200), "response": (ANSWER, -7199.75)}.items():
            bench.send(kserve(part, f"old-{number}", seconds=after - number), body)
    bench.load()
    now = START - timedelta(minutes=30)
    references.make(bench.facts, "sklearn-iris", "sklearn-iris", now - timedelta(days=1), now, now)
    bench.facts.generation += 1
    return bench


def outcome(bench: Bench) -> None:
    moment = (START + timedelta(hours=1)).replace(tzinfo=None)
    bench.loader.load(Batch(outcomes=pl.DataFrame([OUTCOME | {"known_at": moment, "received_at": moment}])))


@BOTH
@pytest.mark.parametrize("reference", [False, True])
def test_a_late_half_makes_the_row_and_the_counts_those_of_both(tmp_path: Path, first: str, reference: bool) -> None:
    found = []
    steps: tuple[Callable[[Bench], object], ...] = (
        lambda bench: told_alone(bench, first),
        lambda bench: bench.send(*SENT[first]),
    )
    for name, parts in (("late", steps), ("whole", steps[1:])):
        (tmp_path / name).mkdir()
        bench = Bench(tmp_path / name)
        if reference:
            with_reference(bench)
        for step in parts:
            step(bench)
        if name == "late":
            outcome(bench)
        bench.send(*SENT[OTHER[first]])
        bench.load()
        if name == "whole":
            outcome(bench)
        found.append(everything(bench))
        bench.close()
    assert found[0] == found[1]
    assert found[0]["values"][0] == {"f0": 6.8, "f1": 2.8, "f2": 4.8, "f3": 1.4}
    assert found[0]["outcomes"] == [("1", True)]
    assert bool(found[0]["bins"]) == reference
    assert found[0]["held"] == found[0]["rejects"] == [(0,)]


@BOTH
def test_it_goes_in_once_and_repeats_are_repeats(bench: Bench, first: str) -> None:
    told_alone(bench, first)
    bench.again()
    for part in (OTHER[first], OTHER[first], first):
        bench.send(*SENT[part])
    bench.load()
    for part in (first, OTHER[first]):
        bench.send(*SENT[part])
        bench.load()
    assert bench.rows("SELECT status, error_class, prediction, latency_ms FROM predictions") == [("ok", None, "1", 250)]
    alone = {"request": "no_response", "response": "no_request"}[first]
    assert bench.fates() == {alone: 1, "late": 1, "duplicate": 4}
    assert bench.pump.tell_alone() == 0


def test_a_response_finds_its_request_also_after_that_was_forgotten(bench: Bench) -> None:
    told_alone(bench, "request", timedelta(hours=20))
    bench.facts.read("SELECT 1")
    with bench.facts.transaction() as connection:
        connection.execute("DELETE FROM held")
    bench.again()
    bench.send(*SENT["response"])
    bench.load()
    assert bench.rows("SELECT status, prediction, latency_ms FROM predictions") == [("ok", "1", 250)]
    assert bench.fates() == {"no_response": 1, "late": 1}


def test_what_has_no_row_any_more_is_kept_as_a_reject(bench: Bench) -> None:
    told_alone(bench, "request")
    with bench.facts.transaction() as connection:
        connection.execute("DELETE FROM prediction_rows")
    bench.send(*SENT["response"])
    bench.load()
    [(kind, reason)] = bench.rows("SELECT kind, reason FROM rejects")
    assert kind == "predictions"
    assert reason.startswith("late: the other half")


def test_several_instances_of_a_late_half_go_to_their_rows(bench: Bench) -> None:
    bench.send(kserve("request"), {"instances": [[1, 2], [3, 4]]})
    bench.load()
    bench.now_us += WAIT_US + 1
    bench.pump.tell_alone()
    bench.send(kserve("response", seconds=0.25), {"predictions": [7, 8]})
    bench.load()
    assert bench.rows("SELECT id, prediction FROM predictions ORDER BY id") == [
        (f"{ID}-item-0", "7"),
        (f"{ID}-item-1", "8"),
    ]

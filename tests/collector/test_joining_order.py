"""Attempts and checks: the order in which they come, and how they are cut into requests, changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from collector.joined import Bench, Payload, guard, sibling, whole
from collector.sent import TS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FEW = settings(
    max_examples=15, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["failed", "ok", "guarded", "guarded twice"]),
        st.sampled_from([0.0, 0.5, 1.0, 2.0, 200.0]),
        st.sampled_from(["chat", "chat", "embeddings"]),
        st.sampled_from(["big", "small"]),
    ),
    min_size=1,
    max_size=6,
)
Row = dict[str, object]


def in_parts(bench: Bench, send: Callable[..., None], rows: Sequence[object], how: dict[int, str]) -> None:
    """Send rows in this order, cut where ``how`` says, and loaded or started again after it."""
    part: list[object] = []
    for place, one in enumerate(rows):
        part.append(one)
        if place in how:
            send(*part)
            part = []
            if how[place] != "sent":
                bench.load()
            if how[place] == "restarted":
                bench.again()
    if part:
        send(*part)
    bench.load()


CUTS = st.dictionaries(st.integers(0, 14), st.sampled_from(["sent", "loaded", "loaded", "restarted"]))


@FEW
@given(steps=STEPS, how=CUTS, again=st.booleans(), data=st.data())
def test_spans(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, float, str, str]],
    how: dict[int, str],
    again: bool,
    data: st.DataObject,
) -> None:
    spans: list[Row] = []
    at = 0.0
    for fate, pause, operation, model in steps:
        chat = sibling(at, model, failed=fate == "failed", operation=operation)
        spans += [chat, *(guard(chat, f"g{n}") for n in range({"guarded": 1, "guarded twice": 2}.get(fate, 0)))]
        at += pause + 0.001
    mixed: list[Row] = data.draw(st.permutations(spans))
    folder = tmp_path_factory.mktemp("cut")
    bench = Bench(folder)
    in_parts(bench, bench.send, [*mixed, *mixed] if again else mixed, how)
    told, counted = bench.told(), bench.counted()
    bench.close()
    assert (told, counted) == whole(folder / "whole", spans)


@settings(FEW, max_examples=6)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["failed", "failed", "ok"]),
            st.sampled_from([0.0, 1.0, 60.0, 110.0, 200.0]),
            st.sampled_from([1.0, 300.0]),
            st.sampled_from(["big", "small"]),
        ),
        min_size=2,
        max_size=5,
    ),
    waits=st.lists(st.sampled_from([0, 60, 700, 90_000]), min_size=5, max_size=5),
    restarted=st.sets(st.integers(0, 4), max_size=1),
    data=st.data(),
)
def test_spans_that_come_minutes_hours_or_a_day_late(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, float, float, str]],
    waits: list[int],
    restarted: set[int],
    data: st.DataObject,
) -> None:
    spans: list[Row] = []
    at = 0.0
    for fate, pause, seconds, model in steps:
        spans.append(sibling(at, model, failed=fate == "failed", seconds=seconds))
        at += seconds + pause + 0.001
    folder = tmp_path_factory.mktemp("late")
    bench = Bench(folder)
    bench.now_us += round(at * 1e6)  # nothing comes before it was
    late_as_whole(bench, folder, spans, data.draw(st.permutations(spans)), waits, restarted)


@settings(FEW, max_examples=10)
@given(
    asked=st.lists(
        st.tuples(
            st.sampled_from([1.0, 500.0, 3000.0]),
            st.lists(st.tuples(st.sampled_from([-30.0, 0.5, 540.0, 900.0, 2900.0]), st.booleans()), max_size=3),
        ),
        min_size=1,
        max_size=3,
    ),
    waits=st.lists(st.sampled_from([0, 60, 700, 90_000]), min_size=12, max_size=12),
    restarted=st.sets(st.integers(0, 11), max_size=1),
    again=st.booleans(),
    data=st.data(),
)
def test_checks_and_answers_that_come_minutes_hours_or_a_day_late(
    tmp_path_factory: pytest.TempPathFactory,
    asked: list[tuple[float, list[tuple[float, bool]]]],
    waits: list[int],
    restarted: set[int],
    again: bool,
    data: st.DataObject,
) -> None:
    spans: list[Row] = []
    for number, (seconds, checks) in enumerate(asked):
        chat = sibling(4000.0 * number, seconds=seconds)
        guards = (guard(chat, f"g{n}", failed=bad, after=after) for n, (after, bad) in enumerate(checks))
        spans += [chat, *guards]
    folder = tmp_path_factory.mktemp("late")
    bench = Bench(folder)
    bench.now_us += 12_000 * 10**6  # nothing comes before it was
    mixed: list[Row] = data.draw(st.permutations(spans))
    late_as_whole(bench, folder, spans, [*mixed, *mixed] if again else mixed, waits, restarted)


def late_as_whole(
    bench: Bench, folder: Path, spans: list[Row], order: Sequence[Row], waits: Sequence[int], restarted: set[int]
) -> None:
    """Send one by one, with waits and restarts; in the end all is as if it had come at once."""
    for place, one in enumerate(order):
        bench.now_us += waits[place % len(waits)] * 10**6
        bench.send(one)
        bench.load()
        if place in restarted:
            bench.again()
    told, counted = bench.told(), bench.counted()
    bench.close()
    rows, counts = whole(folder / "whole", spans)
    assert (told, of_hours(counted)) == (rows, of_hours(counts))


def of_hours(counted: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Leave out the minutes: what comes a day late has none."""
    return [row for row in counted if row[0] != "minutes"]


def payload(number: int, start: float, *, failed: bool, model: str = "big", trace: str = "t1") -> Payload:
    error = {"status": "failure", "error_information": {"error_class": "RateLimitError", "error_code": "429"}}
    return {
        "id": f"r{number}", "trace_id": trace, "call_type": "completion", "model_group": model, "status": "success",
        "startTime": TS + start, "endTime": TS + start + 1,
    } | (error if failed else {})  # fmt: skip


@FEW
@given(
    fates=st.lists(
        st.tuples(st.booleans(), st.sampled_from(["big", "small"]), st.sampled_from(["t1", "t2"])), max_size=6
    ),
    how=CUTS,
    data=st.data(),
)
def test_payloads_of_litellm(
    tmp_path_factory: pytest.TempPathFactory,
    fates: list[tuple[bool, str, str]],
    how: dict[int, str],
    data: st.DataObject,
) -> None:
    rows = [
        payload(number, 2.0 * number, failed=failed, model=model, trace=trace)
        for number, (failed, model, trace) in enumerate(fates)
    ]
    found = []
    for name, sent, cuts in (("cut", data.draw(st.permutations(rows)), how), ("whole", rows, {})):
        bench = Bench(tmp_path_factory.mktemp(name))
        in_parts(bench, bench.send_litellm, sent, cuts)
        found.append((bench.told(), bench.counted()))
        bench.close()
    assert found[0] == found[1]


def test_runs_longer_than_what_is_read_at_once_are_read_further(tmp_path: Path) -> None:
    """Twenty attempts of five minutes; the one in the middle comes last, a day late."""
    spans = [sibling(301.0 * n, failed=n < 19, seconds=300) for n in range(20)]
    (tmp_path / "apart").mkdir()
    bench = Bench(tmp_path / "apart")
    for one in (*spans[:10], *spans[11:], spans[10]):
        bench.now_us += 3600 * 10**6
        bench.send(one)
        bench.load()
    told, counted = bench.told(), bench.counted()
    bench.close()
    assert max(row[2] for row in told) == 20
    rows, counts = whole(tmp_path / "whole", spans)
    assert (told, of_hours(counted)) == (rows, of_hours(counts))


def test_a_check_is_one_of_its_answer_as_soon_as_both_are_there_however_late(bench: Bench) -> None:
    """It is a row of its own meanwhile; an hour lies between the two, and a day."""
    first, second = sibling(0), sibling(1, seconds=3600)
    for check in (guard(first), guard(second, after=3500)):
        bench.send(check)
        bench.load()
    assert [row[1] for row in bench.told()] == ["guardrail", "guardrail"]
    for wait, answer in ((3600, first), (90_000, second)):
        bench.now_us += wait * 10**6
        bench.send(answer)
        bench.load()
    checks = dict(bench.rows("SELECT id, len(checks) FROM predictions WHERE operation = 'chat'"))
    assert list(checks.values()) == [1, 1]
    assert bench.rows("SELECT sum(requests)::INT, sum(check_failures)::INT FROM traffic_hour WHERE dim = ''") == [
        (2, 2)
    ]
    assert bench.rows("SELECT count(*) FROM held") == [(0,)]
    bench.close()


@pytest.mark.parametrize("order", [1, -1])
def test_of_more_checks_than_are_kept_those_that_failed_are(bench: Bench, order: int) -> None:
    chat = sibling(0)
    spans = [chat, *(guard(chat, f"g{n:02}", failed=n >= 58) for n in range(60))][::order]
    for part in (spans[:30], spans[30:45], spans[45:]):
        bench.send(*part)
        bench.load()
    [(checks,)] = bench.rows(
        "SELECT list_transform(checks, lambda c: c.name) FROM predictions WHERE operation = 'chat'"
    )
    assert checks == ["g58", "g59", *(f"g{n:02}" for n in range(48))]
    assert bench.rows("SELECT sum(check_failures)::INT FROM traffic_hour WHERE dim = ''") == [(1,)]
    bench.close()


def test_what_began_long_after_its_answer_ended_is_no_check_of_it(bench: Bench) -> None:
    chat, tool = sibling(0), sibling(1, seconds=700)
    bench.send(chat, tool)
    bench.load()
    bench.send(guard(chat, after=601), guard(tool, after=759), guard(tool, "late", after=761))
    bench.load()
    found = "list_transform(checks, lambda c: c.name)"
    assert bench.rows(f"SELECT {found} FROM predictions WHERE operation = 'chat' ORDER BY ts") == [(None,), (["pii"],)]
    bench.close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_a_failure_of_litellm_that_comes_in_any_order_is_an_attempt(bench: Bench, order: tuple[int, ...]) -> None:
    rows = [payload(0, 0, failed=True), payload(1, 2, failed=True), payload(2, 4, failed=False, model="small")]
    for place in order:
        bench.send_litellm(rows[place])
        bench.load()
    assert [row[:5] for row in bench.told()] == [
        ("r0", "attempt", 1, None, None),
        ("r1", "attempt", 1, None, None),
        ("r2", "chat", 3, "big", "rate_limited"),
    ]
    assert bench.rows("SELECT sum(requests)::INT, sum(errors)::INT, sum(fallbacks)::INT FROM traffic_hour") == [
        (1, 0, 1)
    ]
    bench.close()


def test_a_success_that_comes_between_takes_the_failures_over(bench: Bench) -> None:
    """What was joined wrongly, for something was still to come, is put right."""
    failed, first, second = sibling(0, failed=True), sibling(2), sibling(4)
    for one in (failed, second):
        bench.send(one)
        bench.load()
    assert [row[1:3] for row in bench.told()] == [("attempt", 1), ("chat", 2)]
    bench.send(first)
    bench.load()
    assert {row[0][-16:]: row[1:3] for row in bench.told()} == {
        failed["spanId"]: ("attempt", 1), first["spanId"]: ("chat", 2), second["spanId"]: ("chat", 1)
    }  # fmt: skip
    assert bench.rows("SELECT sum(requests)::INT, sum(retried)::INT FROM traffic_hour WHERE dim = ''") == [(2, 1)]
    bench.close()


def test_a_root_of_the_same_trace_is_no_attempt(bench: Bench) -> None:
    bench.send(sibling(0, failed=True, parentSpanId=""), sibling(2, parentSpanId=""))
    bench.load()
    assert [row[1:3] for row in bench.told()] == [("chat", 1), ("chat", 1)]
    bench.close()

"""Attempts and checks that come in different requests than what they belong to: as if all had come in one, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from collector.reopening import Reopening
from collector.sent import TS, kept
from collector.spans import DECODER, span, traces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchkeeper.collector.decoding import Sent
from watchkeeper.collector.inbox import Incoming
from watchkeeper.schemas.errors import StoreUnavailable

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "big", "team": "a"}
PARENT = {"parentSpanId": "00f067aa0ba902b7"}
Spans = Sequence[dict[str, object]]


class Bench(Reopening):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, TS + 60)

    def send(self, *spans: dict[str, object], service: str = "shop") -> None:
        taken = DECODER.check(Sent("otlp_traces", "json", traces(*spans, resource={"service.name": service}), 1000))
        kept(self.inbox.append(Incoming("otlp_traces", "json", self.now_us, taken.body, taken.rows, (), b"")))

    def told(self) -> list[tuple[object, ...]]:
        return self.rows(
            """SELECT id, operation, attempts, fallback_from, fallback_reason, status,
                      list_sort(list_transform(checks, lambda c: c.name || c.passed))
               FROM predictions ORDER BY id"""
        )

    def counted(self) -> list[tuple[object, ...]]:
        """Every count, by its key; what was taken back wholly is nothing."""
        traffic = self.rows(
            """SELECT 'traffic', dim, value, sum(requests)::INT, sum(errors)::INT, sum(check_failures)::INT,
                      sum(blocked)::INT, sum(attempts)::INT, sum(retried)::INT, sum(fallbacks)::INT,
                      sum(latency_n)::INT, sum(latency_sum_ms)::INT
               FROM traffic_hour GROUP BY ALL HAVING sum(requests) <> 0 ORDER BY ALL"""
        )
        minutes = self.rows("SELECT 'minutes', sum(requests)::INT, sum(check_failures)::INT FROM traffic_minute")
        latency = self.rows(
            "SELECT log_bucket, sum(n)::INT FROM latency_hour GROUP BY ALL HAVING sum(n) <> 0 ORDER BY ALL"
        )
        return [*traffic, *minutes, *latency]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def sibling(start: float, model: str = "big", **parts: object) -> dict[str, object]:
    return span(CHAT | {"gen_ai.request.model": model}, start=TS + start, **PARENT, **parts)


def guard(of: dict[str, object], name: str = "pii", *, failed: bool = True) -> dict[str, object]:
    return span(
        {"openinference.span.kind": "GUARDRAIL"}, name=name, failed=failed, start=TS + 0.5, seconds=0.1,
        parentSpanId=of["spanId"],
    )  # fmt: skip


def whole(folder: Path, spans: Spans) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """What comes of all spans in one request."""
    folder.mkdir()
    bench = Bench(folder)
    bench.send(*spans)
    bench.load()
    found = bench.told(), bench.counted()
    bench.close()
    return found


def chat_of(bench: Bench, sent: dict[str, object], columns: str) -> tuple[object, ...]:
    [row] = bench.rows(f"SELECT {columns} FROM predictions WHERE id LIKE '%{sent['spanId']}'")
    return row


HOW = pytest.mark.parametrize("how", ["in one chunk", "loaded one by one", "restarted between"])


def step(bench: Bench, how: str) -> None:
    if how != "in one chunk":
        bench.load()
    if how == "restarted between":
        bench.again()


@HOW
def test_a_retry_in_a_later_request_is_the_last_attempt(tmp_path: Path, how: str) -> None:
    spans = [sibling(0, failed=True), sibling(2, failed=True), sibling(4, "small")]
    (tmp_path / "apart").mkdir()
    bench = Bench(tmp_path / "apart")
    for one in (*spans, *spans):
        bench.send(one)
        step(bench, how)
    bench.load()
    assert (bench.told(), bench.counted()) == whole(tmp_path / "whole", spans)
    assert chat_of(bench, spans[2], "attempts, fallback_from") == (3, "big")
    assert [row[1] for row in bench.told()] == ["attempt", "attempt", "chat"]
    assert bench.rows("SELECT sum(requests)::INT, sum(errors)::INT FROM traffic_hour WHERE dim = ''") == [(1, 0)]
    bench.close()


@HOW
@pytest.mark.parametrize("first", ["check", "answer"])
def test_a_check_in_another_request_is_one_of_its_answer(tmp_path: Path, how: str, first: str) -> None:
    chat = span(CHAT)
    checks = [guard(chat), guard(chat, "tone", failed=False)]
    (tmp_path / "apart").mkdir()
    bench = Bench(tmp_path / "apart")
    for one in [*checks, chat, *checks, chat] if first == "check" else [chat, *checks, chat, *checks]:
        bench.send(one)
        step(bench, how)
    bench.load()
    told, counted = whole(tmp_path / "whole", [chat, *checks])
    assert (bench.told(), bench.counted()) == (told, counted)
    assert chat_of(bench, chat, "len(checks)") == (2,)
    sums = "sum(check_failures)::INT, sum(blocked)::INT, sum(requests)::INT"
    assert bench.rows(f"SELECT {sums} FROM traffic_hour WHERE dim = 'team'") == [(1, 1, 1)]
    bench.close()


def test_a_failure_that_is_sent_again_is_no_attempt_of_the_next_request(bench: Bench) -> None:
    failed, answered, another = sibling(0, failed=True), sibling(2), sibling(4)
    for one in (failed, answered, failed, another):
        bench.send(one)
        bench.load()
    assert [row[1:3] for row in bench.told()] == [("attempt", 1), ("chat", 2), ("chat", 1)]


def test_text_and_other_columns_of_an_amended_row_stay(bench: Bench) -> None:
    chat = span(CHAT | {"gen_ai.response.id": "r1", "gen_ai.usage.input_tokens": 7})
    bench.send(chat)
    bench.load()
    before = chat_of(bench, chat, "* EXCLUDE (checks, extra), extra::JSON::VARCHAR")
    bench.send(guard(chat))
    bench.load()
    assert chat_of(bench, chat, "* EXCLUDE (checks, extra), extra::JSON::VARCHAR") == before


def test_another_service_amends_nothing(bench: Bench) -> None:
    chat, failed = span(CHAT), sibling(0, failed=True)
    bench.send(chat, failed)
    bench.load()
    bench.send(guard(chat), sibling(2), service="bank")
    bench.load()
    assert chat_of(bench, chat, "checks") == (None,)
    assert chat_of(bench, failed, "operation") == ("chat",)
    assert bench.rows("SELECT max(attempts) FROM predictions") == [(1,)]


def test_long_after_they_are_two_requests_and_nothing_waits_for_ever(bench: Bench) -> None:
    failed = sibling(0, failed=True)
    bench.send(failed)
    bench.load()
    bench.send(sibling(500))
    bench.load()
    assert [row[1:3] for row in bench.told()] == [("chat", 1), ("chat", 1)]
    assert bench.rows("SELECT part FROM held") == [("attempt",)]
    bench.now_us += 11 * 60 * 10**6
    bench.send(sibling(700, failed=True) | {"parentSpanId": "00f067aa0ba902b8"})
    bench.load()
    assert len(bench.rows("SELECT part FROM held")) == 1
    assert sum(map(len, bench.pump._links._ends.values())) == 1
    assert bench.pump.tell_alone() == 0, "an end is no half"


def test_a_load_that_was_not_committed_amends_once(bench: Bench) -> None:
    chat = span(CHAT)
    bench.send(chat)
    bench.load()
    real = bench.loader.load

    def torn(batch: object) -> object:
        bench.loader.load = real
        raise StoreUnavailable("killed")

    bench.loader.load = torn
    bench.send(guard(chat))
    with pytest.raises(StoreUnavailable):
        bench.load()
    bench.load()
    assert chat_of(bench, chat, "len(checks)") == (1,)
    assert bench.rows("SELECT count(*) FROM held") == [(1,)]


@settings(
    max_examples=15, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    fates=st.lists(st.sampled_from(["failed", "ok", "guarded", "guarded twice"]), min_size=1, max_size=5),
    cuts=st.sets(st.integers(0, 12)),
    loads=st.sets(st.integers(0, 12)),
    turn=st.booleans(),
)
def test_however_spans_are_cut_into_requests_the_same_comes_of_them(
    tmp_path_factory: pytest.TempPathFactory, fates: list[str], cuts: set[int], loads: set[int], turn: bool
) -> None:
    """In the order in which they ended; checks before or after their answer."""
    spans: list[dict[str, object]] = []
    for number, fate in enumerate(fates):
        chat = sibling(2 * number, failed=fate == "failed")
        checks = [guard(chat, f"g{n}") for n in range({"guarded": 1, "guarded twice": 2}.get(fate, 0))]
        spans += [*checks, chat] if turn else [chat, *checks]
    folder = tmp_path_factory.mktemp("cut")
    bench = Bench(folder)
    part: list[dict[str, object]] = []
    for place, one in enumerate(spans):
        part.append(one)
        if place in cuts:
            bench.send(*part)
            part = []
            if place in loads:
                bench.load()
    bench.send(*part)
    bench.load()
    told, counted = bench.told(), bench.counted()
    bench.close()
    assert (told, counted) == whole(folder / "whole", spans)

"""Attempts and checks that come in different requests than what they belong to: as if all had come in one, once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from collector.joined import CHAT, Bench, guard, sibling, whole
from collector.spans import span

from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.facts.batch import Batch


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


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
    assert len(bench.pump._families) == 1
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
    assert bench.rows("SELECT count(*) FROM held") == [(0,)], "nothing waits"


def test_a_row_is_amended_also_after_outcomes_came(bench: Bench) -> None:
    """Both once used a table of the same name, and the batch became a reject."""
    chat = span(CHAT)
    bench.send(chat)
    bench.load()
    [(name,)] = bench.rows("SELECT id FROM predictions")
    moment = datetime.fromtimestamp(bench.now_us / 1e6, UTC).replace(tzinfo=None)
    outcome = {"prediction_id": name, "service": "shop", "value": "1", "known_at": moment, "received_at": moment}
    bench.loader.load(Batch(outcomes=pl.DataFrame([outcome])))
    bench.send(guard(chat))
    bench.load()
    assert bench.rows("SELECT count(*) FROM rejects") == [(0,)]
    assert chat_of(bench, chat, "len(checks)") == (1,)

"""From the inbox into the facts: everything once, in any mixture, and nothing blocks what stands behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from collector.sent import TS, incoming, kept, opened, prediction
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.collector.decoders.events import EventDecoder
from watchkeeper.collector.decoders.gpu_samples import KIND as GPU_SAMPLES
from watchkeeper.collector.extent import MAX_DEPTH
from watchkeeper.collector.inbox import Incoming
from watchkeeper.collector.loader import InboxLoader
from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.facts.batch import Batch, LoadReport
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.load import Loader
from watchkeeper.store.facts.story import story

NOW = datetime.fromtimestamp(TS + 60, UTC)


class Faulty(Loader):
    """The real loader, but for what goes wrong before it: ``fault`` may raise."""

    fault: Callable[[Batch], None] | None = None

    def load(self, batch: Batch) -> LoadReport:
        if self.fault is not None:
            self.fault(batch)
        return super().load(batch)


class Bench:
    """One inbox, one store, one loader between them."""

    def __init__(self, folder: Path, max_rows: int = 1000) -> None:
        self.inbox = opened(folder)
        self.facts = FactStore(folder / "facts.duckdb")
        self.loader = Faulty(self.facts, lambda: NOW)
        self.newest: list[datetime] = []
        self.pump = InboxLoader(self.inbox, self.loader, max_rows=max_rows, max_age=0.0, loaded=self.newest.append)

    def send(self, *rows: bytes, kind: str = "predictions", **parts: object) -> None:
        kept(self.inbox.append(incoming(*rows, kind=kind, **parts)))

    def load(self) -> int:
        return self.pump.load_pending()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return self.facts.read(sql).rows()

    def ids(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT id FROM predictions ORDER BY id")]

    def close(self) -> None:
        self.inbox.close()
        self.facts.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_every_field_of_a_prediction_arrives(bench: Bench) -> None:
    sent = {
        "id": "p",
        "service": "shop",
        "ts": "2026-01-05T08:00:00Z",
        "model": "m",
        "model_version": "7",
        "system": "sys",
        "provider": "lab",
        "prompt": "ask",
        "prompt_version": "3",
        "config_version": "c",
        "environment": "prod",
        "site": "hall 2",
        "prediction": "cat",
        "score": 0.5,
        "confidence": 0.75,
        "confidence_threshold": 0.25,
        "latency_ms": 12.5,
        "ttft_ms": 3.0,
        "status": "error",
        "error_class": "timeout",
        "cost": 0.25,
        "currency": "EUR",
        "attempts": 3,
        "workflow": "w",
        "step": "s",
        "tool": "t",
        "agent": "a",
        "operation": "chat",
        "trace_id": "tr",
        "parent_id": "pa",
        "conversation": "co",
        "finish_reason": "stop",
        "service_tier": "flex",
        "sample_weight": 2.5,
        "reason_codes": ["a", "b"],
    }
    nested = {
        "tokens": {"input": 1, "cache_read": 2, "cache_write": 3, "output": 4, "reasoning": 5},
        "fallback": {"from": "big", "reason": "slow"},
        "needed_by": TS * 1000,
        "used_at": TS * 1_000_000,
        "checks": [{"name": "n", "kind": "schema", "passed": False, "blocked": True, "score": 0.5}],
        "features": {"x": 1, "c": "y"},
        "segments": {"d": "v"},
        "extra": {"k": [1]},
    }
    bench.send(json.dumps(sent | nested).encode())
    bench.load()
    told = story(bench.facts, "p")
    made = told["prediction"]
    moment = datetime.fromtimestamp(TS, UTC).replace(tzinfo=None)
    assert {name: made[name] for name in sent if name != "ts"} == {n: v for n, v in sent.items() if n != "ts"}
    assert (made["ts"], made["needed_by"], made["used_at"]) == (moment, moment, moment)
    assert [made[f"tokens_{name}"] for name in nested["tokens"]] == [1, 2, 3, 4, 5]
    assert (made["fallback_from"], made["fallback_reason"]) == ("big", "slow")
    assert made["checks"] == nested["checks"]
    assert (told["features"], told["segments"], told["extra"]) == ({"x": 1.0, "c": "y"}, {"d": "v"}, {"k": [1]})
    assert (made["server_ts"], made["clock_skew"]) == (False, False)


def test_without_a_time_the_arrival_stands_for_it(bench: Bench) -> None:
    bench.send(b'{"id":"a","service":"shop"}', prediction(id="b", ts=None), prediction(id="c"))
    bench.load()
    assert bench.rows("SELECT id, ts = received_at, server_ts FROM predictions ORDER BY id") == [
        ("a", True, True),
        ("b", True, True),
        ("c", False, False),
    ]


def test_a_clock_that_runs_ahead_is_flagged_and_kept(bench: Bench) -> None:
    bench.send(prediction(id="ahead", ts=7e9), prediction(id="behind"))
    bench.load()
    assert bench.rows("SELECT id, clock_skew FROM predictions ORDER BY id") == [("ahead", True), ("behind", False)]


def test_unknown_fields_are_kept_each_with_its_own_event(bench: Bench) -> None:
    bench.send(prediction(id="a"), prediction(id="b", color="red", extra={"own": 1}), prediction(id="c", big=[1e300]))
    bench.send(prediction(id="d", tenant={"x": None}))
    bench.load()
    assert [story(bench.facts, name)["extra"] for name in "abcd"] == [
        None,
        {"own": 1, "color": "red"},
        {"big": [1e300]},
        {"tenant": {"x": None}},
    ]


def test_an_array_keeps_them_too(bench: Bench) -> None:
    body = b"[" + prediction(id="a", color="red") + b"," + prediction(id="b") + b"]"
    decoded = EventDecoder("predictions").decode(body, "json", 10)
    kept(bench.inbox.append(Incoming("predictions", "json", TS * 10**6, decoded.body, 2, (), b"{}")))
    bench.load()
    assert [story(bench.facts, name)["extra"] for name in "ab"] == [{"color": "red"}, None]


DEEP = "[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2)
CURIOUS = {
    "1e400 in a feature": ('"features":{"x":1e400,"y":2}', {"x": None, "y": 2.0}),
    "-1e400 in a feature": ('"features":{"x":-1e400,"y":2}', {"x": None, "y": 2.0}),
    "a feature of 5000 digits": ('"features":{"x":' + "9" * 5000 + ',"y":2}', {"x": None, "y": 2.0}),
    "a feature of 400 digits": ('"features":{"x":' + "9" * 400 + ',"y":2}', {"x": None, "y": 2.0}),
    "NUL in a feature's name": ('"features":{"a\\u0000b":1}', {"a\0b": 1.0}),
    "NUL in a feature's value": ('"features":{"x":"a\\u0000b"}', {"x": "a\0b"}),
    "a feature without a name": ('"features":{"":1}', {"": 1.0}),
    "a deep feature": ('"features":{"x":' + DEEP + "}", {}),
    "no features": ('"features":null', {}),
    "a prediction of 400 digits": ('"prediction":' + "9" * 400, {}),
    "a deep unknown field": ('"zz":' + DEEP, {}),
    "1e400 in an unknown field": ('"zz":{"q":[1e400]}', {}),
    "1e400 in extra": ('"extra":{"q":1e400}', {}),
    "NUL in extra": ('"extra":{"q\\u0000":"\\u0000"}', {}),
    "a segment of 400 digits": ('"segments":{"d":' + "9" * 400 + "}", {}),
    "NUL in a segment": ('"segments":{"d\\u0000":"\\u0000"}', {}),
    "a model with NUL": ('"model":"m\\u0000"', {}),
    "a key twice": ('"features":{"x":1,"x":2}', {"x": 2.0}),
    "an escaped pair": ('"features":{"x":"\\ud83d\\ude00"}', {"x": "😀"}),
}


@pytest.mark.parametrize(("text", "features"), CURIOUS.values(), ids=CURIOUS)
def test_what_was_accepted_is_stored_and_so_are_its_neighbours(
    bench: Bench, text: str, features: dict[str, object]
) -> None:
    """One curious event must not turn a batch of thousands into a reject."""
    bench.send(prediction(id="before"), b'{"id":"it","service":"shop",' + text.encode() + b"}", prediction(id="behind"))
    bench.load()
    assert bench.ids() == ["before", "behind", "it"]
    assert bench.rows("SELECT reason FROM rejects") == []
    assert story(bench.facts, "it")["features"] == features


def test_a_number_too_great_for_a_float_is_counted_as_infinite(bench: Bench) -> None:
    bench.send(*(b'{"id":"%d","service":"s","features":{"x":%s}}' % (n, x) for n, x in enumerate([b"1", b"1e400"])))
    bench.load()
    assert bench.rows("SELECT sum(total)::INT, sum(infinite)::INT, sum(missing)::INT FROM feature_hour") == [(2, 1, 0)]


def test_kinds_may_come_in_any_order_and_find_each_other(bench: Bench) -> None:
    bench.send(json.dumps({"prediction_id": "a", "value": True, "known_at": TS}).encode(), kind="outcomes")
    bench.send(json.dumps({"prediction_id": "a", "decision": "approved"}).encode(), kind="reviews")
    bench.send(json.dumps({"kind": "deploy", "title": "1", "service": "shop", "ts": TS - 60}).encode(), kind="changes")
    bench.send(prediction(id="a", prediction=True), prediction(id="b", prediction=True))
    bench.send(json.dumps({"prediction_id": "b", "value": False}).encode(), kind="outcomes")
    assert bench.load() == 5
    assert bench.rows("SELECT prediction_id, correct FROM matched ORDER BY 1") == [("a", True), ("b", False)]
    told = story(bench.facts, "a")
    assert [row["decision"] for row in told["reviews"]] == ["approved"]
    assert [row["title"] for row in told["changes_before"]] == ["1"]


def test_the_whole_backlog_is_loaded_in_bounded_chunks(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_rows=10)
    sizes: list[int] = []
    bench.loader.fault = lambda batch: sizes.append(batch.predictions.frame.height)
    for _ in range(7):
        bench.send(*(prediction() for _ in range(4)))
    assert bench.load() == 7
    assert sizes == [12, 12, 4], "whole requests, until there are ten rows"
    assert len(bench.ids()) == 28
    assert bench.inbox.after(0, 10) == []
    bench.close()


def test_rejects_are_told_with_batch_row_and_reason(bench: Bench) -> None:
    bench.send(prediction(), b'{"service":"shop"}', b"bad\xff", key="predictions/k")
    bench.load()
    assert bench.rows("SELECT kind, batch, row_index, field, service, raw FROM rejects ORDER BY row_index") == [
        ("predictions", "predictions/k", 1, "id", "shop", b'{"service":"shop"}'),
        ("predictions", "predictions/k", 2, "", None, b"bad\xff"),
    ]


def test_a_batch_that_cannot_be_stored_is_one_reject_and_blocks_nobody(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it is about it: here the store itself refuses every chunk with that event in it."""

    def fault(batch: Batch) -> None:
        if batch.predictions is not None and "poison" in batch.predictions.frame["id"]:
            raise pl.exceptions.ComputeError("not today")

    bench.loader.fault = fault
    bench.send(prediction(id="a"))
    bench.send(prediction(id="b"), prediction(id="poison"), b"bad")
    bench.send(prediction(id="c"))
    assert bench.load() == 3
    assert bench.ids() == ["a", "c"]
    [(reason, raw, index), one] = bench.rows(
        "SELECT reason, raw, row_index FROM rejects ORDER BY row_index NULLS FIRST"
    )
    assert (reason, index) == ("cannot be stored: ComputeError: not today", None)
    assert one[1:] == (b"bad", 2), "what was rejected at the door is one too"
    assert raw.count(b"\n") == 1, "the whole batch is kept, so that it can be sent again"
    assert bench.loader.watermark() == 3
    assert "one batch cannot be stored" in caplog.text
    assert bench.inbox.after(0, 10) == []


def test_a_panic_in_a_library_costs_no_more(bench: Bench) -> None:
    """polars' panics are no Exceptions; the real one of a NUL in a column name."""

    def fault(batch: Batch) -> None:
        if batch.predictions is not None and "poison" in batch.predictions.frame["id"]:
            pl.DataFrame({"a\0": [1]}).to_arrow()

    bench.loader.fault = fault
    bench.send(prediction(id="poison"))
    bench.send(prediction(id="a"))
    bench.load()
    assert bench.ids() == ["a"]
    assert bench.rows("SELECT count(*) FROM rejects") == [(1,)]


def test_a_batch_of_bytes_that_are_no_events_is_a_reject_too(bench: Bench) -> None:
    """As a damaged inbox would give them."""
    kept(bench.inbox.append(Incoming("predictions", "ndjson", TS * 10**6, b"{]\xff", 1, (), b"{}")))
    bench.send(prediction(id="a"))
    bench.load()
    assert bench.ids() == ["a"]
    assert bench.rows("SELECT raw FROM rejects") == [(b"{]\xff",)]


def test_a_store_that_is_away_is_tried_again_and_rejects_nothing(bench: Bench) -> None:
    def fault(batch: Batch) -> None:
        raise StoreUnavailable("the disk is full")

    bench.loader.fault = fault
    bench.send(prediction(id="a"))
    bench.send(prediction(id="b"))
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            bench.load()
    assert len(bench.inbox.after(0, 10)) == 2
    bench.loader.fault = None
    assert bench.load() == 2
    assert bench.ids() == ["a", "b"]
    assert bench.rows("SELECT count(*) FROM rejects") == [(0,)]


def test_what_was_stored_by_a_commit_that_said_it_failed_is_not_stored_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = bench.loader.load

    def stored_all_the_same(batch: Batch) -> None:
        load(batch)
        bench.facts.generation += 1  # as the transaction does
        raise StoreUnavailable("the disk was full in the middle of a checkpoint")

    kept(bench.inbox.append(Incoming("predictions", "ndjson", TS * 10**6, b"{]\xff", 1, (), b"{}")))
    bench.send(prediction(id="a"))
    with monkeypatch.context() as patch:
        patch.setattr(bench.loader, "load", stored_all_the_same)
        with pytest.raises(StoreUnavailable):
            bench.load()
    bench.send(prediction(id="b"))
    bench.load()
    assert bench.ids() == ["a", "b"]
    assert bench.rows("SELECT count(*) FROM rejects") == [(1,)]
    assert bench.inbox.after(0, 10) == []


def test_the_thread_outlives_a_store_that_is_away(bench: Bench) -> None:
    fails = threading.Event()
    loaded = threading.Event()

    def fault(batch: Batch) -> None:
        if not fails.is_set():
            fails.set()
            raise StoreUnavailable("the disk is full")

    bench.loader.fault = fault
    bench.pump._loaded = lambda _: loaded.set()
    bench.pump.start()
    bench.send(prediction(id="a"))
    assert loaded.wait(30)
    assert bench.pump.alive
    bench.pump.stop()
    assert not bench.pump.alive
    assert (fails.is_set(), bench.ids()) == (True, ["a"])


def test_stopping_loads_what_is_there(bench: Bench) -> None:
    bench.pump.start()
    for n in range(20):
        bench.send(prediction(id=f"p{n:02}"))
    bench.pump.stop()
    bench.load()
    assert len(bench.ids()) == 20


def test_after_a_restart_it_goes_on_where_it_was(tmp_path: Path) -> None:
    """The inbox still holds what was loaded, as after a crash between the load and the trimming."""
    bench = Bench(tmp_path)
    bench.inbox.trim = lambda seq: None
    bench.send(prediction(id="a"))
    bench.send(prediction(id="b"))
    bench.load()
    bench.send(prediction(id="c"))
    assert len(bench.inbox.after(0, 10)) == 3
    bench.close()
    again = Bench(tmp_path)
    seen: list[int | None] = []
    again.loader.fault = lambda batch: seen.append(batch.watermark)
    assert again.load() == 1
    assert seen == [3]
    assert again.ids() == ["a", "b", "c"]
    assert again.rows("SELECT sum(duplicates)::INT FROM ingest") == [(0,)]
    again.close()


def test_a_load_that_was_not_committed_is_done_again_and_counts_once(bench: Bench) -> None:
    torn = SimpleNamespace(done=False)

    def fault(batch: Batch) -> None:
        if not torn.done:
            torn.done = True
            with suppress(ZeroDivisionError), bench.facts.transaction() as connection:
                connection.execute("INSERT INTO prediction_rows (id) VALUES ('a')")
                raise ZeroDivisionError
            raise StoreUnavailable("killed in the middle")

    bench.loader.fault = fault
    bench.send(prediction(id="a", features={"x": 1}))
    with pytest.raises(StoreUnavailable):
        bench.load()
    bench.load()
    assert bench.rows("SELECT count(*), sum(requests)::INT FROM predictions, traffic_hour") == [(1, 1)]


def test_it_says_how_new_the_newest_is(bench: Bench) -> None:
    bench.send(prediction(ts=TS), prediction(ts=TS - 60))
    bench.load()
    bench.send(json.dumps({"prediction_id": "a", "value": 1, "known_at": TS + 30}).encode(), kind="outcomes")
    bench.load()
    sample = json.dumps({"ts": TS + 15, "uuid": "GPU-1", "utilization": 0.5}).encode()
    kept(bench.inbox.append(Incoming(GPU_SAMPLES, "ndjson", TS * 10**6, sample, 1, (), b"")))
    bench.load()
    assert bench.newest == [datetime.fromtimestamp(TS + n, UTC) for n in (0, 15)]
    assert bench.rows("SELECT uuid, utilization FROM gpu_samples") == [("GPU-1", 0.5)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
OBJECTS = st.none() | st.dictionaries(st.text(max_size=3), JSON, max_size=3)
SEGMENTS = st.dictionaries(
    st.text(min_size=1, max_size=3), st.none() | st.booleans() | st.integers() | st.text(max_size=3), max_size=3
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "features": OBJECTS,
        "extra": OBJECTS,
        "segments": SEGMENTS,
        "unknown": JSON,
        "prediction": st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
        "ts": st.sampled_from([None, TS, TS * 1000, "2026-01-05T08:00:00+02:00", 2e8, 7e9]),
        "score": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "attempts": st.integers(1, 1000),
        "model": st.text(min_size=1, max_size=3),
    },
)


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(st.lists(st.lists(EVENTS, min_size=1, max_size=4), min_size=1, max_size=3))
def test_whatever_was_accepted_is_loaded(tmp_path_factory: pytest.TempPathFactory, batches: list[list[dict]]) -> None:
    """One load of all of it, and nothing turns into a reject."""
    bench = Bench(tmp_path_factory.mktemp("bench"))
    accepted = []
    for batch in batches:
        rows = [_line(event) for event in batch]
        request = incoming(*rows)
        accepted += [event.id for event in EventDecoder("predictions").stored(request.body, "ndjson")]
        kept(bench.inbox.append(request))
    bench.load()
    refused = sum(len(batch) for batch in batches) - len(accepted)
    assert bench.ids() == sorted(accepted)
    assert bench.rows("SELECT count(*) FROM rejects") == [(refused,)]
    assert bench.rows("SELECT count(*) FROM rejects WHERE reason LIKE 'cannot be stored%'") == [(0,)]
    bench.close()


def _line(event: dict[str, object]) -> bytes:
    """Write infinite numbers as a sender can: as one that is too great."""
    text = prediction(**event).decode()
    return text.replace("-Infinity", "-1e400").replace("Infinity", "1e400").encode()

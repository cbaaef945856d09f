"""What the context managers log, however the block ends."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time

import pytest


class APITimeoutError(Exception):
    """As the client libraries of some providers call theirs."""


def test_a_request_is_timed_and_logged(sink, client):
    before = time.time()
    with client.request(model="bot", features={"n": 1}, tokens={"input": 1}) as r:
        r.first_token()
        first = r.ttft_ms
        r.first_token()
        assert r.ttft_ms == first
        assert r.score is None
        r.prediction = "refund"
        r.score = 0.5
        r.tokens(input=10, output=2)
        event_id = r.id
        client.log_outcome(event_id, True)
    assert client.flush(5)
    [row], [outcome] = sink.rows(), sink.rows("outcomes")
    assert row["latency_ms"] >= row["ttft_ms"] == first > 0
    assert before <= row["ts"] == outcome["prediction_ts"] <= time.time()
    assert {name: row[name] for name in row.keys() - {"ts", "latency_ms", "ttft_ms"}} == {
        "id": event_id,
        "service": "checkout",
        "model": "bot",
        "features": {"n": 1},
        "prediction": "refund",
        "score": 0.5,
        "tokens": {"input": 10, "output": 2},
    }


def test_what_is_set_by_hand_stays(sink, client):
    with client.request(id="mine", ts=5.0, tokens={"input": 3}) as r:
        r.latency_ms = 12.5
        r.fallback = {"from": "big", "reason": "busy"}
    assert client.flush(5)
    [row] = sink.rows()
    assert (row["id"], row["ts"], row["latency_ms"], row["tokens"]) == ("mine", 5.0, 12.5, {"input": 3})
    assert row["fallback"] == {"from": "big", "reason": "busy"}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("x"), "internal"),
        (SystemExit(1), "internal"),
        (TimeoutError(), "timeout"),
        (concurrent.futures.TimeoutError(), "timeout"),
        (type("TimeoutError", (Exception,), {})(), "timeout"),  # as asyncio's was before Python 3.11
        (APITimeoutError(), "timeout"),
        (KeyboardInterrupt(), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
def test_an_exception_is_logged_and_goes_on(sink, client, error, expected):
    with pytest.raises(type(error)) as caught:
        _fail(client, error)
    assert caught.value is error
    assert client.flush(5)
    [row] = sink.rows()
    assert (row["status"], row["error_class"], row["prediction"]) == ("error", expected, 1)
    assert row["latency_ms"] >= 0


def test_an_error_class_that_the_host_knows_better_stays(sink, client):
    with pytest.raises(ValueError, match="429"):
        _fail(client, ValueError("429"), error_class="rate_limited")
    assert client.flush(5)
    assert (sink.rows()[0]["status"], sink.rows()[0]["error_class"]) == ("error", "rate_limited")


def test_the_async_twin_does_the_same(sink, client):
    async def work() -> None:
        async with client.arequest(model="good") as r:
            await asyncio.sleep(0)
            r.prediction = "x"
        with pytest.raises(ValueError, match="no"):
            async with client.arequest(model="bad"):
                raise ValueError("no")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_hang(client), 0.01)

    asyncio.run(work())
    assert client.flush(5)
    rows = {row["model"]: row for row in sink.rows()}
    assert rows["good"]["prediction"] == "x"
    assert "status" not in rows["good"]
    assert rows["bad"]["error_class"] == "internal"
    assert (rows["slow"]["status"], rows["slow"]["error_class"]) == ("error", "cancelled")
    assert rows["slow"]["latency_ms"] > 0


def _fail(client, error: BaseException, **fields: object) -> None:
    with client.request(model="bot", prediction=0) as r:
        r.prediction = 1
        for name, value in fields.items():
            setattr(r, name, value)
        raise error


async def _hang(client) -> None:
    async with client.arequest(model="slow"):
        await asyncio.Event().wait()


def test_misuse_of_a_request_harms_nobody(sink, client):
    with client.request(features=5) as r:
        r.tokens(7, inputs="many")
        r.predction = "typo"
        r.id = None
    assert client.flush(5)
    [row] = sink.rows()
    assert row["extra"] == {"predction": "typo"}
    assert row["tokens"] == {"inputs": "many"}
    assert row["id"]

"""The decorator logs each call, however it ends, and changes nothing of the function."""

from __future__ import annotations

import asyncio
import inspect
import time

import pytest


def test_each_call_is_a_prediction(sink, client):
    @client.predict(
        model="fraud",
        inputs=lambda amount, country="DE": {"amount": amount, "country": country},
        outputs=lambda answer: {"prediction": answer["fraud"], "score": answer["p"], "id": answer["order"]},
    )
    def decide(amount: float, country: str = "DE") -> dict:
        """Decide."""
        return {"fraud": amount > 10, "p": 0.5, "order": f"order-{amount}"}

    assert decide(12) == {"fraud": True, "p": 0.5, "order": "order-12"}
    assert decide(3, country="FR")["fraud"] is False
    assert (decide.__name__, decide.__doc__) == ("decide", "Decide.")
    assert client.flush(5)
    first, second = sink.rows()
    assert (first["id"], first["model"], first["prediction"], first["score"]) == ("order-12", "fraud", True, 0.5)
    assert (first["features"], second["features"]) == (
        {"amount": 12, "country": "DE"},
        {"amount": 3, "country": "FR"},
    )
    assert first["latency_ms"] >= 0


def test_a_plain_result_is_the_prediction_and_an_error_goes_on(sink, client):
    @client.predict(model="bot", provider="acme")
    def answer(text: str) -> str:
        if text == "bad":
            raise TimeoutError
        return text.upper()

    @client.predict(model="list")
    def listed() -> list:
        return [1]

    assert answer("hi") == "HI"
    with pytest.raises(TimeoutError):
        answer("bad")
    assert listed() == [1]
    assert client.flush(5)
    first, second, third = sink.rows()
    assert (first["prediction"], first["provider"]) == ("HI", "acme")
    assert (second["status"], second["error_class"]) == ("error", "timeout")
    assert "prediction" not in third
    assert len({row["id"] for row in sink.rows()}) == 3


def test_async_functions_are_waited_for(sink, client):
    @client.predict(model="slow", outputs=lambda value: {"prediction": value})
    async def think(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    assert asyncio.iscoroutinefunction(think)
    assert asyncio.run(think(0.02)) == "done"
    assert client.flush(5)
    [row] = sink.rows()
    assert row["prediction"] == "done"
    assert row["latency_ms"] >= 15


def test_functions_that_fail_to_describe_harm_nobody(sink, client):
    @client.predict(inputs=lambda: {}["gone"], outputs=lambda _: 5)
    def work() -> int:
        return 7

    assert work() == 7
    assert client.flush(5)
    assert len(sink.rows()) == 1
    assert client.stats().adjusted == {"inputs": 1, "outputs": 1}


def test_a_generator_is_logged_when_it_ends(sink, client):
    @client.predict(model="stream", outputs=lambda items: {"prediction": "".join(items)})
    def stream(count):
        """Words."""
        sent = []
        for number in range(count):
            time.sleep(0.02)
            sent.append((yield f"w{number}"))
        return sent

    @client.predict(model="broken")
    def broken():
        yield 1
        raise TimeoutError

    @client.predict(model="empty")
    def empty():
        yield from ()

    assert inspect.isgeneratorfunction(stream)
    assert list(stream(3)) == ["w0", "w1", "w2"]
    with pytest.raises(TimeoutError):
        list(broken())
    assert list(empty()) == []
    left = stream(3)
    assert next(left) == "w0"
    left.close()
    talked = stream(2)
    next(talked)
    assert talked.send("hi") == "w1"
    with pytest.raises(StopIteration) as ended:
        talked.send("ho")
    assert ended.value.value == ["hi", "ho"]
    assert client.flush(10)
    whole, failed, nothing, stopped, spoken = sink.rows()
    assert (whole["prediction"], whole["latency_ms"] > whole["ttft_ms"] > 15) == ("w0w1w2", True)
    assert whole["latency_ms"] > 55
    assert (failed["status"], failed["error_class"], "ttft_ms" in failed) == ("error", "timeout", True)
    assert "ttft_ms" not in nothing
    assert (stopped["status"], stopped["error_class"]) == ("error", "cancelled")
    assert spoken["prediction"] == "w0w1"


def test_an_asynchronous_generator_too(sink, client):
    closed = []

    @client.predict(model="stream", outputs=lambda items: {"prediction": "".join(items)})
    async def stream(count):
        try:
            for number in range(count):
                await asyncio.sleep(0.02)
                yield f"w{number}"
        finally:
            closed.append(count)

    async def run():
        assert [item async for item in stream(2)] == ["w0", "w1"]
        left = stream(5)
        assert await anext(left) == "w0"
        await left.aclose()

    assert inspect.isasyncgenfunction(stream)
    asyncio.run(run())
    assert closed == [2, 5]
    assert client.flush(10)
    whole, stopped = sink.rows()
    assert (whole["prediction"], whole["latency_ms"] > whole["ttft_ms"] > 15) == ("w0w1", True)
    assert (stopped["status"], stopped["error_class"]) == ("error", "cancelled")

"""Ended gen_ai spans become predictions: as the server itself would read them, by the id above all."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest
from opentelemetry.exporter.otlp.proto.common import trace_encoder
from opentelemetry.sdk.trace import TracerProvider

from watchkeeper.collector.otlp.signals import TRACES
from watchkeeper.collector.registry import discover
from watchkeeper.schemas.events import Prediction
from watchkeeper.schemas.settings import Ingest
from watchkeeper_sdk.opentelemetry import SpanProcessor, prediction_of

CONTEXT = SimpleNamespace(trace_id=0x5B8EFFF798038103D269B633813FC60C, span_id=0xEEE19B7EC3C1B174)
ID = "5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174"


def span(parent=None, status=1, **attributes):
    return SimpleNamespace(
        name="chat gpt-4o",
        context=CONTEXT,
        parent=parent,
        attributes={name.replace("__", "."): value for name, value in attributes.items()},
        start_time=1_767_323_045_250_000_000,
        end_time=1_767_323_046_500_000_000,
        status=SimpleNamespace(status_code=SimpleNamespace(value=status)),
    )


def test_present_names_are_read(sink, client):
    parent = SimpleNamespace(trace_id=CONTEXT.trace_id, span_id=7)
    processor = SpanProcessor(client)
    processor.on_start(None)
    processor.on_end(
        span(
            parent,
            gen_ai__operation__name="chat",
            gen_ai__provider__name="openai",
            gen_ai__request__model="gpt-4o",
            gen_ai__response__model="gpt-4o-2024-08-06",
            gen_ai__response__finish_reasons=("stop",),
            gen_ai__response__time_to_first_chunk=0.25,
            gen_ai__conversation__id="c1",
            gen_ai__usage__input_tokens=100,
            gen_ai__usage__cache_read__input_tokens=60,
            gen_ai__usage__cache_creation__input_tokens=10,
            gen_ai__usage__output_tokens=50,
            gen_ai__usage__reasoning__output_tokens=20,
        )
    )
    assert processor.force_flush()
    processor.shutdown()
    [row] = sink.rows()
    assert row == {
        "id": ID,
        "service": "checkout",
        "ts": 1767323045.25,
        "latency_ms": 1250.0,
        "ttft_ms": 250.0,
        "trace_id": ID[:32],
        "parent_id": f"{ID[:32]}-0000000000000007",
        "step": "chat gpt-4o",
        "operation": "chat",
        "provider": "openai",
        "model": "gpt-4o",
        "model_version": "gpt-4o-2024-08-06",
        "finish_reason": "stop",
        "conversation": "c1",
        "tokens": {"input": 30, "cache_read": 60, "cache_write": 10, "output": 30, "reasoning": 20},
    }


def test_older_names_and_errors_are_read():
    fields = prediction_of(
        span(
            status=2,
            gen_ai__system="anthropic",
            gen_ai__response__model="claude",
            gen_ai__usage__prompt_tokens=4,
            gen_ai__usage__completion_tokens=9,
            gen_ai__usage__cache_read_input_tokens=1000,
            error__type="rate_limited",
        )
    )
    assert (fields["provider"], fields["model"]) == ("anthropic", "claude")
    # The cache is larger than the input: it cannot be a part of it.
    assert fields["tokens"] == {"input": 4, "cache_read": 1000, "cache_write": 0, "output": 9, "reasoning": 0}
    assert (fields["status"], fields["error_class"]) == ("error", "rate_limited")
    assert "model_version" not in fields


def test_other_spans_and_broken_ones_are_passed_over(sink, client):
    processor = SpanProcessor(client)
    processor.on_end(span(http__method="GET"))
    processor.on_end(object())
    assert client.flush(5)
    assert sink.taken == []
    assert client.stats().adjusted == {"span": 1}


def test_the_real_sdk_feeds_it(sink, client):
    provider = TracerProvider()
    provider.add_span_processor(SpanProcessor(client))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("agent"), tracer.start_as_current_span("chat m") as inner:
        inner.set_attribute("gen_ai.request.model", "m")
        inner.set_attribute("gen_ai.usage.input_tokens", 3)
        context = inner.get_span_context()
    with pytest.raises(ZeroDivisionError), tracer.start_as_current_span("chat n", attributes={"gen_ai.system": "n"}):
        _ = 1 / 0
    assert provider.force_flush()
    first, second = sink.rows()
    assert first["id"] == f"{context.trace_id:032x}-{context.span_id:016x}"
    assert (first["model"], first["tokens"]["input"], first["step"]) == ("m", 3, "chat m")
    assert first["parent_id"].startswith(first["trace_id"])
    assert (second["status"], second["error_class"]) == ("error", "internal")
    provider.shutdown()


SPANS = {
    "chat": {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.conversation.id": "c1",
        "gen_ai.agent.name": "triage",
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.cache_creation.input_tokens": 10,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.reasoning.output_tokens": 20,
    },
    "tool": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "gen_ai.workflow.name": "refunds"},
    "older": {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "anthropic",
        "gen_ai.request.model": "claude",
        "gen_ai.usage.prompt_tokens": 4,
        "gen_ai.usage.completion_tokens": 9,
        "gen_ai.usage.cache_read_input_tokens": 1000,
    },
}


@pytest.mark.parametrize("case", SPANS)
def test_the_bridge_reads_a_span_as_the_server_does(sink, client, case):
    """Both ways together count once, and say the same."""
    kept = []
    provider = TracerProvider()
    provider.add_span_processor(SpanProcessor(client))
    provider.add_span_processor(
        SimpleNamespace(**dict.fromkeys(("on_start", "_on_ending", "shutdown"), ignore), on_end=kept.append)
    )
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("parent"), tracer.start_as_current_span(f"a {case}", attributes=SPANS[case]):
        pass
    assert client.flush(5)
    body = trace_encoder.encode_spans(kept).SerializeToString()
    [server] = discover(Ingest())["otlp"].events(TRACES.kind, "protobuf", body).predictions
    ours = msgspec.convert(sink.rows()[0], Prediction)
    assert ours.ts == pytest.approx(server.ts / 1e9 if server.ts > 1e15 else server.ts, abs=1e-5)
    names = [name for name in Prediction.__struct_fields__ if name not in {"ts", "service", "features", "extra"}]
    assert {name: getattr(ours, name) for name in names} == {name: getattr(server, name) for name in names}
    provider.shutdown()


def ignore(*_: object, **__: object) -> None:
    """Do nothing."""

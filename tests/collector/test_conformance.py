"""What services already run sends to a running server, and what is stored of it: the real libraries."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from alerts.serving import serving
from collector.sent import opened
from fastapi import FastAPI
from langfuse import Langfuse
from openai import APIStatusError, OpenAI
from openinference.instrumentation import using_session
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from watchkeeper.collector.loader import InboxLoader
from watchkeeper.collector.routes import IngestRoutes
from watchkeeper.schemas.settings import Ingest
from watchkeeper.store.clock import wall
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.load import Loader

RESOURCE = Resource.create(
    {"service.name": "shop", "service.version": "1.2", "deployment.environment.name": "prod", "team": "payments"}
)
Row = dict[str, object]


class Server:
    """The ingest routes, the inbox and the facts behind them."""

    def __init__(self, url: str, facts: FactStore, pump: InboxLoader) -> None:
        self.url = url
        self._facts = facts
        self._pump = pump

    def rows(self, sql: str = "SELECT * EXCLUDE (extra), extra::JSON::VARCHAR AS extra FROM predictions") -> list[Row]:
        self._pump.load_pending()
        return self._facts.read(sql).to_dicts()


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    inbox = opened(folder)
    facts = FactStore(folder / "facts.duckdb")
    pump = InboxLoader(inbox, Loader(facts, wall), max_rows=1000, max_age=0, loaded=lambda _: None)
    app = FastAPI()
    app.include_router(IngestRoutes(inbox, Ingest()).router())
    with serving(app) as client:
        yield Server(str(client.base_url).rstrip("/"), facts, pump)
    inbox.close()
    facts.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as one:
        yield one


def tracing(server: Server, compression: Compression = Compression.Gzip) -> TracerProvider:
    provider = TracerProvider(resource=RESOURCE)
    exporter = OTLPSpanExporter(f"{server.url}/v1/traces", compression=compression, timeout=30)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_the_opentelemetry_sdk(server: Server, compression: Compression) -> None:
    provider = tracing(server, compression)
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("invoke_agent planner") as agent:
        agent.set_attributes({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"})
        with tracer.start_as_current_span("GET /", kind=SpanKind.CLIENT):
            pass
        with tracer.start_as_current_span("chat big", record_exception=True) as failed:
            failed.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "big"})
            failed.record_exception(TimeoutError("too slow"))
            failed.set_status(Status(StatusCode.ERROR, "too slow"))
        with tracer.start_as_current_span("chat small") as chat:
            chat.set_attributes(
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "lab",
                    "gen_ai.request.model": "small",
                    "gen_ai.response.model": "small-2026",
                    "gen_ai.response.finish_reasons": ["stop"],
                    "gen_ai.usage.input_tokens": 100,
                    "gen_ai.usage.output_tokens": 20,
                    "gen_ai.usage.cache_read.input_tokens": 40,
                    "gen_ai.conversation.id": "c1",
                    "gen_ai.input.messages": "a private question",
                }
            )
    assert provider.force_flush()
    provider.shutdown()
    rows = {row["step"]: row for row in server.rows()}
    assert rows.keys() == {"invoke_agent planner", "chat big", "chat small"}
    told, parent = rows["chat small"], rows["invoke_agent planner"]
    context = chat.get_span_context()
    assert told["id"] == f"{context.trace_id:032x}-{context.span_id:016x}"
    assert (told["trace_id"], told["parent_id"]) == (f"{context.trace_id:032x}", parent["id"])
    assert (told["service"], told["config_version"], told["environment"]) == ("shop", "1.2", "prod")
    assert (told["provider"], told["model"], told["model_version"]) == ("lab", "small", "small-2026")
    assert (told["tokens_input"], told["tokens_cache_read"], told["tokens_output"]) == (60, 40, 20)
    assert (told["operation"], told["finish_reason"], told["conversation"]) == ("chat", "stop", "c1")
    assert (told["attempts"], told["fallback_from"], told["fallback_reason"]) == (2, "big", "timeout")
    assert (rows["chat big"]["operation"], rows["chat big"]["error_class"]) == ("attempt", "timeout")
    assert (parent["operation"], parent["agent"]) == ("invoke_agent", "planner")
    assert told["latency_ms"] == pytest.approx((chat.end_time - chat.start_time) / 1e6)
    assert "private" not in json.dumps(rows, default=str)
    assert server.rows("SELECT sum(requests)::INT AS n FROM traffic_hour WHERE dim = ''") == [{"n": 1}]
    assert server.rows("SELECT value FROM traffic_hour WHERE dim = 'team' GROUP BY value HAVING sum(requests) > 0") == [
        {"value": "payments"}
    ]
    assert server.rows("SELECT what, n FROM ignored") == [{"what": "span", "n": 1}]


def test_logs_and_metrics_of_the_opentelemetry_sdk(server: Server) -> None:
    traces, logs = tracing(server), LoggerProvider(resource=RESOURCE)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{server.url}/v1/logs")))
    span = traces.get_tracer("test").start_span("chat m", attributes={"gen_ai.operation.name": "chat"})
    logs.get_logger("test").emit(
        LogRecord(
            timestamp=span.start_time + 10**9,
            context=set_span_in_context(span),
            severity_number=SeverityNumber.INFO,
            event_name="gen_ai.evaluation.result",
            attributes={"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.label": "pass"},
        )
    )
    span.end()
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{server.url}/v1/metrics"), 60_000)
    meters = MeterProvider([reader], resource=RESOURCE)
    meter = meters.get_meter("test")
    meter.create_histogram("gen_ai.client.token.usage").record(5)
    meter.create_gauge("hw.gpu.utilization").set(0.5, {"hw.id": "GPU-1"})
    for provider in (traces, logs, meters):
        provider.shutdown()
    [matched] = server.rows("SELECT prediction_id, value, source FROM matched")
    [told] = server.rows()
    assert matched == {"prediction_id": told["id"], "value": "true", "source": "relevance"}
    assert server.rows("SELECT uuid, utilization FROM gpu_samples") == [{"uuid": "GPU-1", "utilization": 0.5}]
    assert {"kind": "otlp_metrics", "what": "gen_ai.client.token.usage"} in server.rows(
        "SELECT kind, what FROM ignored"
    )


def test_the_langfuse_sdk(server: Server) -> None:
    client = Langfuse(
        public_key="pk", secret_key="sk", base_url=server.url, environment="prod", release="1.2", flush_interval=60
    )
    with client.start_as_current_observation(name="refund", as_type="agent") as agent:
        generation = agent.start_observation(
            name="decide",
            as_type="generation",
            model="big",
            input="a private question",
            usage_details={"input": 60, "cache_read_input_tokens": 40, "output": 20},
            cost_details={"total": 0.25},
            metadata={"team": "payments"},
        )
        generation.update(output="a private answer")
        generation.end()
        agent.start_observation(name="look", as_type="tool").end()
        agent.start_observation(name="plain").end()
    client.flush()
    client.shutdown()
    rows = {row["step"]: row for row in server.rows()}
    assert {name: row["operation"] for name, row in rows.items()} == {
        "refund": "invoke_agent",
        "decide": "chat",
        "look": "execute_tool",
    }
    told = rows["decide"]
    assert (told["model"], told["cost"], told["environment"]) == ("big", 0.25, "prod")
    assert (told["tokens_input"], told["tokens_cache_read"], told["tokens_output"]) == (60, 40, 20)
    assert (told["parent_id"], told["trace_id"]) == (rows["refund"]["id"], rows["refund"]["trace_id"])
    assert "private" not in json.dumps(rows, default=str)
    assert server.rows("SELECT DISTINCT value FROM traffic_hour WHERE dim = 'team'") == [{"value": "payments"}]


ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_767_600_000,
    "model": "gpt-big-2026",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "private"}}],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 30},
    },
}


class Provider(BaseHTTPRequestHandler):
    """Answers like a provider of models; refuses the model ``busy``."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        busy = asked["model"] == "busy"
        body = json.dumps({"error": {"message": "slow down"}} if busy else ANSWER).encode()
        self.send_response(429 if busy else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.shutdown()
        thread.join()


def test_openinference_around_the_openai_library(server: Server, provider: str) -> None:
    traces = tracing(server)
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=traces)
    try:
        with OpenAI(api_key="none", base_url=provider, max_retries=0) as client, using_session("c1"):
            client.chat.completions.create(model="gpt-big", messages=[{"role": "user", "content": "private"}])
            with pytest.raises(APIStatusError):
                client.chat.completions.create(model="busy", messages=[{"role": "user", "content": "private"}])
    finally:
        instrumentor.uninstrument()
        traces.shutdown()
    rows = {row["status"]: row for row in server.rows()}
    told = rows["ok"]
    assert (told["operation"], told["provider"], told["conversation"]) == ("chat", "openai", "c1")
    assert (told["model"], told["model_version"]) == ("gpt-big", "gpt-big-2026")
    assert (told["tokens_input"], told["tokens_cache_read"]) == (60, 40)
    assert (told["tokens_output"], told["tokens_reasoning"]) == (20, 30)
    assert (rows["error"]["error_class"], rows["error"]["model"]) == ("rate_limited", "busy")
    assert "private" not in json.dumps(rows, default=str)

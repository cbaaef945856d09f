"""OTLP over real HTTP: the specification's answers, in the form of the request, and what is kept."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from collector.sent import TS, incoming, prediction
from collector.spans import DECODER, TRACE, decoded, logs, metrics, pairs, span, traces
from collector.test_routes import Served, running
from google.protobuf.json_format import ParseDict
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from watchkeeper.collector.decoding import Sent
from watchkeeper.collector.otlp.turned_away import MAX_KEPT
from watchkeeper.collector.raws import NAMES_ALONE
from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.settings import Ingest

PROTOBUF, JSON = "application/x-protobuf", "application/json"
LIMITS = Ingest(max_body_bytes=1000, otlp_max_bytes=50_000, max_rows=50)
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
MESSAGES = {
    "otlp_traces": ExportTraceServiceRequest,
    "otlp_logs": ExportLogsServiceRequest,
    "otlp_metrics": ExportMetricsServiceRequest,
}


def as_protobuf(kind: str, body: bytes) -> bytes:
    """The same request in protobuf; JSON for Protobuf wants bytes in base64, OTLP in hex."""

    def based(part: object) -> object:
        if isinstance(part, list):
            return [based(one) for one in part]
        if isinstance(part, dict):
            ids = ("traceId", "spanId", "parentSpanId")
            return {
                name: __import__("base64").b64encode(bytes.fromhex(value)).decode() if name in ids else based(value)
                for name, value in part.items()
            }
        return part

    return ParseDict(based(json.loads(body)), MESSAGES[kind]()).SerializeToString()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with running(tmp_path, LIMITS) as one:
        yield one


def post(served: Served, body: bytes, media: str = PROTOBUF, signal: str = "traces", **headers: str) -> httpx.Response:
    return served.post(body, signal, Content_Type=media, **headers)


def refused(response: httpx.Response, status: int, code: int, media: str) -> str:
    assert (response.status_code, response.headers["content-type"]) == (status, media)
    if media == JSON:
        said = response.json()
        assert said.keys() == {"code", "message"}
        assert said["code"] == code
        return said["message"]
    message = Status.FromString(response.content)
    assert message.code == code
    return message.message


def test_all_taken_is_an_empty_answer_of_the_same_type(served: Served) -> None:
    body = traces(span(CHAT), span())
    answer = post(served, as_protobuf("otlp_traces", body))
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, PROTOBUF, b"")
    answer = post(served, body, JSON + "; charset=utf-8")
    assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, JSON, {})
    assert [(batch.kind, batch.rows) for batch in served.inbox.after(0, 9)] == [("otlp_traces", 2)] * 2


@pytest.mark.parametrize("signal", ["logs", "metrics"])
def test_the_other_signals(served: Served, signal: str) -> None:
    body = logs({"body": {}}) if signal == "logs" else metrics({"name": "m", "gauge": {"dataPoints": [{}, {}]}})
    assert post(served, as_protobuf(f"otlp_{signal}", body), signal=signal).content == b""
    assert post(served, body, JSON, signal).json() == {}
    assert [batch.rows for batch in served.inbox.after(0, 9)] == [1 if signal == "logs" else 2] * 2


def test_gzip_and_an_empty_request(served: Served) -> None:
    body = gzip.compress(as_protobuf("otlp_traces", traces(span(CHAT))))
    assert post(served, body, Content_Encoding="gzip").status_code == 200
    assert post(served, b"").status_code == 200
    assert post(served, b"{}", JSON).json() == {}
    assert [batch.rows for batch in served.inbox.after(0, 9)] == [1, 0, 0]


BAD = [span(traceId="00"), span(spanId="0" * 16), span(traceId="0" * 32)]


def test_partly_refused_is_still_200_with_the_counts(served: Served) -> None:
    body = traces(BAD[0], span(CHAT), BAD[1], BAD[2])
    said = ExportTraceServiceResponse.FromString(post(served, as_protobuf("otlp_traces", body)).content)
    assert said.partial_success.rejected_spans == 3
    assert "16 bytes" in said.partial_success.error_message
    bad_json = traces(*BAD, span(startTimeUnixNano={}), span(CHAT), span(traceId="g" * 32))
    partial = post(served, bad_json, JSON).json()["partialSuccess"]
    assert (partial["rejectedSpans"], len(partial["errorMessage"]) > 10) == ("5", True)
    batches = served.inbox.after(0, 9)
    assert [(batch.rows, [reject.index for reject in batch.rejected]) for batch in batches] == [
        (1, [0, 2, 3]),
        (1, [0, 1, 2, 3, 5]),
    ]
    for batch in batches:
        assert len(DECODER.events(batch.kind, batch.encoding, batch.body).predictions) == 1


def test_a_reject_is_a_request_of_its_own_without_text(served: Served) -> None:
    asked = {"name": "gen_ai.content.prompt", "attributes": pairs({"gen_ai.prompt": "private"})}
    secret = span(CHAT | {"input.value": "private", "user.id": "a@example.org"}, name="n", traceId="00", events=[asked])
    post(served, as_protobuf("otlp_traces", traces(secret)))
    post(served, traces(secret), JSON)
    raws = [batch.rejected[0].raw for batch in served.inbox.after(0, 9)]
    for raw in raws:
        assert b"private" not in raw
        assert b"example.org" not in raw
        corrected = raw.replace(b'"traceId":"00"', b'"traceId":"' + TRACE.encode() + b'"')
        [made] = decoded("otlp_traces", corrected)[1].predictions
        assert (made.id, made.service, made.model, made.step) == (f"{TRACE}-{secret['spanId']}", "shop", "m", "n")
        assert (made.ts, made.latency_ms) == (TS * 10**9, 1000.0)


def test_where_text_is_kept_a_reject_keeps_it_redacted() -> None:
    secret = span({"input.value": "mail a@example.org"}, traceId="00")
    taken, _ = decoded("otlp_traces", traces(secret), ingest=Ingest(keep_text=True))
    assert b'"mail [redacted]"' in taken.rejected[0].raw


def test_a_reject_has_an_end() -> None:
    long = span({f"team{n}": "x" * 190 for n in range(1000)} | CHAT, traceId="00")
    taken, _ = decoded("otlp_traces", traces(long), ingest=Ingest(keep_text=True))
    assert len(taken.rejected[0].raw) < 500
    assert b'"traceId":"00"' in taken.rejected[0].raw
    assert taken.rejected[0].reason.endswith(NAMES_ALONE)


@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_what_one_request_is_turned_away_with_is_kept_up_to_a_bound_and_the_rest_is_counted(form: str) -> None:
    fat = span(
        CHAT | {f"gen_ai.request.{n}": "x" * 190 for n in range(9)} | {"gen_ai.agent.name": "a" * 190}, traceId="00"
    )
    for count in (300, 9_000):
        body = traces(*[fat] * count)
        rejected = DECODER.check(
            Sent("otlp_traces", form, as_protobuf("otlp_traces", body) if form == "protobuf" else body, 10_000)
        ).rejected
        whole = [one for one in rejected if not one.reason.endswith(NAMES_ALONE)]
        kept = sum(len(one.raw) for one in whole)
        assert all(b"gen_ai.agent.name" in one.raw for one in whole)
        assert all(b"spanId" in one.raw for one in rejected)
        assert len(rejected) == count
        assert (len(whole) == count) if count == 300 else (0 <= kept - MAX_KEPT < 65_536)


def test_400_is_a_status_in_the_form_of_the_request(served: Served) -> None:
    assert "no OTLP trace request in protobuf" in refused(post(served, b"\xff\xff"), 400, 3, PROTOBUF)
    assert "no OTLP trace request in JSON" in refused(post(served, b"[]", JSON), 400, 3, JSON)
    assert "not valid gzip" in refused(post(served, b"x", Content_Encoding="gzip"), 400, 3, PROTOBUF)
    assert served.inbox.after(0, 9) == []


def test_413_and_415(served: Served) -> None:
    assert "otlp_max_bytes" in refused(post(served, b"x" * 50_001), 413, 8, PROTOBUF)
    bomb = gzip.compress(bytes(10**6))
    assert "after decompression" in refused(post(served, bomb, JSON, Content_Encoding="gzip"), 413, 8, JSON)
    many = traces(*[span()] * 51)
    assert "ingest.max_rows" in refused(post(served, as_protobuf("otlp_traces", many)), 413, 8, PROTOBUF)
    assert "use gzip" in refused(post(served, b"", Content_Encoding="br"), 415, 3, PROTOBUF)
    assert post(served, b"", "text/plain").status_code == 415


def test_429_and_503_say_when_to_come_back_soon_enough(tmp_path: Path) -> None:
    body = as_protobuf("otlp_traces", traces(span(CHAT)))
    with running(tmp_path, LIMITS, queue_requests=1, backlog_bytes=10) as served:
        with closing(__import__("sqlite3").connect(served.inbox._path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = served.inbox.append(incoming(prediction()))
            full = post(served, body)
            other.execute("ROLLBACK")
        refused(full, 429, 8, PROTOBUF)
        waiting.result(timeout=30)
        behind = post(served, body)
        refused(behind, 503, 14, PROTOBUF)
        assert all(int(answer.headers["retry-after"]) <= 3 for answer in (full, behind))


EVERY = {"s": "é", "b": True, "i": -(2**63), "d": 0.5, "l": ["a", 1], "m": {"k": {"n": 1}}}


def test_both_forms_say_the_same() -> None:
    sent = [
        span(CHAT | EVERY | {"team": "a"}, failed=True, parentSpanId="00f067aa0ba902b7",
             events=[{"name": "exception", "timeUnixNano": "5", "attributes": pairs({"exception.type": "X"})}]),
        span({"openinference.span.kind": "TOOL", "tool.name": "t"}),
    ]  # fmt: skip
    body = traces(*sent)
    assert decoded("otlp_traces", body)[1] == decoded("otlp_traces", as_protobuf("otlp_traces", body), "protobuf")[1]
    said = logs({"timeUnixNano": "7", "eventName": "feedback", "traceId": TRACE, "spanId": "00f067aa0ba902b7",
                 "attributes": pairs({"feedback.score": 0.5})}, {"body": {"stringValue": "x"}})  # fmt: skip
    assert decoded("otlp_logs", said)[1] == decoded("otlp_logs", as_protobuf("otlp_logs", said), "protobuf")[1]
    measured = metrics(*GPU, {"name": "h", "histogram": {"dataPoints": [{"count": "3"}]}})
    events = decoded("otlp_metrics", measured)[1]
    assert events == decoded("otlp_metrics", as_protobuf("otlp_metrics", measured), "protobuf")[1]
    assert len(events.gpus) == 2


AT = "1767600000000000000"
GPU = [
    {"name": name, "gauge": {"dataPoints": [{"timeUnixNano": AT, key: value, "attributes": pairs(labels)}]}}
    for name, key, value, labels in (
        ("DCGM_FI_DEV_GPU_UTIL", "asDouble", 50.0, {"UUID": "GPU-1", "gpu": "0"}),
        ("DCGM_FI_DEV_POWER_USAGE", "asInt", "250", {"UUID": "GPU-1", "gpu": "0"}),
        ("hw.gpu.utilization", "asDouble", 0.25, {"hw.id": "GPU-2"}),
        ("hw.gpu.memory.usage", "asInt", str(2**30), {"hw.id": "GPU-2"}),
    )
]


@pytest.mark.parametrize("written", ["9" * 400, '"' + "9" * 400 + '"', "1e18", '"inf"', '"nan"', "-5", "null"])
def test_numbers_in_json_may_be_written_as_they_like(written: str) -> None:
    """A number that none of ours can be is left out: it costs no row, and never the request."""
    point = '{"asInt": 1, "attributes": [{"key": "hw.id", "value": {"stringValue": "g"}}]}'
    odd = point.replace("1,", f'{written if "99" in written else "1"}, "timeUnixNano": {written},')
    body = f"""{{"resourceMetrics": [{{"scopeMetrics": [{{"metrics":
        [{{"name": "hw.gpu.utilization", "gauge": {{"dataPoints": [{odd}, {point}]}}}}]}}]}}]}}""".encode()
    taken = DECODER.check(Sent("otlp_metrics", "json", body, 10))
    assert (taken.rows, taken.reply) == (2, b"{}")
    events = DECODER.events("otlp_metrics", "json", taken.body)
    assert events.ignored["hw.gpu.utilization"] + len(events.gpus) == 2
    asked = '{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}'
    times = f'"startTimeUnixNano": {written}, "endTimeUnixNano": {written}'
    span = f'{{"traceId": "{TRACE}", "spanId": "{"1" * 16}", {times}, "attributes": [{asked}]}}'
    body = f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{span}]}}]}}]}}'.encode()
    taken = DECODER.check(Sent("otlp_traces", "json", body, 10))
    assert (taken.rows, taken.reply) == (1, b"{}")
    [made] = DECODER.events("otlp_traces", "json", taken.body).predictions
    assert made.ts == (10**18 if written == "1e18" else None)


def test_gpu_readings_are_samples_and_other_metrics_are_counted_by_name() -> None:
    others = [
        {"name": "gen_ai.client.token.usage", "histogram": {"dataPoints": [{}, {}]}},
        {"name": "vllm:num_requests_running", "gauge": {"dataPoints": [{"asDouble": 3}]}},
        {"name": "hw.power", "gauge": {"dataPoints": [{"timeUnixNano": AT, "asDouble": 3, "attributes": []}]}},
    ]
    taken, events = decoded("otlp_metrics", metrics(*GPU, *others, resource={"host.name": "node1"}))
    assert taken.rows == 8
    assert dict(events.ignored) == {
        "gen_ai.client.token.usage": 2,
        "vllm:num_requests_running": 1,
        "hw.power": 1,
    }
    samples = {sample.uuid: sample for sample in events.gpus}
    assert (samples["GPU-1"].utilization, samples["GPU-1"].power_w, samples["GPU-1"].ts) == (0.5, 250.0, int(AT) / 1e9)
    assert (samples["GPU-2"].utilization, samples["GPU-2"].memory_used_mib) == (0.25, 1024.0)
    assert samples["GPU-2"].host == "node1"


WHOLE = as_protobuf("otlp_traces", traces(span(CHAT | EVERY), span(CHAT)))


@settings(deadline=None, max_examples=200)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=3), st.booleans())
def test_a_damaged_message_is_refused_or_read(place: int, damage: bytes, cut: bool) -> None:
    body = WHOLE[:place] + (b"" if cut else damage + WHOLE[place + len(damage) :])
    try:
        taken = DECODER.check(Sent("otlp_traces", "protobuf", body, 100))
    except InputError:
        return
    events = DECODER.events("otlp_traces", "protobuf", taken.body)
    assert len(events.predictions) + events.ignored["span"] == taken.rows

"""OTLP requests made by hand, and the events that come of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count

from collector.sent import TS

from watchkeeper.collector.decoding import Events, Sent, Taken
from watchkeeper.collector.registry import discover
from watchkeeper.schemas.events import Prediction
from watchkeeper.schemas.settings import Ingest

TRACE = "0af7651916cd43dd8448eb211c80319c"
DECODER = discover(Ingest())["otlp"]
_numbers = count(1)


def value(plain: object) -> dict[str, object]:
    if isinstance(plain, bool):
        return {"boolValue": plain}
    if isinstance(plain, int):
        return {"intValue": str(plain)}
    if isinstance(plain, float):
        return {"doubleValue": plain}
    if isinstance(plain, list):
        return {"arrayValue": {"values": [value(part) for part in plain]}}
    if isinstance(plain, dict):
        return {"kvlistValue": {"values": pairs(plain)}}
    return {"stringValue": plain}


def pairs(attributes: Mapping[str, object]) -> list[dict[str, object]]:
    return [{"key": name, "value": value(plain)} for name, plain in attributes.items()]


def span(
    attributes: Mapping[str, object] | None = None,
    *,
    name: str = "call",
    start: float = TS,
    seconds: float = 1.0,
    failed: bool = False,
    **parts: object,
) -> dict[str, object]:
    """One span; ``start`` in seconds since 1970."""
    return {
        "traceId": TRACE,
        "spanId": f"{next(_numbers):016x}",
        "name": name,
        "startTimeUnixNano": str(int(start * 1e9)),
        "endTimeUnixNano": str(int((start + seconds) * 1e9)),
        "attributes": pairs(attributes or {}),
        "status": {"code": 2} if failed else {},
    } | parts


def traces(*spans: object, resource: Mapping[str, object] | None = None) -> bytes:
    parts = {"resource": {"attributes": pairs(resource or {"service.name": "shop"})}, "scopeSpans": [{"spans": spans}]}
    return json.dumps({"resourceSpans": [parts]}).encode()


def logs(*records: object) -> bytes:
    parts = {"resource": {"attributes": pairs({"service.name": "shop"})}, "scopeLogs": [{"logRecords": records}]}
    return json.dumps({"resourceLogs": [parts]}).encode()


def metrics(*found: object, resource: Mapping[str, object] | None = None) -> bytes:
    parts = {"resource": {"attributes": pairs(resource or {})}, "scopeMetrics": [{"metrics": found}]}
    return json.dumps({"resourceMetrics": [parts]}).encode()


def decoded(kind: str, body: bytes, encoding: str = "json", ingest: Ingest | None = None) -> tuple[Taken, Events]:
    """Both stages of the decoder, one after the other."""
    decoder = discover(ingest)["otlp"] if ingest else DECODER
    taken = decoder.check(Sent(kind, encoding, body, 1000))
    return taken, decoder.events(kind, encoding, taken.body)


def mapped(*spans: object, resource: Mapping[str, object] | None = None, ingest: Ingest | None = None) -> Events:
    return decoded("otlp_traces", traces(*spans, resource=resource), ingest=ingest)[1]


def one(attributes: Mapping[str, object], **parts: object) -> Prediction:
    """The prediction of one span."""
    [prediction] = mapped(span(attributes, **parts)).predictions
    return prediction

"""OTLP messages in protobuf. The library is imported at the first request, so that others pay nothing for it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from watchkeeper.collector.decoding import Rejected
from watchkeeper.collector.genai.span import Moment, Span
from watchkeeper.collector.otlp.signals import BAD_ID, LOGS, MAX_DEPTH, METRICS, TRACES, Group, Point, Signal
from watchkeeper.collector.otlp.turned_away import Keeping
from watchkeeper.schemas.errors import NotDecodable

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)


@cache
def _messages(signal: Signal) -> tuple[Any, Any]:
    """Give the request's and the answer's message class."""
    module = importlib.import_module(f"opentelemetry.proto.collector.{signal.name}.v1.{signal.name}_service_pb2")
    return getattr(module, signal.request), getattr(module, signal.response)


def parse(signal: Signal, body: bytes) -> Any:
    """Read a request; raises ``NotDecodable`` where it is none."""
    request, _ = _messages(signal)
    decode_error: type[Exception] = importlib.import_module("google.protobuf.message").DecodeError
    try:
        return request.FromString(body)
    except decode_error as error:
        raise NotDecodable(f"the body is no OTLP {signal.name} request in protobuf: {error}") from None


def answer(signal: Signal, rejected: int, message: str) -> bytes:
    """Write the answer: empty where all was taken."""
    if not rejected and not message:
        return b""
    _, response = _messages(signal)
    made = response()
    setattr(made.partial_success, signal.rejected, rejected)
    made.partial_success.error_message = message
    return made.SerializeToString()


def status(code: int, message: str) -> bytes:
    """Write a ``google.rpc.Status`` of a code and a message.

    >>> status(3, "no")
    b'\\x08\\x03\\x12\\x02no'
    """
    text = message.encode()[:2000]
    return b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def check(signal: Signal, body: bytes, keeping: Keeping) -> tuple[int, list[Rejected]]:
    """Count what a request holds; give its rows that cannot be used. Here, spans alone can be wrong."""
    message = parse(signal, body)
    if signal is METRICS:
        return sum(len(_data(metric)[1]) for _, metric in _rows(signal, message)), []
    if signal is LOGS:
        return sum(1 for _ in _rows(signal, message)), []
    rejected: list[Rejected] = []
    count = 0
    for part, span in _rows(signal, message):
        if not _named(span):
            rejected.append(_turned_away(keeping, count, part, span))
        count += 1
    return count - len(rejected), rejected


def groups(signal: Signal, body: bytes, wanted: frozenset[str] | None) -> Iterator[Group]:
    """Give what a request holds, by resource; rows that ``check`` found wrong are left out.

    Attributes that are not ``wanted`` are left out too; None wants all.
    """
    resources, scopes, rows = signal.parts
    for part in getattr(parse(signal, body), resources):
        resource = attributes(part.resource.attributes)
        found = [row for scope in getattr(part, scopes) for row in getattr(scope, rows)]
        if signal is TRACES:
            yield Group(resource, spans=[_span(span, resource, wanted) for span in found if _named(span)])
        elif signal is LOGS:
            yield Group(resource, records=[_record(record, wanted) for record in found])
        else:
            yield _metrics(resource, found)


def _rows(signal: Signal, message: Any) -> Iterator[tuple[Any, Any]]:
    resources, scopes, rows = signal.parts
    for part in getattr(message, resources):
        for scope in getattr(part, scopes):
            for row in getattr(scope, rows):
                yield part, row


def _named(span: Any) -> bool:
    trace_id, span_id = span.trace_id, span.span_id
    return len(trace_id) == 16 and len(span_id) == 8 and trace_id != _NO_TRACE and span_id != _NO_SPAN


def _plain(span: Any) -> dict[str, object]:
    """Give a span as JSON has it: its ids in hex."""
    found: dict[str, object] = importlib.import_module("google.protobuf.json_format").MessageToDict(span)
    return found | _ids(span)


def _ids(span: Any) -> dict[str, object]:
    ids = {"traceId": span.trace_id, "spanId": span.span_id, "parentSpanId": span.parent_span_id}
    return {name: value.hex() for name, value in ids.items() if value}


def _turned_away(keeping: Keeping, index: int, part: Any, span: Any) -> Rejected:
    """Keep a span that has no usable id; once enough was kept, nothing more of it is looked at than its names."""
    if keeping.full:
        return keeping.rejected(index, ("trace_id", BAD_ID), {}, {"name": span.name, **_ids(span)})
    return keeping.rejected(index, ("trace_id", BAD_ID), attributes(part.resource.attributes), _plain(span))


def _data(metric: Any) -> tuple[str, Sequence[Any]]:
    kind = metric.WhichOneof("data")
    return (kind, getattr(metric, kind).data_points) if kind else ("", ())


def _metrics(resource: dict[str, object], metrics: Sequence[Any]) -> Group:
    points: list[Point] = []
    other: list[str] = []
    for metric in metrics:
        kind, data = _data(metric)
        if kind not in ("gauge", "sum"):
            other += [metric.name] * len(data)
            continue
        for point in data:
            which = point.WhichOneof("value")
            if which is None:
                other.append(metric.name)
                continue
            value = getattr(point, which)
            points.append(
                Point(metric.name, metric.unit, point.time_unix_nano, float(value), attributes(point.attributes))
            )
    return Group(resource, points=points, other=other)


def _span(span: Any, resource: dict[str, object], wanted: frozenset[str] | None) -> Span:
    status = span.status
    return Span(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        status.code == 2,
        status.message,
        attributes(span.attributes, wanted),
        [Moment(e.name, e.time_unix_nano, attributes(e.attributes)) for e in span.events],
        resource,
        span.trace_state,
    )


def _record(record: Any, wanted: frozenset[str] | None) -> Moment:
    found = attributes(record.attributes, wanted)
    return Moment(
        name=record.event_name or str(found.get("event.name") or ""),
        at_ns=record.time_unix_nano or record.observed_time_unix_nano,
        attributes=found,
        trace_id=record.trace_id.hex(),
        span_id=record.span_id.hex(),
    )


def attributes(pairs: Sequence[KeyValue], wanted: frozenset[str] | None = None) -> dict[str, object]:
    """Give attributes as plain values; those that are not ``wanted`` are not read."""
    found: dict[str, object] = {}
    for pair in pairs:
        key = pair.key
        if wanted is None or key in wanted:
            value = pair.value
            found[key] = value.string_value or value.int_value or _value(value, MAX_DEPTH)
    return found


def _value(value: AnyValue, depth: int) -> object:
    """Give a value of any kind. Texts and whole numbers, as nearly all are, were asked for before: that costs less."""
    kind = value.WhichOneof("value")
    if kind is None or not depth:
        return None
    if kind == "array_value":
        parts = value.array_value.values
        return [part.string_value or _value(part, depth - 1) for part in parts]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, depth - 1) for pair in value.kvlist_value.values}
    plain: object = getattr(value, kind)
    return plain

"""OTLP messages in JSON: names in camel case, ids in hex, whole numbers of 64 bits as text or as numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from watchkeeper.collector.decoding import Rejected
from watchkeeper.collector.genai.span import Moment, Span
from watchkeeper.collector.genai.tokens import number
from watchkeeper.collector.otlp.signals import BAD_ID, LOGS, MAX_DEPTH, METRICS, TRACES, Group, Point, Signal
from watchkeeper.collector.otlp.turned_away import Keeping
from watchkeeper.schemas.errors import NotDecodable

_TRACE_ID, _SPAN_ID = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{16}")
_NO_TIME = 2.0**64
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _List(Struct):
    values: list[_Value] | None = None


class _Pairs(Struct):
    values: list[_Pair] | None = None


class _Value(Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None
    array_value: _List | None = None
    kvlist_value: _Pairs | None = None
    bytes_value: str | None = None


class _Pair(Struct):
    key: str = ""
    value: _Value | None = None


class _Event(Struct, rename="camel"):
    name: str | None = None
    time_unix_nano: int | float | None = None
    attributes: list[_Pair] | None = None


class _Status(Struct):
    code: int | str | None = None
    message: str | None = None


class _Span(Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    trace_state: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    start_time_unix_nano: int | float | None = None
    end_time_unix_nano: int | float | None = None
    attributes: list[_Pair] | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _Record(Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None
    time_unix_nano: int | float | None = None
    observed_time_unix_nano: int | float | None = None
    attributes: list[_Pair] | None = None


class _Number(Struct, rename="camel"):
    time_unix_nano: int | float | None = None
    as_double: float | None = None
    as_int: int | None = None
    attributes: list[_Pair] | None = None


class _Numbers(Struct, rename="camel"):
    data_points: list[_Number] | None = None


class _Others(Struct, rename="camel"):
    data_points: list[Raw] | None = None


class _Metric(Struct, rename="camel"):
    name: str = ""
    unit: str | None = None
    gauge: _Numbers | None = None
    sum: _Numbers | None = None
    histogram: _Others | None = None
    exponential_histogram: _Others | None = None
    summary: _Others | None = None


class _Resource(Struct):
    attributes: list[_Pair] | None = None


class _Scope(Struct, rename="camel"):
    spans: list[Raw] | None = None
    log_records: list[Raw] | None = None
    metrics: list[Raw] | None = None


class _Part(Struct, rename="camel"):
    resource: _Resource | None = None
    scope_spans: list[_Scope] | None = None
    scope_logs: list[_Scope] | None = None
    scope_metrics: list[_Scope] | None = None


class _Request(Struct, rename="camel"):
    resource_spans: list[_Part] | None = None
    resource_logs: list[_Part] | None = None
    resource_metrics: list[_Part] | None = None


_request: Callable[[bytes], _Request] = msgspec.json.Decoder(_Request, strict=False).decode
_DECODE: dict[str, Callable[[Raw], Any]] = {
    TRACES.name: msgspec.json.Decoder(_Span, strict=False).decode,
    LOGS.name: msgspec.json.Decoder(_Record, strict=False).decode,
    METRICS.name: msgspec.json.Decoder(_Metric, strict=False).decode,
}


def answer(signal: Signal, rejected: int, message: str) -> bytes:
    """Write the answer: an empty object where all was taken. A number of 64 bits is text in this form."""
    if not rejected and not message:
        return b"{}"
    return msgspec.json.encode({"partialSuccess": {signal.rejected_json: str(rejected), "errorMessage": message}})


def status(code: int, message: str) -> bytes:
    """Write a ``google.rpc.Status``."""
    return msgspec.json.encode({"code": code, "message": message[:2000]})


def check(signal: Signal, body: bytes, keeping: Keeping) -> tuple[int, list[Rejected]]:
    """Count what a request holds; give its rows that cannot be used."""
    good = 0
    rejected: list[Rejected] = []
    for index, (part, raw) in enumerate(_rows(signal, parse(signal, body))):
        try:
            row = _DECODE[signal.name](raw)
        except _UNREADABLE as error:
            reason = f"not as OTLP has it: {error}"[:300]
            rejected.append(keeping.rejected(index, ("", reason), _resource(part), _plain(raw)))
            continue
        if signal is TRACES and not _named(row):
            rejected.append(keeping.rejected(index, ("traceId", BAD_ID), _resource(part), _plain(raw)))
        else:
            good += sum(1 for _ in _points(row)) if signal is METRICS else 1
    return good, rejected


def groups(signal: Signal, body: bytes, wanted: frozenset[str] | None) -> Iterator[Group]:
    """Give what a request holds, by resource; rows that ``check`` found wrong are left out.

    Attributes that are not ``wanted`` are left out too; None wants all.
    """
    message = parse(signal, body)
    for part in getattr(message, signal.parts[0]) or ():
        resource = _resource(part)
        rows = [row for row in (_decoded(signal, raw) for raw in _of(signal, part)) if row is not None]
        if signal is TRACES:
            yield Group(resource, spans=[_span(row, resource, wanted) for row in rows if _named(row)])
        elif signal is LOGS:
            yield Group(resource, records=[_record(row, wanted) for row in rows])
        else:
            points = [point for row in rows for point in _points(row)]
            yield Group(
                resource,
                points=[point for point in points if isinstance(point, Point)],
                other=[point for point in points if isinstance(point, str)],
            )


def parse(signal: Signal, body: bytes) -> Any:
    """Read a request, its rows still unread; raises ``NotDecodable`` where it is none."""
    try:
        return _request(body)
    except _UNREADABLE as error:
        raise NotDecodable(f"the body is no OTLP {signal.name} request in JSON: {error}"[:500]) from None


def _plain(raw: Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except _UNREADABLE:
        return None


def _resource(part: _Part) -> dict[str, object]:
    return _attributes(part.resource.attributes if part.resource else None)


def _decoded(signal: Signal, raw: Raw) -> Any:
    try:
        return _DECODE[signal.name](raw)
    except _UNREADABLE:
        return None


def _of(signal: Signal, part: _Part) -> Iterator[Raw]:
    for scope in getattr(part, signal.parts[1]) or ():
        yield from getattr(scope, signal.parts[2]) or ()


def _rows(signal: Signal, message: Any) -> Iterator[tuple[_Part, Raw]]:
    for part in getattr(message, signal.parts[0]) or ():
        for raw in _of(signal, part):
            yield part, raw


def _named(span: _Span) -> bool:
    trace_id, span_id = span.trace_id.lower(), span.span_id.lower()
    whole = _TRACE_ID.fullmatch(trace_id) and _SPAN_ID.fullmatch(span_id)
    return bool(whole) and bool(trace_id.strip("0")) and bool(span_id.strip("0"))


def _span(span: _Span, resource: dict[str, object], wanted: frozenset[str] | None) -> Span:
    status = span.status or _Status()
    return Span(
        trace_id=span.trace_id.lower(),
        span_id=span.span_id.lower(),
        parent_id=(span.parent_span_id or "").lower(),
        name=span.name or "",
        start_ns=_time(span.start_time_unix_nano),
        end_ns=_time(span.end_time_unix_nano),
        failed=status.code in (2, "2", "STATUS_CODE_ERROR"),
        message=status.message or "",
        attributes=_attributes(span.attributes, wanted),
        moments=[Moment(e.name or "", _time(e.time_unix_nano), _attributes(e.attributes)) for e in span.events or ()],
        resource=resource,
        trace_state=span.trace_state or "",
    )


def _record(record: _Record, wanted: frozenset[str] | None) -> Moment:
    found = _attributes(record.attributes, wanted)
    return Moment(
        name=record.event_name or str(found.get("event.name") or ""),
        at_ns=_time(record.time_unix_nano or record.observed_time_unix_nano),
        attributes=found,
        trace_id=(record.trace_id or "").lower(),
        span_id=(record.span_id or "").lower(),
    )


def _time(written: float | None) -> int:
    """Give a time in ns, however the number was written (1.7e18 too); 0 for none, or one that no time can be."""
    return int(written) if written and abs(written) < _NO_TIME else 0


def _points(metric: _Metric) -> Iterator[Point | str]:
    """Give each data point: a number, or the metric's name where it is none."""
    for numbers in (metric.gauge, metric.sum):
        for point in (numbers.data_points or ()) if numbers else ():
            value = number(point.as_double if point.as_int is None else point.as_int)
            if value is None:
                yield metric.name
                continue
            attributes = _attributes(point.attributes)
            yield Point(metric.name, metric.unit or "", _time(point.time_unix_nano), value, attributes)
    for others in (metric.histogram, metric.exponential_histogram, metric.summary):
        for _ in (others.data_points or ()) if others else ():
            yield metric.name


def _attributes(pairs: Sequence[_Pair] | None, wanted: frozenset[str] | None = None) -> dict[str, object]:
    return {pair.key: _value(pair.value, MAX_DEPTH) for pair in pairs or () if wanted is None or pair.key in wanted}


def _value(value: _Value | None, depth: int) -> object:
    if value is None or not depth:
        return None
    if value.array_value is not None:
        return [_value(part, depth - 1) for part in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return {pair.key: _value(pair.value, depth - 1) for pair in value.kvlist_value.values or ()}
    plain = (value.string_value, value.bool_value, value.int_value, value.double_value, value.bytes_value)
    return next((part for part in plain if part is not None), None)

"""OpenTelemetry's protocol over HTTP: traces, logs and metrics, in protobuf and JSON.

In the request the message is read and its rows are counted; what the attributes mean is looked up in the loader.
Spans of AI work become predictions, evaluations become outcomes, GPU readings become GPU samples; the rest is counted
as ignored, by what it is. The answers are those of the specification, in the form of the request.
"""

from __future__ import annotations

from collections.abc import Iterator

from watchkeeper.collector.decoding import JSON, Door, Events, Limits, Sent, Taken
from watchkeeper.collector.genai import feedback
from watchkeeper.collector.genai.aliases import aliases
from watchkeeper.collector.genai.mapping import mapper
from watchkeeper.collector.otlp import gpu_points, json_form, protobuf
from watchkeeper.collector.otlp.signals import LOGS, METRICS, SIGNALS, TRACES, Group, Signal
from watchkeeper.collector.otlp.turned_away import Keeping
from watchkeeper.collector.raws import keeper
from watchkeeper.schemas.errors import TooLarge, WatchkeeperError
from watchkeeper.schemas.settings import Ingest

PROTOBUF = "application/x-protobuf"
LANGFUSE = "/api/public/otel/v1/traces"
"""Where Langfuse's SDKs send their spans; they cannot be told another path."""
_TYPES = {PROTOBUF: "protobuf", JSON: "json"}
_CODES = {400: 3, 401: 16, 403: 7, 413: 8, 415: 3, 429: 8, 503: 14}
"""Of ``google.rpc``: INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE."""
_INTERNAL = 13
_DOCUMENT = {
    "content": {
        PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
        JSON: {"schema": {"type": "object"}},
    }
}


def build(ingest: Ingest) -> Otlp:
    """Make the decoder."""
    return Otlp(ingest)


class Otlp:
    """Three signals, two forms."""

    kinds = tuple(SIGNALS)
    doors = (
        Door("/v1/traces", TRACES.kind, "Take OTLP traces: protobuf or JSON, plain or gzip", _TYPES, _DOCUMENT),
        Door("/v1/logs", LOGS.kind, "Take OTLP logs: protobuf or JSON, plain or gzip", _TYPES, _DOCUMENT),
        Door("/v1/metrics", METRICS.kind, "Take OTLP metrics: protobuf or JSON, plain or gzip", _TYPES, _DOCUMENT),
        Door(LANGFUSE, TRACES.kind, "Take OTLP traces where Langfuse's SDKs send them", _TYPES, _DOCUMENT),
    )

    def __init__(self, ingest: Ingest) -> None:
        self._table = aliases()
        self._mapper = mapper(ingest)
        self._keeper = keeper(ingest)
        self._wanted = None if ingest.keep_text else self._table.wanted(ingest.segment_attributes)

    def limits(self, ingest: Ingest) -> Limits:
        """Let a request be as large as the specification recommends, on the wire too: not all senders compress."""
        most, setting = ingest.otlp_max_bytes, "ingest.otlp_max_bytes"
        return Limits(most, most, ingest.max_rows, setting, setting)

    def check(self, sent: Sent) -> Taken:
        """Read the message, count its rows, refuse spans without an id."""
        signal, form = SIGNALS[sent.kind], _form(sent.encoding)
        good, rejected = form.check(signal, sent.body, Keeping(signal, self._keeper, self._wanted))
        if good + len(rejected) > sent.max_rows:
            raise TooLarge(f"the body has over {sent.max_rows} rows (ingest.max_rows): send smaller batches")
        message = rejected[0].reason if rejected else ""
        return Taken(sent.body, good, form.answer(signal, len(rejected), message), rejected)

    def events(self, kind: str, encoding: str, body: bytes) -> Events:
        """Turn the message into events."""
        signal = SIGNALS[kind]
        events = Events(linked="parent" if signal is TRACES else "")
        for group in _form(encoding).groups(signal, body, None if signal is METRICS else self._wanted):
            if signal is METRICS:
                gpu_points.add(events, group)
            else:
                self._add(signal, group, events)
        return events

    def answer_type(self, encoding: str) -> str:
        """Answer in the form of the request."""
        return PROTOBUF if encoding == "protobuf" else JSON

    def refusal(self, status: int, error: WatchkeeperError, encoding: str) -> bytes:
        """Give a ``google.rpc.Status``."""
        return _form(encoding).status(_CODES.get(status, _INTERNAL), str(error))

    def _add(self, signal: Signal, group: Group, events: Events) -> None:
        resource = self._table.fields(group.resource)
        for span in group.spans:
            made = self._mapper.prediction(span, resource)
            if made is None:
                events.ignored["span"] += 1
            else:
                events.predictions.append(made)
        for record, said in self._records(group):
            outcome = feedback.outcome(self._table, record, resource) if said else None
            if outcome is not None:
                events.outcomes.append(outcome)
            elif signal is LOGS:
                events.ignored["log record"] += 1

    def _records(self, group: Group) -> Iterator[tuple[feedback.Moment, bool]]:
        """Give the log records, and the events of spans, that may be feedback."""
        names = self._table.feedback["events"]
        for record in group.records:
            yield record, record.name in names
        for span in group.spans:
            for moment in span.moments:
                if moment.name in names:
                    moment.trace_id, moment.span_id = span.trace_id, span.span_id
                    yield moment, True


def _form(encoding: str):
    return protobuf if encoding == "protobuf" else json_form

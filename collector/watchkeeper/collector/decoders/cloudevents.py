"""CloudEvents of KServe's and Seldon's loggers: requests and responses as halves of predictions, feedback as outcomes.

KServe gives both halves the same id; Seldon gives each an id of its own and names the request beside it. One graph may
log several of its nodes: the node is a part of the name then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from msgspec import Raw

from watchkeeper.collector import times
from watchkeeper.collector.cloudevents import envelope
from watchkeeper.collector.cloudevents.bodies import Answer, Bodies
from watchkeeper.collector.cloudevents.envelope import Event
from watchkeeper.collector.cloudevents.tensors import as_list, as_object
from watchkeeper.collector.decoding import JSON, Door, Events, PlainJson, Rejected, Sent, Taken, plain_reply
from watchkeeper.collector.genai.aliases import aliases
from watchkeeper.collector.genai.text import redactor
from watchkeeper.collector.genai.tokens import tokens
from watchkeeper.collector.halves import Half, item_id
from watchkeeper.collector.raws import keeper
from watchkeeper.schemas.errors import TooLarge
from watchkeeper.schemas.events import Outcome, Tokens
from watchkeeper.schemas.settings import Ingest

KIND = "cloudevents"
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
_BINARY = ("", JSON, "application/octet-stream", "application/x-www-form-urlencoded", "text/plain")
"""Content types of the data. curl sends the fourth where it is told none, and KServe's logger passes it on."""
_TYPES = {STRUCTURED: "structured", BATCH: "batch"} | dict.fromkeys(_BINARY, "binary")
_PARTS: Mapping[str, Literal["request", "response", "feedback"]] = {
    "org.kubeflow.serving.inference.request": "request",
    "io.seldon.serving.inference.request": "request",
    "org.kubeflow.serving.inference.response": "response",
    "io.seldon.serving.inference.response": "response",
    "org.kubeflow.serving.feedback": "feedback",
    "io.seldon.serving.feedback": "feedback",
    "io.seldon.serving.inference.feedback": "feedback",
}
MAX_INSTANCES = 1_000
NAME, SHORT_ID = 200, 90
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_USAGE = {
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "total_tokens": "gen_ai.usage.total_tokens",
    "prompt_tokens_details.cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "completion_tokens_details.reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}


def build(ingest: Ingest) -> CloudEvents:
    """Make the decoder."""
    return CloudEvents(ingest)


class CloudEvents(PlainJson):
    """One path, three modes; what is kept is always a batch in JSON."""

    kinds = (KIND,)
    doors = (
        Door(
            "/v1/cloudevents",
            KIND,
            "Take CloudEvents of KServe's and Seldon's loggers: binary, structured or a batch",
            _TYPES,
            {
                "content": {
                    STRUCTURED: {"schema": {"type": "object"}},
                    BATCH: {"schema": {"type": "array", "items": {"type": "object"}}},
                    JSON: {"schema": {"description": "the data of an event whose attributes are headers (ce-...)"}},
                }
            },
        ),
    )

    def __init__(self, ingest: Ingest) -> None:
        self._redact = redactor(ingest.redact) if ingest.keep_text else None
        self._keeper = keeper(ingest)
        self._dimensions = tuple(ingest.segment_attributes)
        self._rows: Callable[[bytes], list[Raw]] = msgspec.json.Decoder(list[Raw]).decode

    def check(self, sent: Sent) -> Taken:
        """Split the events; each has its attributes, and data that is what it says."""
        rows = envelope.rows(sent.encoding, sent.headers, sent.body)
        if len(rows) > sent.max_rows:
            raise TooLarge(f"the body has over {sent.max_rows} events (ingest.max_rows): send smaller batches")
        good: list[bytes] = []
        rejected: list[Rejected] = []
        for index, row in enumerate(rows):
            event = envelope.decoded(row)
            wrong = envelope.problem(row, event)
            if wrong:
                rejected.append(self._rejected(index, wrong, event))
            else:
                good.append(row)
        return Taken(b"[" + b",".join(good) + b"]", len(good), plain_reply(len(good), rejected), rejected)

    def events(self, kind: str, encoding: str, body: bytes) -> Events:  # noqa: ARG002 - there is one of each
        """Turn the events into halves and outcomes."""
        events = Events()
        bodies = Bodies(self._redact, events.ignored)
        for index, row in enumerate(self._rows(body)):
            event = envelope.decoded(bytes(row)) or {}
            part = _PARTS.get(str(event.get("type")))
            found, readable = envelope.data(event)
            if not readable:
                events.ignored[f"data of {str(event.get('datacontenttype'))[:NAME]}"] += 1
            if part is None:
                events.ignored[str(event.get("type"))[:NAME]] += 1
            elif part == "feedback":
                said = _outcomes(event, found, bodies)
                events.outcomes += said
                if not said:
                    events.ignored["feedback without a truth"] += 1
            else:
                half = self._half(event, part, found, bodies)
                if len(half.rows) > MAX_INSTANCES:
                    reason = f"over {MAX_INSTANCES} instances in one request: log fewer at once"
                    events.rejected.append(self._rejected(index, ("data", reason), event))
                else:
                    events.halves.append(half)
        return events

    def _half(self, event: Event, part: Literal["request", "response"], found: object, bodies: Bodies) -> Half:
        name, service = _id(event, _text(event, "requestid") or _text(event, "id")), _service(event)
        places = (_text(event, "namespace"), service, _text(event, "endpoint"), name)
        whole = Half(
            key=msgspec.json.encode(places).decode(),
            id=name,
            service=service,
            part=part,
            ts=_nanoseconds(event.get("time")),
            model=_text(event, "modelid") or service,
            system=_text(event, "namespace") or None,
            step=_text(event, "component") or None,
            segments=self._segments(event),
        )
        if part == "request":
            body = as_object(found) or {}
            chat = "chat" if "messages" in body else "text_completion" if "prompt" in body else None
            return msgspec.structs.replace(whole, rows=bodies.request(found), operation=chat)
        answer = bodies.response(found)
        failed, error = _failure(event, answer)
        return msgspec.structs.replace(
            whole,
            rows=answer.rows,
            model_version=answer.model_version,
            finish_reason=answer.finish_reason,
            tokens=_tokens(answer.usage),
            status="error" if failed else "ok",
            error_class=error,
        )

    def _segments(self, event: Event) -> dict[str, str | int | bool | None] | None:
        """Give the endpoint (default or canary) and the free dimensions: attributes, logged headers, annotations."""
        found: dict[str, str | int | bool | None] = {}
        endpoint = _text(event, "endpoint")
        if endpoint:
            found["endpoint"] = endpoint
        parts = {**_beside(event, "annotations"), **_beside(event, "metadata")}
        for name in self._dimensions:
            value = _text(event, name.lower()) or parts.get(name.lower(), "")
            if value:
                found[name] = value
        return found or None

    def _rejected(self, index: int, wrong: tuple[str, str], event: Event | None) -> Rejected:
        """Turn an event away, and keep it with its data cleaned, as text is."""
        if event is None:
            return Rejected(index, *wrong, b"")
        names = {name: value for name, value in event.items() if name not in ("data", "data_base64")}
        parts = dict(names)
        if "data" in event:
            parts["data"] = self._keeper.cleaned(event["data"])
        elif "data_base64" in event and self._keeper.keep_text:
            parts["data_base64"] = event["data_base64"]
        return self._keeper.rejected(index, wrong, parts, names)


def _outcomes(event: Event, found: object, bodies: Bodies) -> list[Outcome]:
    """Give what feedback says came true, and the reward as an evaluation."""
    body = as_object(found) or {}
    parts = [as_object(body.get(name)) or {} for name in ("response", "request", "truth")]
    named = [(as_object(part.get("meta")) or {}).get("puid") for part in parts]
    request = next((str(name) for name in named if isinstance(name, str) and name), None)
    name = _id(event, request or _text(event, "requestid") or _text(event, "id"))
    values = [value for value in bodies.truth(body.get("truth")) if value is not None]
    whole = Outcome(name, True, None, _nanoseconds(event.get("time")), _service(event), "feedback")
    made = [
        msgspec.structs.replace(whole, prediction_id=item_id(name, n, len(values)), value=value)
        for n, value in enumerate(values[:MAX_INSTANCES])
    ]
    reward = body.get("reward")
    if isinstance(reward, int | float) and (reward or not made):  # zero is what is written for none
        made.append(msgspec.structs.replace(whole, value=reward, evaluation="reward"))
    return made


def _text(event: Event, name: str) -> str:
    """Give an attribute as a name: short, without control characters; empty where it is not there."""
    value = event.get(name)
    return "".join(c for c in value[:NAME] if c.isprintable()).strip() if isinstance(value, str) else ""


def _service(event: Event) -> str:
    return _text(event, "inferenceservicename") or _text(event, "source")


def _id(event: Event, request: str) -> str:
    """Name the prediction: the request, and the node or component that answered, where that is not the predictor."""
    component = _text(event, "component")
    place = _text(event, "modelid") or (component if component != "predictor" else "")
    name = "".join(c for c in request[:SHORT_ID] if c.isprintable())
    return f"{name}-{place[:SHORT_ID]}" if place else name


def _beside(event: Event, name: str) -> dict[str, str]:
    """Read an attribute that holds an object as JSON text: names in lower case, of several values the first."""
    text = event.get(name)
    try:
        parts = as_object(msgspec.json.decode(text)) if isinstance(text, str) else None
    except (msgspec.DecodeError, RecursionError, ValueError):
        return {}
    found: dict[str, str] = {}
    for key, value in (parts or {}).items():
        first = (as_list(value) or [value])[0]
        if isinstance(first, str) and first:
            found[key.lower()] = first[:NAME]
    return found


def _nanoseconds(at: object) -> int | None:
    if not isinstance(at, str):
        return None
    return (times.parsed(at) - _EPOCH) // timedelta(microseconds=1) * 1000


def _failure(event: Event, answer: Answer) -> tuple[bool, str | None]:
    """Say whether a response is an error, and its class: by the status, where it is told, and by the body."""
    code = _text(event, "statuscode")
    if not answer.failed and not (code.isdecimal() and int(code) >= 400):
        return False, None
    return True, aliases().error_class(code, answer.message) or "upstream"


def _tokens(usage: Mapping[str, object]) -> Tokens | None:
    found: dict[str, object] = {}
    for name, alias in _USAGE.items():
        outer, _, inner = name.partition(".")
        value = (as_object(usage.get(outer)) or {}).get(inner) if inner else usage.get(outer)
        if value is not None:
            found[alias] = value
    return tokens(aliases().fields(found)) if found else None

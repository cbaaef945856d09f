"""LiteLLM's standard logging payload, as its generic API callback posts it: one object, an array, or JSON lines.

A payload is read like a span: its parts are attributes under ``litellm.``, and what they mean stands in the table of
names. Payloads of one trace are joined as attempts, as sibling spans are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec
from msgspec import Raw

from watchkeeper.collector import extent
from watchkeeper.collector.decoding import JSON, Door, Events, PlainJson, Rejected, Sent, Taken, plain_reply
from watchkeeper.collector.genai.aliases import unfold_object
from watchkeeper.collector.genai.mapping import NAME, mapper
from watchkeeper.collector.genai.span import Span
from watchkeeper.collector.genai.tokens import number
from watchkeeper.collector.raws import keeper
from watchkeeper.schemas.errors import NotDecodable, TooLarge
from watchkeeper.schemas.events import Check, Prediction
from watchkeeper.schemas.settings import Ingest

KIND = "litellm"
UNNAMED = "litellm"
"""The service of a payload whose key has no alias."""
_TYPES = {JSON: "rows", "application/x-ndjson": "rows", "application/jsonl": "rows"}
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TEXT = ("messages", "response", "model_parameters", "proxy_server_request", "standard_callback_dynamic_params")
_DEPTH = 4
_MAX_CHECKS = 50
Payload = Mapping[str, object]


def build(ingest: Ingest) -> LiteLlm:
    """Make the decoder."""
    return LiteLlm(ingest)


class LiteLlm(PlainJson):
    """One path; the three shapes of a body are told apart by how it begins."""

    kinds = (KIND,)
    doors = (
        Door(
            "/v1/litellm",
            KIND,
            "Take LiteLLM's standard logging payloads: one, an array, or one a line",
            _TYPES,
            {"content": {JSON: {"schema": {"type": ["object", "array"]}}}},
        ),
    )

    def __init__(self, ingest: Ingest) -> None:
        self._mapper = mapper(ingest)
        self._keep_text = ingest.keep_text
        self._keeper = keeper(ingest)

    def check(self, sent: Sent) -> Taken:
        """Split the rows; a row must be an object with an id."""
        rows = _rows(sent.body)
        if len(rows) > sent.max_rows:
            raise TooLarge(f"the body has over {sent.max_rows} rows (ingest.max_rows): send smaller batches")
        rejected: list[Rejected] = []
        good: list[bytes] = []
        for index, row in enumerate(rows):
            payload = _payload(row)
            problem = _problem(row, payload)
            if problem:
                rejected.append(self._rejected(index, problem, payload))
            else:
                good.append(bytes(row))
        reply = plain_reply(len(good), rejected)
        return Taken(b"[" + b",".join(good) + b"]", len(good), reply, rejected)

    def _rejected(self, index: int, wrong: tuple[str, str], payload: Payload | None) -> Rejected:
        """Turn a payload away, and keep it without text; what is none may be text as a whole."""
        if payload is None:
            return Rejected(index, *wrong, b"")
        parts = payload if self._keep_text else {k: v for k, v in payload.items() if k not in _TEXT}
        named = {name: payload[name] for name in ("id", "trace_id") if isinstance(payload.get(name), str)}
        cleaned = {name: part if name.endswith("id") else self._keeper.cleaned(part) for name, part in parts.items()}
        return self._keeper.rejected(index, wrong, cleaned, named)

    def events(self, kind: str, encoding: str, body: bytes) -> Events:  # noqa: ARG002 - there is one of each
        """Turn the payloads into predictions."""
        events = Events(linked="trace")
        for row in _rows(body):
            payload = _payload(row) or {}
            span = self._span(payload)
            made = self._mapper.prediction(span, self._mapper.table.fields(span.attributes))
            if made is None:
                events.ignored["payload"] += 1
                continue
            named = made.service if "litellm.metadata.user_api_key_alias" in span.attributes else UNNAMED
            checks = [*(made.checks or ()), *_checks(payload.get("guardrail_information"))]
            whole = msgspec.structs.replace(made, service=named, checks=checks[:_MAX_CHECKS] or None)
            events.predictions.append(_as_litellm_has_it(whole))
        return events

    def _span(self, payload: Payload) -> Span:
        start, end, first = (number(payload.get(name)) for name in ("startTime", "endTime", "completionStartTime"))
        attributes: dict[str, object] = {}
        parts = payload if self._keep_text else {k: v for k, v in payload.items() if k not in _TEXT}
        unfold_object(attributes, "litellm", parts, _DEPTH)
        if self._keep_text:
            attributes |= {f"litellm.{name}": payload[name] for name in ("messages", "response") if name in payload}
        attributes.setdefault("litellm.call_type", "completion")
        if start and first and payload.get("stream"):
            attributes["gen_ai.response.time_to_first_chunk"] = first - start
        return Span(
            trace_id=_text(payload.get("trace_id")),
            span_id=_text(payload.get("id")),
            parent_id="",
            name=_text(payload.get("model_group") or payload.get("call_type")),
            start_ns=int((start or 0) * 1e9),
            end_ns=int((end or 0) * 1e9),
            failed=payload.get("status") == "failure",
            message=_text(payload.get("error_str")),
            attributes=attributes,
            moments=(),
            resource={},
        )


def _as_litellm_has_it(row: Prediction) -> Prediction:
    """Give the payload's own id: feedback names it."""
    own = row.id.removeprefix(f"{row.trace_id}-")
    return msgspec.structs.replace(row, id=own, trace_id=row.trace_id or None)


def _rows(body: bytes) -> Sequence[Raw]:
    """Split a body into its rows, unread."""
    start = body.lstrip()[:1]
    try:
        if start == b"[":
            return msgspec.json.decode(body, type=list[Raw])
        return msgspec.json.Decoder(Raw).decode_lines(body)
    except _UNREADABLE:
        pass
    try:
        return [msgspec.json.decode(body, type=Raw)]  # one object over several lines
    except _UNREADABLE as error:
        lines = [Raw(line) for line in body.splitlines() if line.strip()]
        if any(_payload(line) for line in lines):
            return lines  # a broken line costs no other
        raise NotDecodable(f"the body is no JSON: {error}") from None


def _payload(row: Raw) -> Payload | None:
    try:
        found: object = msgspec.json.decode(row)
    except _UNREADABLE:
        return None
    return cast("Payload", found) if isinstance(found, dict) else None


def _problem(row: Raw, payload: Payload | None) -> tuple[str, str] | None:
    """Say what makes a payload unusable: (field, reason). Text may be long and deep, for it is not kept as it came."""
    if payload is None:
        return "", "a payload is a JSON object"
    if not _text(payload.get("id")):
        return "id", "a payload has an id"
    if extent.may_exceed((bytes(row),)):
        rest = msgspec.json.encode({name: part for name, part in payload.items() if name not in _TEXT})
        beyond = extent.exceeded(rest)
        return ("", beyond) if beyond else None
    return None


def _text(value: object) -> str:
    """Give a text that may be an id: short, without control characters."""
    return "".join(c for c in value[:NAME] if c.isprintable()) if isinstance(value, str) else ""


def _checks(found: object) -> list[Check]:
    """Give what guardrails of the proxy said."""
    checks: list[Check] = []
    for entry in cast("list[object]", found) if isinstance(found, list) else [found]:
        if isinstance(entry, dict):
            guard = cast("dict[str, object]", entry)
            name = _text(guard.get("guardrail_name"))
            passed = guard.get("guardrail_status") == "success"
            if name:
                checks.append(Check(name=name, passed=passed, blocked=not passed))
    return checks

"""CloudEvents over HTTP: an event in headers and body (binary), as a JSON object (structured), or an array (batch)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import unquote

import msgspec
from msgspec import Raw

from watchkeeper.collector import extent, times
from watchkeeper.schemas.errors import NotDecodable

Event = Mapping[str, object]
_REQUIRED = ("specversion", "id", "source", "type")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)
_HEADER = "ce-"


def rows(mode: str, headers: Mapping[str, str], body: bytes) -> list[bytes]:
    """Give the events of a request, each as JSON of the structured form; they may still be wrong.

    Raises:
        NotDecodable: nothing of it can be read.
    """
    if mode == "binary":
        return [_from_headers(headers, body)]
    try:
        if mode == "batch":
            return [bytes(raw) for raw in msgspec.json.decode(body, type=list[Raw])]
        return [bytes(msgspec.json.decode(body, type=Raw))]
    except _UNREADABLE as error:
        raise NotDecodable(f"the body is no CloudEvent in JSON ({mode} mode): {error}"[:300]) from None


def decoded(row: bytes) -> Event | None:
    """Give one event; None for what is no JSON object."""
    try:
        found: object = msgspec.json.decode(row)
    except _UNREADABLE:
        return None
    return cast("Event", found) if isinstance(found, dict) else None


def problem(row: bytes, event: Event | None) -> tuple[str, str] | None:
    """Say what makes an event unusable: (field, reason), or None."""
    if event is None:
        return "", "a CloudEvent is a JSON object"
    deep = extent.exceeded(row, texts=False)
    if deep:
        return "data", deep
    for name in _REQUIRED:
        value = event.get(name)
        if not isinstance(value, str) or not value.strip():
            return name, f"a CloudEvent has a text {name!r} ({_HEADER}{name} in binary mode)"
    at = event.get("time")
    if at is not None:
        wrong = times.problem(at) if isinstance(at, str) else "a time is text (RFC 3339)"
        if wrong:
            return "time", wrong
    _, readable = data(event)
    if not readable and "json" in str(event.get("datacontenttype") or ""):
        return "data", "the data is not JSON, as datacontenttype says"
    return None


def data(event: Event) -> tuple[object, bool]:
    """Give what an event carries, and whether it can be read: as JSON, or as text."""
    if event.get("data") is not None:
        value = event["data"]
        if not isinstance(value, str):
            return value, True
        found = _json(value.encode(errors="replace"))
        return (value if found is None else found[0]), True
    encoded = event.get("data_base64")
    if encoded is None:
        return None, True
    try:
        found = _json(base64.b64decode(encoded, validate=True)) if isinstance(encoded, str) else None
    except (binascii.Error, ValueError):
        found = None
    return (None, False) if found is None else (found[0], True)


def _from_headers(headers: Mapping[str, str], body: bytes) -> bytes:
    event: dict[str, object] = {
        name.lower().removeprefix(_HEADER): unquote(value)
        for name, value in headers.items()
        if name.lower().startswith(_HEADER)
    }
    if not event:
        raise NotDecodable(
            "no header begins with ce-, so this is no CloudEvent in binary mode: send those headers, "
            "or application/cloudevents+json"
        )
    media = headers.get("content-type")
    if media:
        event["datacontenttype"] = media
    for name in ("data", "data_base64"):
        event.pop(name, None)
    found = _json(body) if body else None
    if found is not None:
        event["data"] = found[0]
    elif body:
        event["data_base64"] = base64.b64encode(body).decode()
    return msgspec.json.encode(event)


def _json(text: bytes) -> Sequence[object] | None:
    """Read JSON: the value in a tuple, or None. NaN and Infinity, which Python's servers write, are null."""
    try:
        return (msgspec.json.decode(text),)
    except _UNREADABLE:
        pass
    try:
        found: object = json.loads(text, parse_constant=lambda _: None)
    except _UNREADABLE:
        return None
    return (found,)

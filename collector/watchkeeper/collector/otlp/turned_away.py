"""A span, record or metric that was turned away, as a request of its own in JSON: to be corrected and sent again.

Attributes that are not looked at are left out, for prompts and answers are among them; so is the body of a record. What
is kept is cleaned, and has an end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from watchkeeper.collector.otlp.signals import Signal
from watchkeeper.collector.raws import SHORT, RawKeeper

MAX_WHOLE = 200
"""Rows of one request that are kept whole; of the others the names are. Other requests wait meanwhile."""
_TEXT = frozenset({"stringValue", "message"})
_LEFT_OUT = frozenset({"body", "links"})
_NAMES = ("name", "traceId", "spanId")
_DEPTH = 32
Json = Mapping[str, object]


@dataclass(slots=True)
class Keeping:
    """Keeps the rows of one request. ``wanted`` names the attributes that are kept; None keeps all."""

    signal: Signal
    keeper: RawKeeper
    wanted: frozenset[str] | None
    kept: int = 0

    def row(self, resource: Mapping[str, object], row: object) -> bytes:
        """Give the request that holds just this row, as JSON; nothing for what is no object."""
        if not isinstance(row, dict):
            return b""
        found = cast("Json", row)
        named = {name: self._walk(found[name], _DEPTH) for name in _NAMES if name in found}
        self.kept += 1
        if self.kept > MAX_WHOLE:
            return self.keeper.encoded(self._request({}, named), named)
        whole = {name: self._part(name, value) for name, value in found.items() if name not in _LEFT_OUT}
        if self.wanted is None and "body" in found:
            whole["body"] = self._walk(found["body"], _DEPTH)
        return self.keeper.encoded(self._request(resource, whole), self._request({}, named))

    def _request(self, resource: Mapping[str, object], row: Json) -> Json:
        part, scope, rows = (_camel(name) for name in self.signal.parts)
        attributes = [
            {"key": name, "value": _value(value, self.keeper)}
            for name, value in resource.items()
            if self.wanted is None or name in self.wanted
        ]
        return {part: [{"resource": {"attributes": attributes}, scope: [{rows: [row]}]}]}

    def _part(self, name: str, value: object) -> object:
        if name == "attributes":
            return self._attributes(value)
        if name == "events" and isinstance(value, list):
            return [
                self._event(cast("Json", event)) for event in cast("list[object]", value) if isinstance(event, dict)
            ]
        return self._walk(value, _DEPTH)

    def _event(self, event: Json) -> Json:
        return {name: self._part(name, value) for name, value in event.items() if name != "events"}

    def _attributes(self, pairs: object) -> object:
        if not isinstance(pairs, list):
            return self._walk(pairs, _DEPTH)
        found = [cast("Json", pair) for pair in cast("list[object]", pairs) if isinstance(pair, dict)]
        return [self._walk(pair, _DEPTH) for pair in found if self.wanted is None or pair.get("key") in self.wanted]

    def _walk(self, value: object, depth: int) -> object:
        """Clean what may be text; ids and times are neither, and stay as they are."""
        if isinstance(value, str):
            return value[:SHORT]
        if not depth or not isinstance(value, dict | list):
            return None if isinstance(value, dict | list) else value
        if isinstance(value, list):
            return [self._walk(part, depth - 1) for part in cast("list[object]", value)]
        return {
            name: self.keeper.cleaned(part) if name in _TEXT else self._walk(part, depth - 1)
            for name, part in cast("Json", value).items()
        }


def service_of(request: Json) -> str | None:
    """Name the service of a row that was kept here; None where there is none, or what it says is anything else.

    >>> service_of({"resourceSpans": [7, {"resource": {"attributes": [{"key": "service.name"}]}}]})
    """
    for parts in request.values():
        for part in _objects(parts):
            for resource in _objects([part.get("resource")]):
                for pair in _objects(resource.get("attributes")):
                    if pair.get("key") == "service.name":
                        value = pair.get("value")
                        name = cast("Json", value).get("stringValue") if isinstance(value, dict) else None
                        return name if isinstance(name, str) else None
    return None


def _objects(values: object) -> list[Json]:
    """Give the objects of a list, whatever else is in it and whatever it is."""
    if not isinstance(values, list):
        return []
    return [cast("Json", value) for value in cast("list[object]", values) if isinstance(value, dict)]


def _value(value: object, keeper: RawKeeper) -> Json:
    """Write a plain value as OTLP has it."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(part, keeper) for part in cast("list[object]", value)]}}
    if isinstance(value, dict):
        parts = cast("Json", value).items()
        return {"kvlistValue": {"values": [{"key": name, "value": _value(part, keeper)} for name, part in parts]}}
    return {"stringValue": keeper.cleaned(str(value))}


def _camel(name: str) -> str:
    """Give a name as JSON has it.

    >>> _camel("resource_spans")
    'resourceSpans'
    """
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)

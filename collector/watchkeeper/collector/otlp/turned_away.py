"""A span, record or metric that was turned away, as a request of its own in JSON: to be corrected and sent again.

Attributes that are not looked at are left out, for prompts and answers are among them; so is the body of a record. What
is kept is cleaned, and has an end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from watchkeeper.collector.decoding import Rejected
from watchkeeper.collector.otlp.signals import Signal
from watchkeeper.collector.raws import SHORT, RawKeeper

MAX_KEPT = 2 << 20
"""Bytes of what one request is turned away with that are kept whole; of the rows beyond, the names are, and their
reasons say so. Other requests wait meanwhile.
"""
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

    @property
    def full(self) -> bool:
        """Whether of more rows only the names are kept."""
        return self.kept >= MAX_KEPT

    def rejected(self, index: int, wrong: tuple[str, str], resource: Mapping[str, object], row: object) -> Rejected:
        """Turn a row away: as the request that holds just this row, as JSON; nothing is kept of what is no object."""
        if not isinstance(row, dict):
            return Rejected(index, *wrong, b"")
        made = self._kept(index, wrong, resource, cast("Json", row))
        self.kept += len(made.raw)
        return made

    def _kept(self, index: int, wrong: tuple[str, str], resource: Mapping[str, object], found: Json) -> Rejected:
        names = self._request({}, {name: self._walk(found[name], _DEPTH) for name in _NAMES if name in found})
        if self.full:
            return self.keeper.named(index, wrong, names)
        whole = {name: self._part(name, value) for name, value in found.items() if name not in _LEFT_OUT}
        if self.wanted is None and "body" in found:
            whole["body"] = self._walk(found["body"], _DEPTH)
        return self.keeper.rejected(index, wrong, self._request(resource, whole), names)

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

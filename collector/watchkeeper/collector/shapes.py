"""Decodes the features of many events at once into columns, on a struct type made of the columns that are known.

A struct of known names and types is decoded in half the time of dicts and falls apart into columns in one pass. What
does not fit it (a new name, another type, a number beyond a float) makes it fail: then the slice is decoded row by
row, exactly as it was sent, and the shape learns, so that the next slice fits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec
import polars as pl
from msgspec import Raw
from msgspec.structs import astuple

from watchkeeper.schemas.events import EMPTY
from watchkeeper.store.facts.batch import Fields, Wide
from watchkeeper.store.facts.features import MAX_FEATURES, Kind, Role
from watchkeeper.store.facts.model_rows import wide

Kinds = Mapping[str, Kind]
UNNAMEABLE = re.compile(r'[\x00-\x1f"\\]')
"""What msgspec has in no field's name: events with such a name are always decoded row by row."""
_UNFIT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TYPES: Mapping[Kind | None, Any] = {"numeric": float | None, "category": str | bool | None, None: Any}
_PLAIN: Mapping[Kind, frozenset[type]] = {
    "numeric": frozenset({float, int, type(None)}),
    "category": frozenset({str, bool, type(None)}),
}
MAX_LEARNED = 2 * MAX_FEATURES
"""Names that are kept in a column while they wait for one in the store: past it they stay with their rows."""


class Shapes:
    """The shapes of every model's features and segments; ``kinds`` gives the columns that the store has by now."""

    def __init__(self, kinds: Callable[[str, str, Role], Kinds]) -> None:
        self._kinds = kinds
        self._shapes: dict[tuple[str, str, Role], _Shape] = {}

    def decode(self, service: str, model: str, role: Role, rows: Sequence[object]) -> Wide:
        """Give columns of one model's rows: each an object as JSON (``Raw``), a mapping, or None."""
        if all(row is EMPTY or row is None for row in rows):
            return Wide()
        key = (service, model, role)
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = _Shape()
        shape.fit(self._kinds(service, model, role))
        return shape.columns(rows)


class _Shape:
    """One model's names and types, and the decoder made of them."""

    def __init__(self) -> None:
        self._kinds: Kinds = {}
        self._loose: dict[str, None] = {}
        """Names whose values were not all of their column's type, or that have no column (yet): decoded as they are."""
        self._names: list[str] = []
        self._decode: Callable[[bytes], list[Any]] | None = None

    def fit(self, kinds: Kinds) -> None:
        """Take over what columns the store has made."""
        if kinds != self._kinds:
            for name, kind in kinds.items():
                if self._kinds.get(name) != kind:
                    self._loose.pop(name, None)
            self._kinds = dict(kinds)
            self._decode = None

    def columns(self, rows: Sequence[object]) -> Wide:
        """Decode a slice."""
        if set(map(type, rows)) == {Raw}:
            try:
                return self._by_struct(cast("Sequence[Raw]", rows))
            except _UNFIT:
                pass
        decoded = [fields_of(row) if isinstance(row, Raw) else cast("Fields | None", row) for row in rows]
        self._learn(decoded)
        return wide(decoded, {*self._kinds, *self._loose})

    def _by_struct(self, rows: Sequence[Raw]) -> Wide:
        if self._decode is None:
            self._decode = self._decoder()
        structs = self._decode(b"[" + b",".join([row or b"{}" for row in rows]) + b"]")
        values = zip(self._names, zip(*map(astuple, structs), strict=True), strict=False)
        return Wide({name: typed(name, column, self._kind(name)) for name, column in values})

    def _decoder(self) -> Callable[[bytes], list[Any]]:
        names = (*self._kinds, *(name for name in self._loose if name not in self._kinds))
        self._names = [name for name in names if not UNNAMEABLE.search(name)]
        fields = [
            (f"f{number}", _TYPES[self._kind(name)], msgspec.field(default=None, name=name))
            for number, name in enumerate(self._names)
        ]
        struct = msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)
        return msgspec.json.Decoder(list[struct]).decode

    def _kind(self, name: str) -> Kind | None:
        return None if name in self._loose else self._kinds.get(name)

    def _learn(self, rows: Sequence[Fields | None]) -> None:
        sent = set[str]().union(*[row for row in rows if row]) - self._loose.keys()
        new = {name for name in sent & self._kinds.keys() if not self._plain(name, rows)}
        new.update(sorted(sent - self._kinds.keys())[: max(0, MAX_LEARNED - len(self._loose))])
        if new:
            self._loose |= dict.fromkeys(sorted(new))
            self._decode = None

    def _plain(self, name: str, rows: Sequence[Fields | None]) -> bool:
        return {type(row.get(name)) for row in rows if row} <= _PLAIN[self._kinds[name]]


def typed(name: str, values: Sequence[object], kind: Kind | None) -> pl.Series | Sequence[object]:
    """Give a typed series where that loses nothing."""
    if kind == "numeric":
        return pl.Series(name, values, pl.Float64, strict=True)
    if kind is None:
        return values
    try:
        return pl.Series(name, values, pl.String, strict=True)
    except TypeError:  # truth values among them, or nothing else
        return values if str in map(type, values) else pl.Series(name, values, pl.Boolean, strict=True).cast(pl.String)


def fields_of(raw: Raw) -> Fields | None:
    """Decode one object of names and values; a number too great for a float is infinite, and will be counted as that.

    >>> fields_of(msgspec.Raw(b'{"a": 1e400, "b": 2}'))
    {'a': inf, 'b': 2}
    """
    if raw is EMPTY:
        return None
    try:
        value: Any = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        value = json.loads(bytes(raw), parse_int=lambda digits: float(digits) if len(digits) > 300 else int(digits))
    return cast("Fields | None", value)

"""Bodies of one model whose columns the store knows: decoded once, in the request, and kept as columns.

Nearly every body is of that kind, and then its JSON need not be read again. What does not fit in any way (several
models, a new feature, another type, a row that breaks a rule) is not refused here: nothing is said of it, and the
decoder of events looks at it row by row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
import polars as pl
from msgspec import structs

from watchkeeper.collector import columns, framed, shapes, times
from watchkeeper.collector.decoding import Sent
from watchkeeper.collector.extent import MAX_STRING
from watchkeeper.schemas.events import Prediction
from watchkeeper.store.facts.features import Kind, ModelColumns

MODELS_KEPT = 256
"""Models whose decoders are kept; a decoder is made in some milliseconds."""
LEAST_BYTES = 50_000
"""Below some hundred events a body is cheaper as it came: columns cost half a millisecond, however few the rows are."""
_LOOKED_AT = 4096
"""Bytes in which a body's first event says what it is of."""
_SERVICE = re.compile(rb'"service"\s*:\s*"([^"\\]*)"')
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]*)"')
_IDS = ("id", "trace_id", "parent_id", "conversation")
_TIMES = ("ts", "needed_by", "used_at")
_ROWS = ("features", "segments")
_ALWAYS = frozenset({"id", "service"})
_TEXT: Any = Annotated[str, msgspec.Meta(max_length=MAX_STRING)]
_TYPES: Mapping[Kind, Any] = {"numeric": float | None, "category": _TEXT | bool | None}
_FIELDS: Mapping[str, structs.FieldInfo] = {
    field.name: field for field in structs.fields(Prediction) if field.name not in ("features", "segments", "extra")
}
_HINTS: Mapping[str, Any] = get_type_hints(Prediction, include_extras=True)
_UNFIT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
Values = Mapping[str, Sequence[Any]]


class Fitted:
    """Keeps a decoder for each model that sends."""

    def __init__(self) -> None:
        self._fits: dict[tuple[str, str], _Fit] = {}

    def frame(self, sent: Sent) -> pl.DataFrame | None:
        """Give all of a body as columns, every value looked at; None where anything does not fit."""
        if len(sent.body) < LEAST_BYTES:
            return None
        try:
            model = _first(sent.body)
            known = sent.known(*model) if model else None
            if not (model and known) or not (sent.services is None or model[0] in sent.services):
                return None
            if shapes.UNNAMEABLE.search("".join([*known.features, *known.segments])):
                return None
            return self._fit(model, known).frame(sent)
        except _UNFIT:
            return None

    def _fit(self, model: tuple[str, str], known: ModelColumns) -> _Fit:
        fit = self._fits.pop(model, None)
        if fit is None or fit.known is not known:
            fit = _Fit(model, known)
        self._fits[model] = fit  # the last one used is the last one to go
        if len(self._fits) > MODELS_KEPT:
            del self._fits[next(iter(self._fits))]
        return fit


class _Fit:
    """One model's decoder, on the fields that its events were seen to have."""

    def __init__(self, model: tuple[str, str], known: ModelColumns) -> None:
        self.known = known
        self._model = model
        self._wide = _Decoder(model, known, frozenset(_FIELDS))
        self._narrow: _Decoder | None = None

    def frame(self, sent: Sent) -> pl.DataFrame | None:
        if not sent.body.isascii():
            sent.body.decode()  # text that msgspec skips may be no UTF-8
        values = self._values(sent)
        count = len(values["id"])
        ends = sent.body.count(b"\n") - count if sent.encoding == "ndjson" else 0  # two on a line, or one over several
        if not 0 < count <= sent.max_rows or ends not in (0, -1) or not _sound(values):
            return None
        free = _free(values, self.known)
        return None if free is None else pl.DataFrame([*columns.own(values), *free])

    def _values(self, sent: Sent) -> Values:
        if self._narrow is not None:
            try:
                return self._narrow.values(sent)
            except msgspec.ValidationError:
                pass
        values = self._wide.values(sent)
        before = self._narrow.fields if self._narrow else _ALWAYS
        fields = before | {name for name, field in _FIELDS.items() if _sent(field, values[name])}
        self._narrow = self._wide if self._narrow and fields == before else _Decoder(self._model, self.known, fields)
        return values


class _Decoder:
    """Decodes bodies into columns; another model, or a field or name that it does not know, makes it fail."""

    def __init__(self, model: tuple[str, str], known: ModelColumns, fields: frozenset[str]) -> None:
        self.fields = fields
        features = {name: _TYPES[kind] for name, kind in known.features.items()}
        segments: Mapping[str, object] = dict.fromkeys(known.segments, _TEXT | int | bool | None)
        own = [field for name, field in _FIELDS.items() if name in fields]
        self._names = (*(field.name for field in own), *_ROWS)
        self._nested = ([framed.FEATURES + name for name in features], [framed.SEGMENTS + name for name in segments])
        named = {"service": model[0], "model": model[1]}
        struct = msgspec.defstruct(
            "Fitted",
            [
                *(_field(field, named.get(field.name)) for field in own),
                ("features", _row(features) | None, None),
                ("segments", _row(segments) | None, None),
            ],
            forbid_unknown_fields=True,
            kw_only=True,
            gc=False,
        )
        self._lines: Callable[[bytes], list[Any]] = msgspec.json.Decoder(struct).decode_lines
        self._array: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[struct]).decode

    def values(self, sent: Sent) -> Values:
        """Give what each field holds, row by row; what is in features and segments under prefixed names."""
        events = self._lines(sent.body) if sent.encoding == "ndjson" else self._array(sent.body)
        if not events:
            return {"id": ()}
        values = columns.fields(events, self._names)
        features, segments = (
            columns.fields(values.pop(rows), names) for rows, names in zip(_ROWS, self._nested, strict=True)
        )
        return values | features | segments


def _field(field: structs.FieldInfo, only: str | None) -> tuple[Any, ...]:
    kind = _HINTS[field.name] if only is None else Literal[only]
    required = field.default is msgspec.NODEFAULT or only not in (None, field.default)
    return (field.name, kind) if required else (field.name, kind, field.default)


def _row(types: Mapping[str, Any]) -> Any:
    fields = [
        (f"f{place}", kind, msgspec.field(default=None, name=name)) for place, (name, kind) in enumerate(types.items())
    ]
    return msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)


def _first(body: bytes) -> tuple[str, str] | None:
    """Say what the first event seems to be of: a guess, for the decoder's kind is asked of every row."""
    start = body[:_LOOKED_AT]
    service, model = _SERVICE.search(start), _MODEL.search(start)
    return (service[1].decode(), model[1].decode() if model else "default") if service else None


def _sent(field: structs.FieldInfo, values: Sequence[object]) -> bool:
    return values != (field.default,) * len(values)


def _sound(values: Values) -> bool:
    """Say whether all keep the rules that types cannot say."""
    for name in _TIMES:
        moments = _there(values.get(name, ()))
        if moments and not times.plausible(moments):
            return False
    return all("".join(_there(values.get(name, ()))).isprintable() for name in _IDS)


def _there(column: Sequence[Any]) -> Sequence[Any]:
    return [value for value in column if value is not None] if None in column else column


def _free(values: Values, known: ModelColumns) -> list[pl.Series] | None:
    """Give features and segments as columns, but those that are empty; None where one is of mixed types."""
    made: list[pl.Series] = []
    for name, kind in known.features.items():
        column = values[framed.FEATURES + name]
        series = shapes.typed(framed.FEATURES + name, column, kind)
        if not isinstance(series, pl.Series):
            return None
        made.append(series)
    for name in known.segments:
        column = [
            value if value is None or type(value) is str else _text(value) for value in values[framed.SEGMENTS + name]
        ]
        made.append(pl.Series(framed.SEGMENTS + name, column, pl.String))
    return [series for series in made if series.null_count() < series.len()]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

"""The second decoding of predictions: their bytes were checked in the request, so that nothing is checked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast, get_type_hints

import msgspec
from msgspec import Raw, structs

from watchkeeper.schemas.events import EMPTY, Prediction


def _field(field: structs.FieldInfo, hint: object) -> tuple[str, Any, Any]:
    kind = Raw if field.name == "segments" else hint
    if field.default_factory is not msgspec.NODEFAULT or field.name == "segments":
        return field.name, kind, msgspec.field(default=EMPTY)
    if field.default is msgspec.NODEFAULT:
        return field.name, kind, msgspec.field()
    return field.name, kind, msgspec.field(default=field.default)


_HINTS = get_type_hints(Prediction)
_STRUCT: Any = msgspec.defstruct(
    "PlainPrediction",
    [_field(field, _HINTS[field.name]) for field in structs.fields(Prediction)],
    forbid_unknown_fields=True,
    frozen=True,
    gc=False,
)
"""A prediction without the limits of its fields, its segments as they came; it refuses a field that it does not know.

``gc=False``: what JSON makes holds no cycles, and the collector would look at hundreds of thousands of them.
"""
_lines: Callable[[bytes], list[Any]] = msgspec.json.Decoder(_STRUCT).decode_lines
_array: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[_STRUCT]).decode


def predictions(body: bytes, encoding: str) -> list[Prediction]:
    """Decode predictions that were found good.

    Raises:
        msgspec.ValidationError: one has a field that the schema does not have.
    """
    return cast("list[Prediction]", _lines(body) if encoding == "ndjson" else _array(body))

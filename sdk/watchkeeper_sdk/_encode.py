"""From a host's event to one line of strict JSON; whatever the host passed, a line comes out."""

from __future__ import annotations

import contextlib
import json
import math
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, cast

from ._fields import PREDICTION_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_TEXT = 200
"""Characters that are kept of an object that JSON cannot carry."""
_MAX_DEPTH = 16
_MAX_VALUES = 20_000


class Encoder:
    """Encodes events; tells through ``adjust`` what travels differently from how it was given.

    For one thread: it keeps notes of the event in hand.
    """

    def __init__(self, common: Mapping[str, Mapping[str, object]], adjust: Callable[[str, str], None]) -> None:
        self._common = common
        self._adjust = adjust
        self._notes: list[tuple[str, str]] = []
        self._values_left = 0
        # Strict JSON: a NaN is an error here, as it would spoil the line for the server.
        self._json = json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=self._stand_in
        )

    def line(self, kind: str, fields: Mapping[str, object]) -> bytes:
        """Encode one event as one line; raises only where even the repaired event cannot be written."""
        row = {**self._common[kind], **{k: v for k, v in fields.items() if v is not None}}
        if kind == "predictions" and not row.keys() <= PREDICTION_FIELDS:
            unknown = sorted(row.keys() - PREDICTION_FIELDS)
            row = _with_extra(row)
            message = f"a prediction has no field {', '.join(unknown)}: sent under extra"
            self._adjust("unknown_field", message)
        self._notes.clear()
        try:
            text = self._json.encode(row)
        except (ValueError, TypeError, RecursionError, RuntimeError):
            # NaN, odd keys, loops, or a value that changed meanwhile: rare, so it may be slow.
            self._notes.clear()
            self._values_left = _MAX_VALUES
            text = self._json.encode(self._repaired(row, 0))
        for note in self._notes:
            self._adjust(*note)
        return text.encode("utf-8", "replace") + b"\n"

    def _stand_in(self, value: object) -> object:
        """What to send for an object that JSON does not know: a number or a time if it is one, else text."""
        try:
            plain = _plain(value)
            if plain is None:
                self._note_text(value)
                plain = str(value)[:MAX_TEXT]
        except Exception:  # noqa: BLE001  # a host's object may raise anything at all
            self._note_text(value)
            return f"<{type(value).__name__}>"
        return plain

    def _note_text(self, value: object) -> None:
        self._notes.append(("as_text", f"an object of type {type(value).__name__} was sent as text"))

    def _repaired(self, value: object, depth: int) -> object:
        self._values_left -= 1
        if depth >= _MAX_DEPTH or self._values_left < 0:  # a loop, or more than any event should hold
            self._note_text(value)
            return f"<{type(value).__name__}>"
        if isinstance(value, dict):
            items = list(cast("dict[object, object]", value).items())
            return {key if isinstance(key, str) else str(key): self._repaired(item, depth + 1) for key, item in items}
        if isinstance(value, (list, tuple)):
            return [self._repaired(item, depth + 1) for item in cast("list[object]", value)]
        if isinstance(value, float) and not math.isfinite(value):
            self._notes.append(("nonfinite", "a number that is NaN or infinite was sent as null"))
            return None
        if value is None or isinstance(value, (str, int, float)):
            return value
        return self._repaired(self._stand_in(value), depth + 1)


def _with_extra(row: dict[str, object]) -> dict[str, object]:
    """Move what is no field of a prediction under ``extra``, so that a mistyped name loses nothing."""
    unknown = {name: row.pop(name) for name in row.keys() - PREDICTION_FIELDS}
    given = row.get("extra")
    extra = cast("dict[str, object]", given) if isinstance(given, dict) else {}
    row["extra"] = {**extra, **unknown}
    return row


def _plain(value: object) -> str | float | None:
    """Give the plain number, text or time behind an object; None when there is none."""
    if isinstance(value, Enum):
        value = cast("object", value.value)
    item = getattr(value, "item", None)
    if callable(item):
        with contextlib.suppress(ValueError, RuntimeError):  # an array or tensor of many
            value = item()
    isoformat = getattr(value, "isoformat", None)
    if callable(isoformat):
        value = isoformat()
    if isinstance(value, Decimal):
        value = float(value)
    return value if isinstance(value, (str, int, float)) else None

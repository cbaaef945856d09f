"""From a host's event to strict JSON, on the host's thread; whatever the host passed, a line comes out.

The C encoder of the standard library is made once and called directly: ``json.dumps`` makes one at each call.
What it cannot write (NaN, odd keys, loops, objects) goes a slower way that repairs it.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from json import encoder as _encoder
from typing import TYPE_CHECKING, cast

from ._fields import PREDICTION_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TEXT = 200
"""Characters that are kept of an object that JSON cannot carry."""
_MAX_DEPTH = 16
_MAX_VALUES = 20_000


class Encoder:
    """Encodes events; tells through ``adjust`` what travels differently from how it was given. Threads may share it."""

    def __init__(self, common: Mapping[str, Mapping[str, object]], adjust: Callable[[str, str], None]) -> None:
        self._common = common
        self._heads = {kind: _write(fields)[:-1] for kind, fields in common.items()}
        self._adjust = adjust

    def text(self, kind: str, fields: dict[str, object]) -> bytes:
        """Encode one event; raises only where even the repaired event cannot be written."""
        common = self._common[kind]
        try:
            plain = (
                None not in fields.values()
                and common.keys().isdisjoint(fields)
                and (kind != "predictions" or PREDICTION_FIELDS.issuperset(fields))
            )
            if plain:
                # The fields that every event of this client carries are written already.
                return f"{self._heads[kind]},{_write(fields)[1:]}".encode("utf-8", "replace")
        except Exception:  # noqa: BLE001, S110  # a host's object may raise anything at all, even when compared
            pass
        return self._slow(kind, {**common, **{name: value for name, value in fields.items() if value is not None}})

    def _slow(self, kind: str, row: dict[str, object]) -> bytes:
        if kind == "predictions" and not row.keys() <= PREDICTION_FIELDS:
            unknown = sorted(row.keys() - PREDICTION_FIELDS)
            row = _with_extra(row)
            self._adjust("unknown_field", f"a prediction has no field {', '.join(unknown)}: sent under extra")
        try:
            text = _write(row)
        except (ValueError, TypeError, RecursionError, RuntimeError):
            repair = _Repair()
            text = _write(repair.repaired(row, 0))
            for note in repair.notes:
                self._adjust(*note)
        return text.encode("utf-8", "replace")


class _Repair:
    """Makes plain values of one event, and keeps notes of what changed."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []
        self._values_left = _MAX_VALUES

    def repaired(self, value: object, depth: int) -> object:
        self._values_left -= 1
        if depth >= _MAX_DEPTH or self._values_left < 0:  # a loop, or more than any event should hold
            self._note_text(value)
            return f"<{type(value).__name__}>"
        if isinstance(value, dict):
            items = list(cast("dict[object, object]", value).items())
            return {key if isinstance(key, str) else str(key): self.repaired(item, depth + 1) for key, item in items}
        if isinstance(value, (list, tuple)):
            return [self.repaired(item, depth + 1) for item in cast("list[object]", value)]
        if isinstance(value, float) and not math.isfinite(value):
            self.notes.append(("nonfinite", "a number that is NaN or infinite was sent as null"))
            return None
        if value is None or isinstance(value, (str, int, float)):
            return value
        return self.repaired(self._stand_in(value), depth + 1)

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
        self.notes.append(("as_text", f"an object of type {type(value).__name__} was sent as text"))


def _only_plain(value: object) -> object:
    """What the fast way writes for an object: the plain value behind it; without one, the slow way is due."""
    plain = _plain(value)
    if plain is None:
        raise TypeError(type(value).__name__)
    return plain


def _fast_writer() -> Callable[[object], str]:
    strict = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_only_plain)
    make: Callable[..., Callable[[object, int], tuple[str, ...]]] | None = getattr(_encoder, "c_make_encoder", None)
    if make is None:  # an interpreter without the C part
        return strict.encode
    # No markers: a loop ends as a RecursionError, which is rare and caught.
    chunks = make(None, _only_plain, _encoder.encode_basestring, None, ":", ",", False, False, False)
    join = "".join
    try:  # it is no public part of the library: what it gives is looked at once
        if join(chunks({"a": [1.5, "ä", None]}, 0)) != '{"a":[1.5,"ä",null]}':
            return strict.encode
    except Exception:  # noqa: BLE001
        return strict.encode
    return lambda value: join(chunks(value, 0))


_write = _fast_writer()


def _with_extra(row: dict[str, object]) -> dict[str, object]:
    """Move what is no field of a prediction under ``extra``, so that a mistyped name loses nothing."""
    unknown = {name: row.pop(name) for name in row.keys() - PREDICTION_FIELDS}
    given = row.get("extra")
    extra = cast("dict[str, object]", given) if isinstance(given, dict) else {}
    row["extra"] = {**extra, **unknown}
    return row


def _plain(value: object) -> object:
    """Give the plain number, text, time or dict behind an object; None when there is none."""
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
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    return value if isinstance(value, (str, int, float)) else None

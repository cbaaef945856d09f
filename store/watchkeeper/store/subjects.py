"""Whom an erasure is about: a prediction's id, or everything in which a name has a value."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from watchkeeper.schemas.errors import InputError

_IDS = ("id", "prediction_id")


@dataclass(frozen=True, slots=True)
class Subject:
    """A name and the value that it must have; the name ``id`` is that of predictions."""

    key: str
    value: str

    @property
    def digest(self) -> str:
        """Give what the audit log keeps of it: a SHA-256 that the one who knows the subject can compute again."""
        return hashlib.sha256(f"{self.key}={self.value}".encode()).hexdigest()


def parse(text: str) -> Subject:
    """Read ``KEY=VALUE``, or a prediction's id.

    >>> parse("user_id=u-17"), parse("p-1").key
    (Subject(key='user_id', value='u-17'), 'id')
    """
    key, sign, value = text.partition("=")
    found = Subject(key.strip(), value.strip()) if sign else Subject("id", text.strip())
    if not found.key or not found.value:
        raise InputError(f"{text!r} names nobody: give KEY=VALUE, such as user_id=u-17, or a prediction's id")
    return found


def holds(document: object, subject: Subject) -> bool:
    """Say whether the name has the value anywhere in a JSON document.

    >>> holds({"extra": [{"user_id": 17}]}, Subject("user_id", "17"))
    True
    """
    if isinstance(document, dict):
        pairs = cast("dict[str, object]", document).items()
        return any(
            (key == subject.key and text_of(value) == subject.value) or holds(value, subject) for key, value in pairs
        )
    return isinstance(document, list) and any(holds(part, subject) for part in cast("list[object]", document))


def text_of(value: object) -> str | None:
    """Give a scalar as people write it.

    >>> text_of(17.0), text_of(True), text_of("a"), text_of({})
    ('17', 'true', 'a', None)
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.17g}"
    return str(value) if isinstance(value, str | int) else None


def concerns(raw: bytes, subjects: Sequence[Subject], ids: Collection[str]) -> bool:
    """Say whether a row that was turned away is about one of them.

    What cannot be read as JSON is, wherever the value stands in it: rather one reject too many than one too few.
    """
    try:
        document: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return any(subject.value.encode() in raw for subject in subjects) or any(one.encode() in raw for one in ids)
    if isinstance(document, dict):
        row = cast("dict[str, object]", document)
        if any(isinstance(one := row.get(name), str) and one in ids for name in _IDS):
            return True
    return any(holds(cast("object", document), subject) for subject in subjects)

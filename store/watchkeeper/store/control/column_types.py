"""Column types that give back the same value on SQLite and on PostgreSQL."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator

from watchkeeper.schemas.findings import Json

RowNumber = BigInteger().with_variant(Integer, "sqlite")
"""A growing number; SQLite counts up only what it knows as INTEGER."""


class Utc(TypeDecorator[datetime]):
    """A point in time, aware and in UTC on the way in and on the way out; SQLite alone would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone: it would silently mean another moment elsewhere."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; control data takes aware times only")
        in_utc = value.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give an aware time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text of any length. A NUL, which PostgreSQL refuses and a subject may hold, becomes U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Replace every NUL."""
        return without_nul(value) if value else value


def without_nul(text: str) -> str:
    """Give text as every engine can keep it."""
    return text.replace("\x00", "\ufffd")


class Document(TypeDecorator[Json]):
    """A JSON value that comes back as it was: plain JSON (JSONB would rewrite numbers), infinite and NaN included."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Json | None, dialect: Dialect) -> Json | None:  # noqa: ARG002
        """Mark the floats that JSON has no word for; PostgreSQL would refuse the whole row."""
        return marked(value)

    def process_result_value(self, value: Json | None, dialect: Dialect) -> Json | None:  # noqa: ARG002
        """Give back the marked floats."""
        return _unmark(value)


_MARK = "$float"


def marked(value: Json) -> Json:
    """Replace non-finite floats.

    >>> marked([1.5, math.inf]), _unmark(marked({"a": -math.inf}))
    ([1.5, {'$float': 'inf'}], {'a': -inf})
    """
    if isinstance(value, float) and not math.isfinite(value):
        return {_MARK: repr(value)}
    if isinstance(value, dict):
        return {key: marked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [marked(item) for item in value]
    return value


def _unmark(value: Json) -> Json:
    if isinstance(value, dict):
        marked = value.get(_MARK) if len(value) == 1 else None
        return float(marked) if isinstance(marked, str) else {key: _unmark(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unmark(item) for item in value]
    return value

"""Which values does a field take that knows only some? Named to a sender whose event has another one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from msgspec import inspect

from watchkeeper.schemas.events import KINDS


@cache
def choices(kind: str) -> Mapping[str, tuple[str, ...]]:
    """Give the values of each field of a kind of event that takes only some, by the field's path without places.

    >>> choices("reviews")["decision"]
    ('approved', 'edited', 'escalated', 'overridden', 'rejected')
    >>> sorted(choices("predictions"))
    ['checks.kind', 'status']
    """
    return dict(_within(inspect.type_info(KINDS[kind]), ""))


def _within(of: inspect.Type, path: str) -> list[tuple[str, tuple[str, ...]]]:
    if isinstance(of, inspect.LiteralType):
        return [(path, tuple(sorted(map(str, of.values))))]
    if isinstance(of, inspect.UnionType):
        return [found for one in of.types for found in _within(one, path)]
    if isinstance(of, inspect.Metadata):
        return _within(of.type, path)
    if isinstance(of, inspect.ListType | inspect.VarTupleType):
        return _within(of.item_type, path)
    if isinstance(of, inspect.StructType):
        return [
            found
            for field in of.fields
            for found in _within(field.type, f"{path}.{field.encode_name}".removeprefix("."))
        ]
    return []


def listed(values: tuple[str, ...]) -> str:
    """Join them.

    >>> listed(("error", "ok", "unknown"))
    "'error', 'ok' or 'unknown'"
    """
    *most, last = (repr(value) for value in values)
    return f"{', '.join(most)} or {last}" if most else last

"""How deep and how long one event may be: what is stored is decoded again, shown and searched, so it has an end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from watchkeeper.collector.shapes import fields_of

MAX_DEPTH = 64
"""Objects and arrays within each other."""
MAX_STRING = 100_000
"""Characters of one text."""
OBJECTS_A_ROW, ITEMS_A_ROW = 10, 100


def may_exceed(rows: Sequence[bytes]) -> bool:
    """Say whether a row may be too deep or hold too long a text: cheap, and never wrong about one that is."""
    if max(map(len, rows), default=0) > MAX_STRING:
        return True
    return any(row.count(b"{") + row.count(b"[") > MAX_DEPTH for row in rows)


def exceeded(row: bytes, *, texts: bool = True) -> str | None:
    """Say what of a row of JSON is beyond the limits; without ``texts`` they may be of any length.

    >>> exceeded(b"[" * 65 + b"]" * 65)
    'nested over 64 deep'
    """
    if not may_exceed((row,)):
        return None
    level: list[object] = [fields_of(msgspec.Raw(row))]
    depth = 0
    while level:
        below: list[object] = []
        for value in level:
            if texts and isinstance(value, str) and len(value) > MAX_STRING:
                return f"a text of over {MAX_STRING} characters"
            if isinstance(value, dict):
                pairs = cast("dict[str, Any]", value)
                below += [*pairs, *pairs.values()]
            elif isinstance(value, list):
                below += cast("list[object]", value)
        depth += any(isinstance(value, dict | list) for value in level)
        if depth > MAX_DEPTH:
            return f"nested over {MAX_DEPTH} deep"
        level = below
    return None


def too_many_parts(array: bytes, max_rows: int) -> bool:
    """Say whether a JSON array cannot be one of ``max_rows`` events, before it is decoded: a body of small items costs
    thirty times its size in memory.
    """
    return array.count(b"{") > OBJECTS_A_ROW * max_rows or array.count(b",") > ITEMS_A_ROW * max_rows

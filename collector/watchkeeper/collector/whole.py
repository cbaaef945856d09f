"""Counts written as 12.0 or 1e3: JSON has one kind of number, and pandas writes whole ones so beside gaps."""

from __future__ import annotations

import re
from typing import cast

import msgspec

_WHERE = re.compile(r"^Expected `int(?: \| null)?`, got `float` - at `\$\.([^`\[\]]+)`$")
_MOST = 2.0**53


def mended(row: bytes, error: Exception) -> bytes | None:
    """Give the row with the number that a check stopped at as a whole one; None where it is not that, or is none.

    >>> wrong = msgspec.ValidationError("Expected `int`, got `float` - at `$.tokens.input`")
    >>> mended(b'{"id":"a","tokens":{"input":1e3}}', wrong), mended(b'{"tokens":{"input":0.5}}', wrong)
    (b'{"id":"a","tokens":{"input":1000}}', None)
    """
    found = _WHERE.match(str(error))
    if found is None:
        return None
    try:
        decoded: object = msgspec.json.decode(row)
    except msgspec.DecodeError:  # a number of another field that only a feature may hold
        return None
    *outer, last = found[1].split(".")
    inner = decoded
    for name in outer:
        inner = cast("dict[str, object]", inner).get(name)
    within = cast("dict[str, object]", inner)
    value = within.get(last)
    if not isinstance(value, float) or not value.is_integer() or abs(value) > _MOST:
        return None
    within[last] = int(value)
    return msgspec.json.encode(decoded)

"""One row of an Arrow stream as the JSON event that it would have been: a person can read, correct and send that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from watchkeeper.collector.arrow.rows import NESTED


def as_event(row: Mapping[str, object]) -> bytes:
    """Write a row; what has no value is left out.

    >>> as_event({"id": "a", "features.x": 1.5, "tokens.input": 3, "score": None, "segments": {"plan": "pro"}})
    b'{"id":"a","features":{"x":1.5},"tokens":{"input":3},"segments":{"plan":"pro"}}'
    """
    event: dict[str, object] = {}
    for name, value in row.items():
        whole, dot, part = name.partition(".")
        if value is None:
            continue
        if dot and whole in NESTED:
            _within(event, whole)[part] = value
        elif name in NESTED and isinstance(value, dict):
            _within(event, name).update(cast("dict[str, object]", value))
        else:
            event[name] = value
    return msgspec.json.encode(event, enc_hook=str)


def _within(event: dict[str, object], name: str) -> dict[str, object]:
    return cast("dict[str, object]", event.setdefault(name, {}))

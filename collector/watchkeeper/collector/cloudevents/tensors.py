"""What the bodies of inference hold, as a list of values a row: tensors of the open inference protocol and Seldon's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

MAX_DEPTH = 16
MAX_VALUES = 1_000_000
Scalar = bool | int | float | str | None
Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named column of rows."""

    name: str
    text: bool
    rows: Sequence[Sequence[Scalar]]


def as_object(value: object) -> Json | None:
    """Give a JSON object as such."""
    return cast("Json", value) if isinstance(value, dict) else None


def as_list(value: object) -> list[object] | None:
    """Give a JSON array as such."""
    return cast("list[object]", value) if isinstance(value, list) else None


def flat(value: object, depth: int = MAX_DEPTH) -> Iterator[Scalar]:
    """Give the numbers and texts of nested arrays in order; what is an object, or too deep, is null.

    >>> list(flat([[1, 2], ["a", {"x": 1}]]))
    [1, 2, 'a', None]
    """
    parts = as_list(value)
    if parts is None:
        yield scalar(value)
    elif depth:
        for part in parts:
            yield from flat(part, depth - 1)
    else:
        yield None


def scalar(value: object) -> Scalar:
    """Give a number or text that can be kept, else None.

    >>> scalar(1.5), scalar("a"), scalar(float("inf")), scalar([1])
    (1.5, 'a', None, None)
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | str) else None


def tensors(found: object) -> list[Tensor] | None:
    """Read the ``inputs`` or ``outputs`` of the open inference protocol (V2); None where they are none."""
    parts = as_list(found)
    if not parts:
        return None
    made: list[Tensor] = []
    for part in parts:
        tensor = as_object(part)
        if tensor is None or "name" not in tensor:
            return None
        shape = as_list(tensor.get("shape")) or []
        rows = _rows(shape, list(flat(tensor.get("data"))))
        made.append(Tensor(str(tensor["name"]), tensor.get("datatype") == "BYTES", rows))
    return made


def seldon(data: Json) -> list[Sequence[Scalar]]:
    """Read the rows of a Seldon message's ``data``: an ndarray or a tensor."""
    array = as_list(data.get("ndarray"))
    if array is not None:
        nested = any(isinstance(part, list) for part in array)
        return [list(flat(part)) for part in array] if nested else [list(flat(array))]
    tensor = as_object(data.get("tensor")) or {}
    values = list(flat(as_list(tensor.get("values")) or []))
    return _rows(as_list(tensor.get("shape")) or [], values) if values else []


def names(data: Json) -> list[str]:
    """Give the names of a Seldon message's columns."""
    return [str(name) for name in as_list(data.get("names")) or []]


def _rows(shape: Sequence[object], values: list[Scalar]) -> list[Sequence[Scalar]]:
    """Cut values into rows by the first dimension; one row where the shape does not fit them.

    >>> _rows([2, 2], [1, 2, 3, 4]), _rows([3], [1, 2])
    ([[1, 2], [3, 4]], [[1, 2]])
    """
    first = shape[0] if shape else 1
    count = first if isinstance(first, int) and first > 0 and len(values) % first == 0 and values else 1
    width = len(values) // count
    return [values[n * width : (n + 1) * width] for n in range(count)] if width else [values]

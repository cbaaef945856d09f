"""Inputs as columns that a linear classifier can use: places, squares and products of numbers, values of categories.

A number becomes its place among the reference's (normal scores), so that one wild value counts no more than the largest
one; squares see a changed spread, products a changed connection. What is missing stands beside it as a column.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

MOST_VALUES = 10
MOST_PAIRED = 16
"""Numbers, in order of their names, whose products are columns: 120 of them."""


@dataclass(frozen=True, slots=True)
class Design:
    """Columns, and for each the inputs that it is made of (one, or two of a product)."""

    columns: Floats
    inputs: tuple[tuple[str, ...], ...]


def design(frame: pl.DataFrame, reference: NDArray[np.bool_]) -> Design:
    """Turn every column of a frame into columns of a classifier; ``reference`` marks the rows that set the places.

    >>> frame = pl.DataFrame({"x": [1.0, 2.0, 3.0, None], "c": ["a", "b", "a", "a"]})
    >>> design(frame, np.array([True, True, True, False])).inputs
    (('c',), ('c',), ('x',), ('x',), ('x',))
    """
    columns: list[Floats] = []
    inputs: list[tuple[str, ...]] = []
    places: dict[str, Floats] = {}
    for name in sorted(frame.columns):
        if frame.schema[name].is_numeric():
            values = frame[name].cast(pl.Float64).to_numpy()
            place, missing = _places(values, reference)
            places[name] = place
            made = [place, place**2, missing]
        else:
            made = _values(frame[name].cast(pl.String), reference)
        columns += made
        inputs += [(name,)] * len(made)
    for one, other in combinations(sorted(places)[:MOST_PAIRED], 2):
        columns.append(places[one] * places[other])
        inputs.append((one, other))
    stacked = np.column_stack(columns) if columns else np.empty((frame.height, 0))
    return Design(stacked, tuple(inputs))


def _places(values: Floats, reference: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Give normal scores of the middle rank among the reference's finite values; 0 for what is missing."""
    finite = np.isfinite(values)
    known = np.sort(values[reference & finite])
    if len(known) == 0:
        return np.zeros(len(values)), (~finite).astype(float)
    below, upto = np.searchsorted(known, values, "left"), np.searchsorted(known, values, "right")
    share = (below + upto + 1) / (2 * len(known) + 2)
    scores = cast("Floats", special.ndtri(share))
    return np.where(finite, scores, 0.0), (~finite).astype(float)


def _values(values: pl.Series, reference: NDArray[np.bool_]) -> list[Floats]:
    """Give a column for each of the reference's most frequent values; all others, and none, are what is left."""
    counted = values.filter(pl.Series(reference)).drop_nulls().value_counts(name="n")
    most = counted.sort(["n", values.name], descending=[True, False])[values.name].head(MOST_VALUES)
    return [(values == one).fill_null(False).cast(pl.Float64).to_numpy() for one in most]

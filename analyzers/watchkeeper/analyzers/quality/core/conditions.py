"""What rows may have in common: a value of a column, or a quarter of a number's range in the reference."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_VALUES = 8
"""Values of a column with a condition of their own, those of most rows; the others are one condition together."""
MOST_CONDITIONS = 150
QUARTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Condition:
    """Which rows meet it, and in which words; two of one column never hold together."""

    column: str
    words: str
    holds: Mask


def conditions(frame: pl.DataFrame, reference: Mask) -> list[Condition]:
    """Give the conditions of all columns, in order; ``reference`` marks the rows that set values and quarters.

    >>> frame = pl.DataFrame({"plan": ["free", "pro", "pro"], "age": [20.0, 40.0, None]})
    >>> [one.words for one in conditions(frame, np.array([True, True, True]))]
    ['plan=pro', 'plan=free', 'age below 25', 'age from 35', 'age missing']
    """
    found: list[Condition] = []
    for name in frame.columns:
        column = frame[name]
        made = _quarters(name, column, reference) if column.dtype.is_numeric() else _values(name, column, reference)
        found += [one for one in made if one.holds.any()]
    return found[:MOST_CONDITIONS]


def _quarters(name: str, column: pl.Series, reference: Mask) -> list[Condition]:
    values: Floats = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    known = values[reference & np.isfinite(values)]
    cuts = sorted({float(np.quantile(known, share)) for share in QUARTERS}) if len(known) else []
    missing = Condition(name, f"{name} missing", np.isnan(values))
    if not cuts:
        return [missing]
    inner = [
        Condition(name, f"{name} {_amount(low)} to {_amount(high)}", (values >= low) & (values < high))
        for low, high in itertools.pairwise(cuts)
    ]
    first = Condition(name, f"{name} below {_amount(cuts[0])}", values < cuts[0])
    return [first, *inner, Condition(name, f"{name} from {_amount(cuts[-1])}", values >= cuts[-1]), missing]


def _values(name: str, column: pl.Series, reference: Mask) -> list[Condition]:
    texts = column.cast(pl.String)
    counted = texts.filter(pl.Series(reference)).drop_nulls().value_counts(name="n")
    ordered: Sequence[str] = counted.sort(["n", name], descending=[True, False])[name].to_list()
    own = ordered[:MOST_VALUES]
    found = [Condition(name, f"{name}={value}", _mask(texts == value)) for value in own]
    others = _mask(texts.is_not_null() & ~texts.is_in(own))
    return [
        *found,
        Condition(name, f"{name}=(other)", others),
        Condition(name, f"{name} missing", _mask(texts.is_null())),
    ]


def _mask(series: pl.Series) -> Mask:
    return series.fill_null(value=False).to_numpy().astype(np.bool_)


def _amount(value: float) -> str:
    return f"{value:.4g}"

"""The same million rows for both: 18 numbers of several shapes and 7 categories, a few of them moved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NUMERIC, CATEGORICAL = 18, 7
MOVED = {"n3": 0.5, "n9": 0.5, "n14": 0.5}
Columns = dict[str, NDArray]


def columns(rows: int, seed: int, *, moved: bool) -> Columns:
    """Make the columns; ``moved`` shifts three numbers by half a deviation and one category's shares."""
    chance = np.random.default_rng(seed)
    made: Columns = {}
    for place in range(NUMERIC):
        name = f"n{place}"
        shift = MOVED.get(name, 0.0) if moved else 0.0
        values = chance.standard_normal(rows) + shift
        if place % 3 == 1:
            values = np.exp(values)
        elif place % 3 == 2:
            values = np.round(values * 10)
        if place % 6 == 0:
            values[chance.random(rows) < 0.02] = np.nan
        made[name] = values
    for place in range(CATEGORICAL):
        kinds = 3 + place * 5
        shares = 1 / np.arange(1, kinds + 1)
        if moved and place == 2:
            shares = shares[::-1]
        names = np.array([f"value-{number}" for number in range(kinds)])
        made[f"c{place}"] = names[chance.choice(kinds, rows, p=shares / shares.sum())]
    return made

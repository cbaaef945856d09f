"""Finds the bin of many values at once, faster than a binary search for each.

A uniform grid over the range says for each cell which bin its left end lies in. Most values are then right at once;
those that are not (an edge lies within their cell) are searched for. The answer is that of ``np.searchsorted``,
to the last bit: each guess is compared with its bin's own edges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = 4096
WORTH_IT = 8_192
"""Below this many values the grid costs more than it gives."""


def bins_of(edges: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give ``np.searchsorted(edges, values, side="right")``; edges ascend; of NaN the answer means nothing.

    >>> bins_of(np.array([0.0, 1.0]), np.array([-1.0, 0.0, 0.5, 1.0])).tolist()
    [0, 1, 1, 2]
    """
    if values.size < WORTH_IT or edges.size == 0:
        return np.searchsorted(edges, values, side="right").astype(np.int64)
    with np.errstate(all="ignore"):  # what overflows lands in a wrong cell, and is searched for
        width: np.float64 = edges[-1] - edges[0]
        cells = np.clip((values - edges[0]) * (CELLS / width), 0, CELLS - 1)
        starts: NDArray[np.float64] = edges[0] + np.arange(CELLS, dtype=np.float64) * (width / CELLS)
    cells[np.isnan(cells)] = 0
    of_cell: NDArray[np.int64] = np.searchsorted(edges, starts, side="right").astype(np.int64)
    guess = of_cell[cells.astype(np.int32)]
    lower = np.concatenate([[-np.inf], edges])
    upper = np.concatenate([edges, [np.inf]])
    wrong = np.nonzero((values < lower[guess]) | (values >= upper[guess]))[0]
    guess[wrong] = np.searchsorted(edges, values[wrong], side="right")
    return guess

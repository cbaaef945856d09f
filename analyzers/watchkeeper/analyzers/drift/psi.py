"""How far has each input moved from the reference, as a population stability index?

The usual reading is 0.1 some, 0.2 much. Misleads with few rows: even without any change it is about
(bins - 1)(1/n + 1/m), which is shown beside it. It says nothing about harm. A reading only.
Source: Siddiqi 2006, Credit Risk Scorecards; expectation by Yurdakul and Naranjo 2020, J. Risk Model Validation 14.
"""

from __future__ import annotations

import math

from watchkeeper.analyzers.drift_bins import Bins
from watchkeeper.analyzers.drift_distance import BinDistance


class Psi(BinDistance):
    """Sum over bins of (p - q) ln(p / q); half a row is added to every bin, so that an empty one has a logarithm.

    >>> even, moved = Bins((100, 100), (100, 100)), Bins((180, 20), (100, 100))
    >>> ANALYZER.distance(even), round(ANALYZER.distance(moved), 2)
    (0.0, 0.87)
    >>> ANALYZER.distance(moved) > 5 * ANALYZER.expected(moved)
    True
    """

    name = "drift.psi"
    question = "How far has each feature, the score and the prediction moved (PSI)?"
    metric = "psi"

    def distance(self, bins: Bins) -> float:
        """Give the index, 0 or more."""
        now, reference = _shares(bins.now), _shares(bins.reference)
        return math.fsum((p - q) * math.log(p / q) for p, q in zip(now, reference, strict=True))

    def expected(self, bins: Bins) -> float:
        """Give (bins - 1)(1/n + 1/m)."""
        return (len(bins.now) - 1) * bins.noise


def _shares(counts: tuple[int, ...]) -> list[float]:
    total = sum(counts) + 0.5 * len(counts)
    return [(count + 0.5) / total for count in counts]


ANALYZER = Psi()

"""How much does each input tell window and reference apart, from 0 (not at all) to 1 (nothing in common)?

The root of chi-squared over all rows. Misleads when the reference is much larger than the window (or the other way
round): the same change then gives a smaller number, so compare only windows of like size. A reading only.
Source: Cramér 1946, Mathematical Methods of Statistics, 21.9; what chance gives: Bergsma 2013, J. Korean Stat. Soc. 42.
"""

from __future__ import annotations

import math

from watchkeeper.analyzers.drift import chi_squared
from watchkeeper.analyzers.drift_bins import Bins
from watchkeeper.analyzers.drift_distance import BinDistance


class CramersV(BinDistance):
    """Cramér's V of the table bins × (window, reference).

    >>> ANALYZER.distance(Bins((50, 50), (500, 500))), ANALYZER.distance(Bins((5, 0), (0, 50)))
    (0.0, 1.0)
    >>> round(ANALYZER.distance(Bins((180, 20), (100, 100))), 3), round(ANALYZER.expected(Bins((9, 1), (5, 5))), 3)
    (0.436, 0.229)
    """

    name = "drift.cramers_v"
    question = "How much does each feature, the score and the prediction tell then from now (Cramér's V)?"
    metric = "cramers_v"

    def distance(self, bins: Bins) -> float:
        """Give V, from 0 to 1; the table has two rows, so that nothing else divides it."""
        return math.sqrt(min(chi_squared.ANALYZER.distance(bins) / (sum(bins.now) + sum(bins.reference)), 1.0))

    def expected(self, bins: Bins) -> float:
        """Give the root of its square's expectation, degrees of freedom over (rows - 1)."""
        rows = sum(bins.now) + sum(bins.reference)
        return math.sqrt(chi_squared.ANALYZER.expected(bins) / max(rows - 1, 1))


ANALYZER = CramersV()

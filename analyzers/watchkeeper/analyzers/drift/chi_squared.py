"""How sure is it that each input has moved from the reference, as Pearson's chi-squared of the two histograms?

By chance it is about its degrees of freedom, bins - 1, which is shown beside it. Misleads with many rows: it grows with
them, so that a change too small to matter looks huge; how large a change is says Cramér's V. A reading only.
Source: Pearson 1900, Philosophical Magazine 50.
"""

from __future__ import annotations

import math

from watchkeeper.analyzers.drift_bins import Bins
from watchkeeper.analyzers.drift_distance import BinDistance


class ChiSquared(BinDistance):
    """Chi-squared of the table bins × (window, reference).

    >>> ANALYZER.distance(Bins((50, 50), (500, 500))), round(ANALYZER.distance(Bins((80, 20), (500, 500))), 2)
    (0.0, 32.82)
    >>> ANALYZER.expected(Bins((80, 20), (500, 500)))
    1.0
    """

    name = "drift.chi_squared"
    question = "How sure is it that each feature, the score and the prediction has moved (chi-squared)?"
    metric = "chi_squared"

    def distance(self, bins: Bins) -> float:
        """Give chi-squared, 0 or more."""
        n, m = sum(bins.now), sum(bins.reference)
        scaled = math.fsum(
            (now * m - reference * n) ** 2 / (now + reference)
            for now, reference in zip(bins.now, bins.reference, strict=True)
            if now + reference
        )
        return scaled / (n * m)

    def expected(self, bins: Bins) -> float:
        """Give the degrees of freedom."""
        return float(max(sum(1 for pair in zip(bins.now, bins.reference, strict=True) if any(pair)) - 1, 0))


ANALYZER = ChiSquared()

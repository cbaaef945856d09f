"""How far has each input moved from the reference, as a distance between 0 (same) and 1 (nothing in common)?

The square root of the Jensen-Shannon divergence in bits: symmetric, finite, a metric. Misleads with few rows like
every distance of histograms; what chance alone gives is shown beside it. It says nothing about harm. A reading only.
Source: Endres and Schindelin 2003, IEEE Trans. Inf. Theory 49.
"""

from __future__ import annotations

import math

from watchkeeper.analyzers.drift_bins import Bins
from watchkeeper.analyzers.drift_distance import BinDistance


class JensenShannon(BinDistance):
    """Jensen-Shannon distance, base 2.

    >>> ANALYZER.distance(Bins((5, 5), (50, 50))), ANALYZER.distance(Bins((5, 0), (0, 50)))
    (0.0, 1.0)
    >>> ANALYZER.distance(Bins((180, 20), (100, 100))) > 3 * ANALYZER.expected(Bins((180, 20), (100, 100)))
    True
    """

    name = "drift.jensen_shannon"
    question = "How far has each feature, the score and the prediction moved (Jensen-Shannon distance)?"
    metric = "jensen_shannon"

    def distance(self, bins: Bins) -> float:
        """Give the distance, from 0 to 1."""
        n, m = sum(bins.now), sum(bins.reference)
        terms: list[float] = []
        for now, reference in zip(bins.now, bins.reference, strict=True):
            p, q = now / n, reference / m
            terms += [share * math.log2(2 * share / (p + q)) for share in (p, q) if share > 0]
        return math.sqrt(min(max(math.fsum(terms) / 2, 0.0), 1.0))

    def expected(self, bins: Bins) -> float:
        """Give the root of the divergence's expectation, (bins - 1)(1/n + 1/m) / (8 ln 2)."""
        return math.sqrt((len(bins.now) - 1) * bins.noise / (8 * math.log(2)))


ANALYZER = JensenShannon()

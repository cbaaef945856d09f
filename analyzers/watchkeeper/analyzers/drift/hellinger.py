"""How far has each input moved from the reference, as a distance between 0 (same) and 1 (nothing in common)?

The root of one minus the overlap of the two histograms: symmetric, finite, a metric, and kinder to empty bins than PSI.
Misleads with few rows like every distance of histograms; what chance alone gives is shown beside it. A reading only.
Source: Hellinger 1909, J. reine angew. Math. 136; for drift Ditzler and Polikar 2011, IEEE CIDUE.
"""

from __future__ import annotations

import math

from watchkeeper.analyzers.drift_bins import Bins
from watchkeeper.analyzers.drift_distance import BinDistance


class Hellinger(BinDistance):
    """Hellinger distance.

    >>> ANALYZER.distance(Bins((5, 5), (50, 50))), ANALYZER.distance(Bins((5, 0), (0, 50)))
    (0.0, 1.0)
    >>> ANALYZER.distance(Bins((180, 20), (100, 100))) > 5 * ANALYZER.expected(Bins((180, 20), (100, 100)))
    True
    """

    name = "drift.hellinger"
    question = "How far has each feature, the score and the prediction moved (Hellinger distance)?"
    metric = "hellinger"

    def distance(self, bins: Bins) -> float:
        """Give the distance, from 0 to 1."""
        overlap = math.fsum(math.sqrt(now * reference) for now, reference in zip(bins.now, bins.reference, strict=True))
        return math.sqrt(max(1 - overlap / math.sqrt(sum(bins.now) * sum(bins.reference)), 0.0))

    def expected(self, bins: Bins) -> float:
        """Give the root of the squared distance's expectation, (bins - 1)(1/n + 1/m) / 8."""
        return math.sqrt((len(bins.now) - 1) * bins.noise / 8)


ANALYZER = Hellinger()

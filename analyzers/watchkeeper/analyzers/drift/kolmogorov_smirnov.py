"""By how much does the share of values below some point differ most, between the window and the reference?

Of numbers only, from 0 to 1, on the reference's fine bins: below what raw values give by at most the reference's
share in its largest bin, 1 % where values are continuous. Misleads about tails, where shares are small; blind to
missing values, which have no place. What chance gives stands beside it. A reading only.
Source: Kolmogorov 1933, Giorn. Ist. Ital. Attuari 4; Smirnov 1948, Ann. Math. Stat. 19.
"""

from __future__ import annotations

import math

from watchkeeper.analyzers.drift_bins import Steps
from watchkeeper.analyzers.drift_distance import StepDistance

MEAN = math.sqrt(math.pi / 2) * math.log(2)
"""The mean of Kolmogorov's distribution."""


class KolmogorovSmirnov(StepDistance):
    """Largest difference of the two distribution functions.

    >>> from watchkeeper.analyzers.drift_bins import Bins
    >>> moved = Steps((1.0, 2.0, 3.0), Bins((0, 20, 80), (100, 100, 100)))
    >>> round(ANALYZER.distance(moved), 3), round(ANALYZER.expected(moved), 3)
    (0.467, 0.1)
    """

    name = "drift.kolmogorov_smirnov"
    question = "By how much does the share of values below some point differ most (Kolmogorov-Smirnov)?"
    metric = "kolmogorov_smirnov"

    def distance(self, steps: Steps) -> float:
        """Give the difference, from 0 to 1."""
        return max(abs(now - reference) for now, reference in steps.shares())

    def expected(self, steps: Steps) -> float:
        """Give the mean of the limit distribution; values that come in few kinds stay below it."""
        return MEAN * math.sqrt(steps.bins.noise)


ANALYZER = KolmogorovSmirnov()

"""How wrong is a model in the share of cases that it is surest of?

The risk-coverage curve: cases in order of confidence, the surest first; the risk at a coverage is the error among that
share of them. Ties are taken in proportion. Source: Geifman and El-Yaniv, Selective Classification for Deep Neural
Networks (NIPS 2017); AURC as in their Bias-Reduced Uncertainty Estimation (ICLR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Cases and errors by confidence, summed up from the surest on."""

    cases: Floats
    wrong: Floats

    @classmethod
    def of(cls, bins: Floats, cases: Floats, wrong: Floats) -> Curve:
        """Put counts by bin of confidence in order.

        >>> curve = Curve.of(np.array([1.0, 9.0]), np.array([50.0, 50.0]), np.array([25.0, 0.0]))
        >>> [round(curve.risk(share), 3) for share in (0.5, 0.75, 1.0)], round(curve.area(), 3)
        ([0.0, 0.167, 0.25], 0.078)
        """
        values, place = np.unique(-bins, return_inverse=True)
        return cls(*(_summed(place, each, len(values)) for each in (cases, wrong)))

    def risk(self, coverage: float) -> float:
        """Give the error among this share of the cases, the surest ones."""
        upto = coverage * float(self.cases[-1])
        return float(np.interp(upto, self.cases, self.wrong) / upto)

    def area(self, points: int = 100) -> float:
        """Give the mean risk over all coverages."""
        return float(np.mean([self.risk((place + 1) / points) for place in range(points)]))


def _summed(place: NDArray[np.intp], counts: Floats, bins: int) -> Floats:
    found = np.zeros(bins + 1)
    np.add.at(found, place + 1, counts)
    return np.cumsum(found)

"""How far has a number's mass travelled from the reference, in standard deviations of the reference?

Also called earth mover's distance, of numbers only. On the reference's fine bins, each at its middle; what lies beyond
the reference's range counts as lying at its end, so that one huge value moves nothing. Misleads with heavy tails: the
outermost bins are wide, and their middle is a guess. What chance gives stands beside it. A reading only.
Source: Kantorovich 1942, Doklady 37; Vallender 1974, Theory Probab. Appl. 18; mean under no change from the limit of
del Barrio, Giné and Matrán 1999, Ann. Probab. 27.
"""

from __future__ import annotations

import math
from itertools import pairwise

from watchkeeper.analyzers.drift_bins import Steps
from watchkeeper.analyzers.drift_distance import StepDistance


class Wasserstein(StepDistance):
    """First Wasserstein distance over the reference's standard deviation.

    >>> from watchkeeper.analyzers.drift_bins import Bins
    >>> shifted = Steps((0.0, 1.0, 2.0), Bins((0, 50, 50), (50, 50, 0)))
    >>> ANALYZER.distance(shifted), round(ANALYZER.expected(shifted), 2)
    (2.0, 0.11)
    """

    name = "drift.wasserstein"
    question = "How far has each number, the score and the prediction travelled (Wasserstein, in deviations)?"
    metric = "wasserstein"

    def distance(self, steps: Steps) -> float | None:
        """Give the distance, 0 or more; None where the reference holds one bin only, and so has no deviation."""
        deviation = _deviation(steps)
        if deviation == 0:
            return None
        return math.fsum(abs(now - reference) * width for (now, reference), width in _between(steps)) / deviation

    def expected(self, steps: Steps) -> float:
        """Give the mean when nothing changed: that of a Brownian bridge, summed over the axis."""
        spread = math.fsum(math.sqrt(reference * (1 - reference)) * width for (_, reference), width in _between(steps))
        return math.sqrt(2 / math.pi * steps.bins.noise) * spread / _deviation(steps)


def _unit(steps: Steps) -> list[float]:
    """Scale places into -1 to 1, so that no square or difference overflows; the distance has no unit."""
    largest = max(map(abs, steps.places)) or 1.0
    return [place / largest for place in steps.places]


def _between(steps: Steps) -> list[tuple[tuple[float, float], float]]:
    """Pair the shares below each gap between two bins with the width of the gap."""
    widths = [after - before for before, after in pairwise(_unit(steps))]
    return list(zip(list(steps.shares())[:-1], widths, strict=True))


def _deviation(steps: Steps) -> float:
    places, m = _unit(steps), sum(steps.bins.reference)
    if m in steps.bins.reference:  # rounding would make a little of nothing
        return 0.0
    mean = math.fsum(place * n for place, n in zip(places, steps.bins.reference, strict=True)) / m
    square = math.fsum((place - mean) ** 2 * n for place, n in zip(places, steps.bins.reference, strict=True))
    return math.sqrt(square / m)


ANALYZER = Wasserstein()

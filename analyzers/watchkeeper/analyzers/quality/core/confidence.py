"""How good are answers likely to be, by their scores alone? Calibration on a reference, expected accuracy and AUC.

With p the calibrated chance of a 1, an answer 1 is right with p and an answer 0 with 1 - p. The expected AUC counts
each row as p of a 1 and 1 - p of a 0. Misleads when what a score means has changed: nothing in the scores says so.
Source: confidence-based performance estimation as in NannyML (Performance Estimation in Binary Classification Using
Calibrated Confidence, arXiv:2505.05295); isotonic regression by pooling adjacent violators (Ayer et al. 1955).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """The chance of a 1 by the bin of the score, rising; between bins it is interpolated."""

    bins: Floats
    chances: Floats

    def chance(self, bins: Floats) -> Floats:
        """Give the chance of a 1; below the lowest bin and above the highest it is as there."""
        return np.interp(bins, self.bins, self.chances)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A curve for either answer: an answer that is not just a score over a threshold says more than the score."""

    zeros: Curve
    ones: Curve

    @classmethod
    def learn(cls, bins: Floats, said: Floats, n: Floats, positive: Floats) -> Calibration:
        """Fit one curve where the answers are a threshold on the score (or all alike), else one for either."""
        zero, one = bins[said == 0], bins[said == 1]
        if not zero.size or not one.size or zero.max() <= one.min():
            both, place = np.unique(bins, return_inverse=True)
            whole = calibrate(both, *(np.bincount(place, counts).astype(np.float64) for counts in (n, positive)))
            return cls(whole, whole)
        curves = [calibrate(bins[here], n[here], positive[here]) for here in (said == 0, said == 1)]
        return cls(curves[0], curves[1])

    def chance(self, bins: Floats, said: Floats) -> Floats:
        """Give the chance of a 1 behind each answer."""
        return np.where(said == 1, self.ones.chance(bins), self.zeros.chance(bins))


def calibrate(bins: Floats, n: Floats, positive: Floats) -> Curve:
    """Fit a chance that never falls as the score rises: neighbours that fall are pooled (isotonic regression).

    ``bins`` rise; all have rows.

    >>> found = calibrate(np.array([1.0, 2.0, 3.0]), np.array([10.0, 10.0, 20.0]), np.array([2.0, 1.0, 10.0]))
    >>> [round(value, 2) for value in found.chances.tolist()]
    [0.15, 0.15, 0.5]
    """
    blocks: list[tuple[float, float, int]] = []
    for rows, ones in zip(n.tolist(), positive.tolist(), strict=True):
        block = (rows, ones, 1)
        while blocks and blocks[-1][1] * block[0] >= block[1] * blocks[-1][0]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    chances = [ones / rows for rows, ones, many in blocks for _ in range(many)]
    return Curve(bins, np.array(chances))


def expected_right(chance: Floats, said: Floats) -> Floats:
    """Give how likely each answer is right.

    >>> expected_right(np.array([0.9, 0.2]), np.array([1.0, 0.0])).tolist()
    [0.9, 0.8]
    """
    return np.where(said == 1, chance, 1 - chance)


def auc(bins: Floats, ones: Floats, zeros: Floats) -> float | None:
    """Give the chance that a 1 has a higher score than a 0, ties half; None without either. Expected counts will do.

    >>> auc(np.array([1.0, 2.0]), np.array([1.0, 3.0]), np.array([3.0, 1.0]))
    0.75
    """
    _, place = np.unique(bins, return_inverse=True)
    first = np.bincount(place, ones).astype(np.float64)
    second = np.bincount(place, zeros).astype(np.float64)
    pairs = float(first.sum() * second.sum())
    below = np.cumsum(second) - second / 2
    return float((first * below).sum()) / pairs if pairs > 0 else None

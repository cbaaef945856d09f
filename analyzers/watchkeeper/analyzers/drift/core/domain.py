"""Can a classifier tell two sets of rows apart, on days that it has not seen?

Ridge regression of the set on the columns (Fisher's discriminant), trained without a fifth of the days of both sets
and scored on these: what is alike within a day cannot be learned. The AUC of these scores has an interval over days.
Sources: Rabanser, Günnemann and Lipton, Failing Loudly (NeurIPS 2019), for the classifier two-sample test; Obuchowski,
Biometrics 53 (1997) 567, for the AUC of clustered rows; Nadeau and Bengio, Machine Learning 52 (2003) 239, for what
folds that share their training rows add to its variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from watchkeeper.analyzers.intervals import student_tail

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FOLDS = 5
SHARED = 1 + FOLDS / (FOLDS - 1)
"""By how much the variance over days is raised, as folds share training rows (2.25; simulated, 1.8 is enough)."""
RIDGE = 0.1
"""Added to the variance of each (standardised) column."""


@dataclass(frozen=True, slots=True)
class Told:
    """How well the sets are told apart: by day the sum of placements and the rows; and how much each column did."""

    now: tuple[tuple[float, int], ...]
    reference: tuple[tuple[float, int], ...]
    parts: Floats

    @property
    def auc(self) -> float:
        """How likely a row of now has a higher score than one of the reference."""
        return auc_of(self.now)

    @property
    def spread(self) -> float:
        """Standard error of the AUC, by what days differ by."""
        return math.sqrt(SHARED * sum(self._variances()))

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the spread (Satterthwaite)."""
        one, other = self._variances()
        if one + other <= 0:
            return 1
        weights = one**2 / (len(self.now) - 1) + other**2 / (len(self.reference) - 1)
        return max(1, int((one + other) ** 2 / weights))

    @property
    def p_value(self) -> float:
        """How likely so high an AUC is where both sets are alike."""
        return student_tail((self.auc - 0.5) / self.spread, self.degrees) if self.spread > 0 else 1.0

    def _variances(self) -> tuple[float, float]:
        return _between(self.now, self.auc), _between(self.reference, self.auc)


def auc_of(days: tuple[tuple[float, int], ...]) -> float:
    """Give the mean placement."""
    return math.fsum(total for total, _ in days) / sum(rows for _, rows in days)


def _between(days: tuple[tuple[float, int], ...], auc: float) -> float:
    rows = sum(n for _, n in days)
    squares = math.fsum((total - n * auc) ** 2 for total, n in days)
    return squares * len(days) / (len(days) - 1) / rows**2


def tell_apart(columns: Floats, now: NDArray[np.bool_], days: Ints) -> Told:
    """Train and score by folds of days; ``days`` numbers the day of each row.

    >>> rng = np.random.default_rng(1)
    >>> rows, now = rng.normal(size=(4000, 3)), np.arange(4000) >= 2000
    >>> days = np.where(now, np.arange(4000) % 7, 100 + np.arange(4000) % 14)
    >>> alike = tell_apart(rows, now, days)
    >>> moved = tell_apart(rows + 0.5 * now[:, None] * [0, 1, 0], now, days)
    >>> [round(one.auc, 1) for one in (alike, moved)], moved.p_value < 1e-6, int(moved.parts.argmax())
    ([0.5, 0.6], True, 1)
    """
    spread = columns.std(axis=0)
    rows = (columns - columns.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
    # Both sets weigh the same, whatever their rows.
    sizes = (0.5 / float(now.sum()), 0.5 / float((~now).sum()))
    weight: Floats = np.where(now, *sizes)
    target = np.where(now, 1.0, -1.0)
    fold = _folds(now, days)
    grams: list[Floats] = []
    gains: list[Floats] = []
    for one in range(FOLDS):
        mine = rows[fold == one]
        own = weight[fold == one, None] * mine
        grams.append(np.matmul(mine.transpose(), own))
        gains.append(np.matmul(own.transpose(), target[fold == one]))
    gram, gain = np.sum(grams, axis=0), np.sum(gains, axis=0)
    scores = np.zeros(len(rows))
    for one in range(FOLDS):
        inside = fold == one
        found = rows[inside] @ _solved(gram - grams[one], gain - gains[one])
        scores[inside] = (found - found.mean()) / max(float(found.std()), 1e-12)
    parts = np.maximum(_solved(gram, gain) * gain, 0.0)
    return Told(*_placements(scores, now, days, fold), parts)


def _solved(gram: Floats, gain: Floats) -> Floats:
    return cast("Floats", np.linalg.solve(gram + RIDGE * np.eye(len(gram)), gain))


def _folds(now: NDArray[np.bool_], days: Ints) -> Ints:
    """Deal the days of each set out to the folds, in order."""
    fold = np.zeros(len(days), dtype=np.int64)
    for mine in (now, ~now):
        _, place = np.unique(days[mine], return_inverse=True)
        fold[mine] = place % FOLDS
    return fold


def _placements(
    scores: Floats, now: NDArray[np.bool_], days: Ints, fold: Ints
) -> tuple[tuple[tuple[float, int], ...], tuple[tuple[float, int], ...]]:
    """Sum by day where each row stands among the other set's rows of its own fold (ties count half)."""
    placed = np.zeros(len(scores))
    for one in range(FOLDS):
        inside = fold == one
        mine, others = inside & now, inside & ~now
        placed[mine] = _above(scores[mine], scores[others])
        placed[others] = 1.0 - _above(scores[others], scores[mine])
    found: list[tuple[tuple[float, int], ...]] = []
    for side in (now, ~now):
        _, place = np.unique(days[side], return_inverse=True)
        sums, rows = np.bincount(place, placed[side]), np.bincount(place)
        found.append(tuple((float(total), int(n)) for total, n in zip(sums, rows, strict=True)))
    return found[0], found[1]


def _above(scores: Floats, others: Floats) -> Floats:
    """Give the share of the others that each score is above."""
    ordered = np.sort(others)
    below, upto = np.searchsorted(ordered, scores, "left"), np.searchsorted(ordered, scores, "right")
    return (below + upto) / (2 * max(len(ordered), 1))

"""How far do two who judge the same answers agree beyond what chance would make them?

Cohen's kappa of a table of two by two, with the interval of Fleiss, Cohen and Everitt, Psychological Bulletin 72 (1969)
323. Misleads where one answer is rare: two who agree on 98 of 100 may have a kappa near 0. So the share of agreement
stands beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from watchkeeper.analyzers.intervals import Z95


@dataclass(frozen=True, slots=True)
class Table:
    """What was said against what came true."""

    caught: float
    false_alarm: float
    missed: float
    passed: float

    @property
    def n(self) -> float:
        """All answers that were judged by both."""
        return self.caught + self.false_alarm + self.missed + self.passed

    @property
    def agreement(self) -> float:
        """Share of answers that both judge alike."""
        return (self.caught + self.passed) / self.n

    @property
    def caught_share(self) -> float | None:
        """Share of the wrong answers that were called so; None where none was wrong."""
        wrong = self.caught + self.missed
        return self.caught / wrong if wrong else None

    @property
    def kappa(self) -> float | None:
        """Agreement beyond chance, 1 at most; None where both always say the same one thing.

        >>> round(Table(20, 5, 10, 15).kappa, 3)
        0.4
        """
        by_chance = self._by_chance
        return None if by_chance >= 1 else (self.agreement - by_chance) / (1 - by_chance)

    @property
    def _by_chance(self) -> float:
        called, wrong = self.caught + self.false_alarm, self.caught + self.missed
        return (called * wrong + (self.n - called) * (self.n - wrong)) / self.n**2

    def kappa_interval(self, kappa: float) -> tuple[float, float]:
        """Give the 95 % interval of kappa.

        >>> tuple(round(end, 3) for end in Table(20, 5, 10, 15).kappa_interval(0.4))
        (0.151, 0.649)
        """
        n, chance = self.n, self._by_chance
        called, wrong = (self.caught + self.false_alarm) / n, (self.caught + self.missed) / n
        same = ((self.caught, called, wrong), (self.passed, 1 - called, 1 - wrong))
        other = ((self.false_alarm, called, 1 - wrong), (self.missed, 1 - called, wrong))
        spread = math.fsum(cell / n * (1 - (row + column) * (1 - kappa)) ** 2 for cell, row, column in same)
        # A cell off the diagonal pairs its row with the column of the other sort, so the margins are crossed.
        spread += (1 - kappa) ** 2 * math.fsum(
            cell / n * ((1 - row) + (1 - column)) ** 2 for cell, row, column in other
        )
        spread -= (kappa - chance * (1 - kappa)) ** 2
        half = Z95 * math.sqrt(max(spread, 0.0) / n) / (1 - chance)
        return max(kappa - half, -1.0), min(kappa + half, 1.0)

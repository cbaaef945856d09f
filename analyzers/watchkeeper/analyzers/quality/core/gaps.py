"""Is the gap between a group and all others another one than in the reference, beyond what days differ by?

A gap is a difference of two shares. Its variance is that of rows, widened by how much more the gaps of single days
differ (quasi-likelihood; of reference and window the larger factor), and judged by Student's t with the reference's
days. Misleads where the reference's days are few or unlike each other: then it sees little, and never the reverse.
Sources: Newcombe, Statistics in Medicine 17 (1998) 873, method 10, for the interval; McCullagh and Nelder,
Generalized Linear Models (1989), section 4.5, for the widening.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from watchkeeper.analyzers.intervals import student_tail, wilson

MIN_DAYS = 5
LOOKS = 10
"""As how many separate windows the 30 of a month count that are seven days long and overlap: simulated, 1 to 8.4."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A group beside all others in one day: what was counted, out of how many rows."""

    own: float
    own_rows: float
    rest: float
    rest_rows: float

    @property
    def both(self) -> bool:
        """Whether both sides have rows."""
        return self.own_rows > 0 and self.rest_rows > 0

    @property
    def gap(self) -> float:
        """Share of the group less that of the others."""
        return self.own / self.own_rows - self.rest / self.rest_rows


def pooled(days: Sequence[Pair]) -> Pair:
    """Sum up days."""
    return Pair(
        math.fsum(day.own for day in days),
        math.fsum(day.own_rows for day in days),
        math.fsum(day.rest for day in days),
        math.fsum(day.rest_rows for day in days),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """How a gap stands against the reference; ``p_value`` is two-sided and of this one test alone."""

    gap: float
    usual: float
    widening: float
    p_value: float

    def interval(self, now: Pair, z: float = 1.959963984540054) -> tuple[float, float]:
        """Give Newcombe's interval of the gap, at the rows that are left once those of one day are alike."""
        return newcombe(now, self.widening, z)


def newcombe(now: Pair, widening: float = 1.0, z: float = 1.959963984540054) -> tuple[float, float]:
    """Give Newcombe's interval of a gap.

    >>> tuple(round(end, 4) for end in newcombe(Pair(56, 70, 48, 80)))  # his table II (a)
    (0.0524, 0.3339)
    """
    own, rest = now.own / now.own_rows, now.rest / now.rest_rows
    own_low, own_high = wilson(now.own / widening, now.own_rows / widening, z)
    rest_low, rest_high = wilson(now.rest / widening, now.rest_rows / widening, z)
    lower = own - rest - math.hypot(own - own_low, rest_high - rest)
    upper = own - rest + math.hypot(own_high - own, rest - rest_low)
    return max(lower, -1.0), min(upper, 1.0)


def compare(now: Sequence[Pair], usual: Sequence[Pair]) -> Change | None:
    """Compare the gap of the window with that of the reference; None with too few days on either side.

    >>> usual = [Pair(30 + day % 3, 100, 300, 1000) for day in range(14)]
    >>> [round(compare([Pair(own, 100, 300, 1000)] * 7, usual).p_value, 6) for own in (31, 60)]
    [0.975076, 0.0]
    """
    now, usual = [day for day in now if day.both], [day for day in usual if day.both]
    if len(now) < MIN_DAYS or len(usual) < 2 * MIN_DAYS:
        return None
    after, before = pooled(now), pooled(usual)
    own = (after.own + before.own) / (after.own_rows + before.own_rows)
    rest = (after.rest + before.rest) / (after.rest_rows + before.rest_rows)
    noise = (own * (1 - own), rest * (1 - rest))
    widening = max(1.0, _dispersion(usual, before.gap, noise), _dispersion(now, after.gap, noise))
    variance = widening * (_variance(after, noise) + _variance(before, noise))
    moved = after.gap - before.gap
    if variance <= 0:  # all or none, before and after
        return Change(after.gap, before.gap, widening, 1.0)
    p_value = min(1.0, 2 * student_tail(abs(moved) / math.sqrt(variance), len(usual) - 1))
    return Change(after.gap, before.gap, widening, p_value)


def _variance(day: Pair, noise: tuple[float, float]) -> float:
    return noise[0] / day.own_rows + noise[1] / day.rest_rows


def _dispersion(days: Sequence[Pair], gap: float, noise: tuple[float, float]) -> float:
    """Give by how much more than rows would the gaps of single days differ."""
    if noise[0] + noise[1] <= 0:
        return 1.0
    return math.fsum((day.gap - gap) ** 2 / _variance(day, noise) for day in days) / (len(days) - 1)

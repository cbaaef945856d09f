"""The few distributions that the checks rest on: intervals and tail probabilities that days, not rows, decide."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Sample:
    """What a count was estimated from: affected and all rows that came, and how many whole events say it as exactly."""

    affected: int
    rows: int
    worth: float


@dataclass(frozen=True, slots=True)
class Count:
    """So many of so many rows (of slices of time: the sum of their shares, of so many slices).

    Where rows were sampled, these are what the rows stand for, and ``sample`` is what came.
    """

    affected: float
    rows: int
    sample: Sample | None = None

    @property
    def share(self) -> float:
        """Affected over rows; 0 of no rows is 0."""
        return self.affected / self.rows if self.rows else 0.0

    @property
    def came(self) -> int:
        """Rows that came: the n of statistics."""
        return self.rows if self.sample is None else self.sample.rows

    @property
    def affected_came(self) -> float:
        """Affected rows that came."""
        return self.affected if self.sample is None else self.sample.affected

    @property
    def worth(self) -> float:
        """How many whole events would say the share as exactly."""
        return self.rows if self.sample is None else self.sample.worth

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the share."""
        if self.sample is None:
            return wilson(self.affected, self.rows)
        return wilson(self.share * self.sample.worth, self.sample.worth)


@dataclass(frozen=True, slots=True)
class DayShares:
    """What the reference's days say of a share: its mean, the worst day, and how alike two rows of one day are."""

    mean: float
    worst: float
    likeness: float
    days: int


def day_shares(days: Sequence[Count]) -> DayShares:
    """Sum up the days of the reference; ``likeness`` is the intra-day correlation by the method of moments.

    A likeness of 0 says that rows are as good as independent; 1 that each day is all or nothing.

    >>> even = day_shares([Count(10, 100), Count(10, 100), Count(11, 100)])
    >>> bursts = day_shares([Count(0, 100), Count(0, 100), Count(31, 100)])
    >>> even.mean == bursts.mean, even.likeness, round(bursts.likeness, 2)
    (True, 0.0, 0.34)
    """
    used = [day for day in days if day.rows]
    rows, affected = sum(day.rows for day in used), sum(day.affected for day in used)
    mean = affected / rows if rows else 0.0
    likeness = 0.0
    if len(used) > 1 and 0.0 < mean < 1.0:
        spread = sum((day.affected - day.rows * mean) ** 2 / (day.rows * mean * (1 - mean)) for day in used)
        dispersion = spread / (len(used) - 1)
        per_day = rows / len(used)
        likeness = min(max((dispersion - 1) / max(per_day - 1, 1.0), 0.0), 0.99)
    return DayShares(mean, max((day.share for day in used), default=0.0), likeness, len(used))


def student_tail(t: float, degrees: int) -> float:
    """How likely a Student t is this large or larger (one-sided).

    >>> round(student_tail(0.0, 27), 2), student_tail(5.0, 27) < 1e-4
    (0.5, True)
    """
    from scipy import special  # noqa: PLC0415  it takes longer than many a command that needs no tail of anything

    student = cast("Callable[[float, float], float]", special.stdtr)
    return float(student(float(degrees), -t))


def wilson(affected: float, rows: float, z: float = Z95) -> tuple[float, float]:
    """Give the Wilson interval of a share: honest at 0, at 1 and for few rows; of no rows it is (0, 1).

    >>> tuple(round(end, 3) for end in wilson(0, 10))
    (0.0, 0.278)
    """
    if rows <= 0:
        return 0.0, 1.0
    share = affected / rows
    scale = 1 + z * z / rows
    centre = (share + z * z / (2 * rows)) / scale
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def day_wilson(now: Count, likeness: float) -> tuple[float, float]:
    """Give the Wilson interval at the number of rows that are left once rows of one day are alike."""
    design = 1 + max(now.rows - 1, 0) * likeness
    return wilson(now.affected / design, now.rows / design)


def grade(p_value: float | None, rows: int) -> str:
    """Grade evidence from A to D, as ``findings.Evidence`` defines it.

    >>> grade(1e-9, 5000), grade(1e-4, 300), grade(None, 300), grade(1e-9, 20)
    ('A', 'B', 'C', 'D')
    """
    if rows < 30 or (p_value is not None and p_value >= 0.05):
        return "D"
    if p_value is None or p_value >= 1e-3:
        return "C"
    return "A" if p_value < 1e-6 and rows >= 1000 else "B"

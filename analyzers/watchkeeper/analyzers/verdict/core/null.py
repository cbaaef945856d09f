"""How likely is evidence this strong at any time in 224 days, when nothing has changed? A table made by simulation.

``benchmarks/verdict_null.py`` makes it. Misleads where days depend on each other beyond their weekday: the table's days
do not. Beyond its last share the logarithm of the chance falls on in a straight line, fitted to the top 5 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from watchkeeper.analyzers.verdict.core.channels import Floats

HORIZON = 224
FILE = Path(__file__).with_name("null.json")


class _Row(Struct, frozen=True):
    reference_days: int
    bounds: list[float]
    levels: list[float]
    shares: list[float]
    slope: float


class _Table(Struct, frozen=True):
    table: list[_Row]


@dataclass(frozen=True, slots=True)
class Null:
    """The null of one reference length."""

    bounds: Floats
    levels: Floats
    log_shares: Floats
    slope: float

    def log_chance(self, level: Floats) -> Floats:
        """Give log P(the largest mixture of 224 days >= level).

        >>> calm, strong = for_reference(28).log_chance(np.array([1.0, 25.0]))
        >>> bool(calm > -1), bool(strong < -12)
        (True, True)
        """
        inside = np.interp(level, self.levels, self.log_shares, left=0.0)
        beyond = self.log_shares[-1] + self.slope * (level - self.levels[-1])
        return np.where(level > self.levels[-1], beyond, inside)


@cache
def for_reference(days: int) -> Null:
    """Give the table for the longest simulated reference that is no longer than this one."""
    rows = msgspec.json.decode(FILE.read_bytes(), type=_Table).table
    fitting = [row for row in rows if row.reference_days <= days] or rows[:1]
    row = max(fitting, key=lambda one: one.reference_days)
    return Null(np.array(row.bounds), np.array(row.levels), np.log(np.array(row.shares)), row.slope)

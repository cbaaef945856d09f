"""What is watched: a channel is one number a day with the rows behind it, and the name of what it is about.

Channels add up over nothing but days: a day's number never depends on another day, so a new day costs one day. They
mislead where a day has few rows; the row count travels with the number so that a thin day weighs less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Family(StrEnum):
    """What a channel speaks of; decides how loud it may be and how a name is ranked."""

    BREAK = "break"
    INPUT = "input"
    SCORE = "score"
    QUALITY = "quality"
    OPERATION = "operation"
    SEGMENT = "segment"

    @property
    def harm(self) -> bool:
        """Whether a change here is a loss by itself, rather than a change of what comes in."""
        return self in (Family.QUALITY, Family.OPERATION, Family.SEGMENT)


@dataclass(frozen=True, slots=True)
class Channel:
    """One number a day. ``side`` 1: only a rise matters; 0: both. ``late``: known once outcomes are.

    ``share``: the number is a share of rows; one of rare events is counted, not averaged (see ``strength``).
    """

    name: str
    subject: str
    family: Family
    side: int = 0
    share: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """A channel by day: the numbers (NaN on a day without rows), the rows, and the variance of a row in a day.

    ``skew``: the skewness of a row, where it is large and known better than from the days.
    """

    values: Floats
    rows: Floats
    within: float = 0.0
    skew: float = 0.0


Table = dict[str, Measured]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of some days. The frame has ``day`` (0 = the first day) and the columns named here.

    ``numeric``, ``category`` and ``segment`` map a name that people know to a column. What a model may have besides
    is found by column name: ``hour``, ``score``, ``prediction``, ``outcome`` (numbers), ``correct``, ``failed``
    (boolean), ``latency_ms``, ``attempts``, ``tokens_in``, ``tokens_out``, ``cost``.
    """

    frame: pl.DataFrame
    numeric: Mapping[str, str]
    category: Mapping[str, str]
    segment: Mapping[str, str]

    def floats(self, column: str) -> Floats:
        """Give a column as floats, NaN for null; all NaN where there is no such column."""
        if column not in self.frame.columns:
            return np.full(self.frame.height, np.nan)
        return self.frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()

    def has(self, column: str, share: float = 0.5) -> bool:
        """Whether the column is there and mostly filled."""
        if column not in self.frame.columns or self.frame.height == 0:
            return False
        return self.frame.height - self.frame[column].null_count() >= share * self.frame.height

    def codes(self, column: str, values: Iterable[str]) -> Ints:
        """Give each row's place in ``values``; -1 for null, -2 for any other value."""
        known = list(values)
        series = self.frame[column].cast(pl.String)
        if not known:
            return np.where(series.is_null().to_numpy(), -1, -2).astype(np.int64)
        coded = series.replace_strict(known, list(range(len(known))), default=-2, return_dtype=pl.Int64)
        return np.where(series.is_null().to_numpy(), -1, coded.fill_null(-2).to_numpy()).astype(np.int64)

    def only(self, mask: Bools) -> Rows:
        """Keep some rows."""
        return Rows(self.frame.filter(pl.Series(mask)), self.numeric, self.category, self.segment)


@dataclass(frozen=True, slots=True)
class Days:
    """Adds rows up by day."""

    day: Ints
    count: int

    @classmethod
    def of(cls, rows: Rows, count: int) -> Days:
        """Take the days of these rows; ``count`` days from day 0 on."""
        return cls(rows.frame["day"].cast(pl.Int64).to_numpy(), count)

    def sum(self, values: Floats | Bools) -> Floats:
        """Add up by day; NaN counts nothing."""
        weights = np.nan_to_num(values.astype(np.float64))
        return np.bincount(self.day, weights=weights, minlength=self.count).astype(np.float64)

    def mean(self, values: Floats, weight: Floats | None = None) -> Measured:
        """Average by day what is not NaN.

        >>> days = Days(np.array([0, 0, 2]), 3)
        >>> days.mean(np.array([1.0, 3.0, 5.0])).values.tolist()
        [2.0, nan, 5.0]
        """
        valid = ~np.isnan(values)
        weights = valid.astype(np.float64) if weight is None else np.where(valid, weight, 0.0)
        total = np.bincount(self.day, weights=weights, minlength=self.count)
        held = np.where(valid, values, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.bincount(self.day, weights=weights * held, minlength=self.count) / total
        rows = self.sum(valid)
        inside = held[valid]
        return Measured(np.where(total > 0, means, np.nan), rows, float(inside.var()) if inside.size else 0.0)

    def share(self, mask: Bools, among: Bools | None = None) -> Measured:
        """Give by day the share of rows where the mask holds."""
        return self.mean(np.where(among, mask, np.nan) if among is not None else mask.astype(np.float64))

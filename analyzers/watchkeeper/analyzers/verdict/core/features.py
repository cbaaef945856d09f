"""How do the inputs look? Level, place and spread of each number, the mix of each category, and what is broken.

A number is watched by its mean (cut at the reference's 0.2 and 99.8 %, so that one value of 1e6 neither hides nor
fakes a drift) and by two *smooth ranks*: the mean of u and of (u - 1/2)^2, where u is the reference's distribution,
interpolated between 21 quantiles. Exact ranks would react to a rescaled discrete value on the first day: that is how
data is stored, not how it moves. Misleads where a feature has a season: a reference month does not know summer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from watchkeeper.analyzers.verdict.core.channels import Channel, Days, Family, Floats, Rows, Table

QUANTILES = 21
CUT = (0.002, 0.998)
TOP_VALUES = 8
MIN_SHARE = 0.02
FEWEST = 50
"""Filled reference rows below which a feature is not watched."""


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric feature as the reference had it."""

    name: str
    column: str
    low: float
    high: float
    cut: tuple[float, float]
    knots: Floats
    places: Floats

    def rank(self, values: Floats) -> Floats:
        """Give the place of each value in the reference, from 0 to 1; NaN for none."""
        return np.where(np.isnan(values), np.nan, np.interp(values, self.knots, self.places))

    def measure(self, rows: Rows, days: Days, *, reference: bool = False) -> Table:  # noqa: ARG002 - as a category
        """Measure it on some days."""
        values = rows.floats(self.column)
        rank = self.rank(values)
        half = (self.high - self.low) / 2
        beyond = (values < self.low - half) | (values > self.high + half)
        table = {
            f"{self.name} missing": days.share(np.isnan(values)),
            f"{self.name} beyond the range": days.share(beyond, ~np.isnan(values)),
        }
        if self.low < self.high:
            table[f"{self.name} mean"] = days.mean(np.clip(values, *self.cut))
            table[f"{self.name} rank"] = days.mean(rank)
            table[f"{self.name} spread"] = days.mean((rank - 0.5) ** 2)
        return table

    def channels(self) -> Iterator[Channel]:
        """Name its channels."""
        yield Channel(f"{self.name} missing", self.name, Family.BREAK, side=1, share=True)
        yield Channel(f"{self.name} beyond the range", self.name, Family.BREAK, side=1, share=True)
        if self.low < self.high:
            for what in ("mean", "rank", "spread"):
                yield Channel(f"{self.name} {what}", self.name, Family.INPUT)


@dataclass(frozen=True, slots=True)
class Category:
    """A category (or a segment column) as the reference had it: every value, and those that are worth a channel.

    ``lone`` are the places of the values that came on one day of the reference only. To the other days they were new:
    so the reference itself says how much of a long tail (zip codes, product numbers) is new on any day.
    """

    name: str
    column: str
    values: tuple[str, ...]
    top: tuple[str, ...]
    lone: tuple[int, ...] = ()

    def measure(self, rows: Rows, days: Days, *, reference: bool = False) -> Table:
        """Measure it on some days; ``reference``: the very days that this was learned from."""
        codes = rows.codes(self.column, self.values)
        new = codes == -2
        if reference:
            new |= np.isin(codes, self.lone)
        table = {f"{self.name} missing": days.share(codes == -1), f"{self.name} unseen": days.share(new)}
        for value in self.top:
            table[f"{self.name}={value} share"] = days.share(codes == self.values.index(value))
        return table

    def channels(self) -> Iterator[Channel]:
        """Name its channels."""
        yield Channel(f"{self.name} missing", self.name, Family.BREAK, side=1, share=True)
        yield Channel(f"{self.name} unseen", self.name, Family.BREAK, side=1, share=True)
        for value in self.top:
            yield Channel(f"{self.name}={value} share", self.name, Family.INPUT, share=True)


def number(rows: Rows, name: str, column: str) -> Number | None:
    """Learn a numeric feature from reference rows; None where there is too little.

    >>> frame = pl.DataFrame({"day": [0, 1] * 100, "x": [float(i) for i in range(200)]})
    >>> learned = number(Rows(frame, {"x": "x"}, {}, {}), "x", "x")
    >>> later = pl.DataFrame({"day": [0] * 4, "x": [150.0, 160.0, 170.0, 5000.0]})
    >>> table = learned.measure(Rows(later, {}, {}, {}), Days(np.zeros(4, int), 1))
    >>> [round(float(table[name].values[0]), 2) for name in ("x beyond the range", "x mean", "x rank", "x spread")]
    [0.25, 169.65, 0.85, 0.13]
    """
    values = rows.floats(column)
    known = np.sort(values[np.isfinite(values)])
    if known.size < FEWEST:
        return None
    at = np.linspace(0, 1, QUANTILES)
    knots = np.quantile(known, at)
    distinct = np.unique(knots)
    places = np.array([at[knots == knot].mean() for knot in distinct])
    cut = np.quantile(known, CUT)
    return Number(name, column, float(known[0]), float(known[-1]), (float(cut[0]), float(cut[1])), distinct, places)


def category(rows: Rows, name: str, column: str) -> Category | None:
    """Learn a category from reference rows; None where there is too little, or too many values to watch.

    >>> days = [day for day in range(20) for _ in range(10)]
    >>> tail = pl.DataFrame({"day": days, "zip": [f"z{n}" if n % 10 == 0 else "town" for n in range(200)]})
    >>> learned = category(Rows(tail, {}, {"zip": "zip"}, {}), "zip", "zip")
    >>> table = learned.measure(Rows(tail, {}, {}, {}), Days(np.array(days), 20), reference=True)
    >>> table["zip unseen"].values[:3].tolist()
    [0.1, 0.1, 0.1]
    """
    counted = (
        rows.frame.select(pl.col(column).cast(pl.String).alias("value"), "day")
        .drop_nulls("value")
        .group_by("value")
        .agg(pl.len().alias("n"), pl.col("day").n_unique().alias("days"))
        .sort([-pl.col("n").cast(pl.Int64), "value"])
    )
    total = int(counted["n"].sum())
    if total < FEWEST or counted.height > total // 4:
        return None
    values: list[str] = counted["value"].to_list()
    top = counted.head(TOP_VALUES).filter(pl.col("n") >= MIN_SHARE * total)["value"].to_list()
    if len(values) == 1:
        top = []
    elif len(values) == 2:
        top = top[:1]  # the other share says the same
    return Category(name, column, tuple(values), tuple(top), tuple((counted["days"] == 1).arg_true().to_list()))


def learn(rows: Rows) -> list[Number | Category]:
    """Learn every feature and segment column."""
    numbers = (number(rows, name, column) for name, column in rows.numeric.items())
    columns = dict(rows.category)
    for name, column in rows.segment.items():
        if name not in columns and not any(rows.frame[column].equals(rows.frame[one]) for one in columns.values()):
            columns[name] = column
    categories = (category(rows, name, column) for name, column in columns.items())
    return [one for one in (*numbers, *categories) if one is not None]

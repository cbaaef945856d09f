"""Feature histograms on the edges of their epoch, so that any past window merges without a scan.

Edges belong to (model, feature, epoch): at most 100 quantile edges of the first reference, with open end bins, and
bins of their own for null, NaN, infinite and unseen. Bin 0 lies below everything that the reference held, the last
bin above it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from watchkeeper.store.facts.edge_search import bins_of

MISSING, NAN, INFINITE, UNSEEN, REST = -1, -2, -3, -4, -5
MAX_EDGES = 100
MAX_CATEGORIES = 200
MAX_UNSEEN_VALUES = 50
HOUR_US = 3_600_000_000
SPECIALS = 5

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Epoch:
    """The bins of one feature of one model: edges if numeric, categories if not."""

    epoch: int
    feature: str
    kind: str
    edges: Floats
    categories: tuple[str, ...]
    low: float | None = None
    high: float | None = None

    @property
    def open_ended(self) -> bool:
        """Whether the reference had more categories than are kept, so that nothing can be called unseen."""
        return len(self.categories) >= MAX_CATEGORIES


@dataclass(frozen=True, slots=True)
class Hours:
    """The hours (since 1970) that a load's rows fall into, and each row's place among them: found once a load."""

    distinct: Ints
    slots: Ints

    @classmethod
    def of(cls, ts: pl.Series) -> Hours:
        """Find the hour of each time."""
        return cls(*np.unique(ts.dt.epoch("us").to_numpy() // HOUR_US, return_inverse=True))

    def count(self, mask: NDArray[np.bool_] | None = None) -> Ints:
        """Count the rows of each hour, or those that are marked."""
        return np.bincount(self.slots if mask is None else self.slots[mask], minlength=self.distinct.size)


@dataclass(frozen=True, slots=True)
class Moments:
    """What each hour of one numeric feature adds up to."""

    nan: Ints
    infinite: Ints
    min: Floats
    max: Floats
    sum: Floats
    sumsq: Floats


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by hour and bin, where there are any."""

    hour: Ints
    bin: Ints
    n: Ints


def numeric_edges(values: Floats) -> Floats:
    """Choose the edges of a numeric feature from its finite reference values.

    Few distinct values get a bin each; many get (nearly) equal shares. First and last edge are the range.

    >>> numeric_edges(np.array([1.0, 2.0, 2.0, 3.0])).tolist()
    [1.0, 1.5, 2.5, 3.0000000000000004]
    """
    distinct = np.unique(values)
    if distinct.size == 0:
        return np.array([])
    if distinct.size <= MAX_EDGES - 1:
        inner = distinct[:-1] / 2 + distinct[1:] / 2  # their sum may be infinite
    else:
        inner = np.unique(np.quantile(values, np.linspace(0, 1, MAX_EDGES)[1:-1]))
        inner = inner[(inner > distinct[0]) & (inner < distinct[-1])]
    return np.concatenate([[distinct[0]], inner, [math.nextafter(distinct[-1], math.inf)]])


def numeric_bins(epoch: Epoch, values: Floats, missing: NDArray[np.bool_]) -> Ints:
    """Put each value into its bin; null, NaN and infinite into their own."""
    bins = bins_of(epoch.edges, values)
    bins[np.isnan(values)] = NAN
    bins[np.isinf(values)] = INFINITE
    bins[missing] = MISSING
    return bins


def category_bins(epoch: Epoch, values: pl.Series) -> Ints:
    """Put each value into the bin of its category; null and unseen into their own."""
    rest = REST if epoch.open_ended else UNSEEN
    if not epoch.categories:
        bins = pl.Series(np.full(len(values), rest))
    else:
        bins = values.replace_strict(
            list(epoch.categories), list(range(len(epoch.categories))), default=rest, return_dtype=pl.Int64
        )
    return bins.zip_with(values.is_not_null(), pl.Series([MISSING], dtype=pl.Int64)).to_numpy()


def counts(hours: Hours, bins: Ints) -> Counts:
    """Count rows by hour and bin; what it costs does not depend on how far apart the hours are."""
    width = int(bins.max()) + SPECIALS + 1
    filled = np.bincount(hours.slots * width + bins + SPECIALS)
    present = np.nonzero(filled)[0]
    return Counts(hours.distinct[present // width], present % width - SPECIALS, filled[present])


def moments(hours: Hours, values: Floats, missing: NDArray[np.bool_]) -> Moments:
    """Add up one numeric feature by hour; a missing value is whatever stands there, and counts for nothing."""
    nan = np.isnan(values) & ~missing
    infinite = np.isinf(values) & ~missing
    finite = ~(missing | nan | infinite)
    kept, places = (values, hours.slots) if finite.all() else (values[finite], hours.slots[finite])
    count = hours.distinct.size
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, places, kept)
    np.maximum.at(high, places, kept)
    empty = np.isinf(low)
    low[empty] = high[empty] = np.nan
    with np.errstate(over="ignore"):  # the square of 1e200 is infinite, and may be
        squares = kept * kept
    return Moments(
        nan=hours.count(nan),
        infinite=hours.count(infinite),
        min=low,
        max=high,
        sum=np.bincount(places, weights=kept, minlength=count).astype(np.float64),
        sumsq=np.bincount(places, weights=squares, minlength=count).astype(np.float64),
    )


def no_moments(hours: Hours) -> Moments:
    """Give what text adds up to."""
    count = hours.distinct.size
    zeros, nothing = np.zeros(count), np.full(count, np.nan)
    return Moments(zeros.astype(np.int64), zeros.astype(np.int64), nothing, nothing, zeros, zeros)


def unseen_counts(epoch: Epoch, hours: Hours, values: pl.Series, bins: Ints) -> pl.DataFrame:
    """Name the most frequent unseen values of each load, at most fifty."""
    mask = bins == UNSEEN
    frame = pl.DataFrame({"hour": hours.distinct[hours.slots[mask]], "value": values.filter(pl.Series(mask))})
    top = frame.group_by("value").len().sort("len", "value", descending=[True, False]).head(MAX_UNSEEN_VALUES)
    return (
        frame.join(top.select("value"), on="value", how="semi")
        .group_by("hour", "value")
        .len("n")
        .with_columns(pl.lit(epoch.epoch, pl.Int32).alias("epoch"), pl.col("n").cast(pl.Int64))
    )


class EpochCatalog:
    """The epochs in force, by model and feature: read once, then kept in step."""

    def __init__(self) -> None:
        self._epochs: dict[tuple[str, str], dict[str, Epoch]] = {}
        self._generation = -1

    def refresh(self, connection: duckdb.DuckDBPyConnection, generation: int) -> None:
        """Read the epochs again after an aborted transaction (or for the first time)."""
        if generation != self._generation:
            self._generation = generation
            self.reload(connection)

    def reload(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Read the epochs again."""
        self._epochs.clear()
        for row in connection.execute(
            """SELECT epoch, service, model, feature, kind, edges, categories, low, high FROM epochs
               WHERE ended_at IS NULL ORDER BY epoch"""
        ).fetchall():
            epoch, service, model, feature, kind, edges, categories, low, high = row
            self._epochs.setdefault((service, model), {})[feature] = Epoch(
                epoch, feature, kind, np.asarray(edges, dtype=np.float64), tuple(categories), low, high
            )

    def of(self, service: str, model: str) -> Mapping[str, Epoch]:
        """Give the epochs of one model by feature; none before its reference."""
        return self._epochs.get((service, model), {})

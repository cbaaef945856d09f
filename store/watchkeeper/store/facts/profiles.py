"""Adds up what one load says about each feature: moments by hour, and bins once the model has a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from watchkeeper.store.facts.connection import insert
from watchkeeper.store.facts.histograms import (
    HOUR_US,
    UNSEEN,
    Epoch,
    Floats,
    Ints,
    category_bins,
    counts,
    moments,
    numeric_bins,
    unseen_counts,
)

BUCKET = (pl.col("hour") * HOUR_US).cast(pl.Datetime("us")).alias("bucket")


@dataclass(slots=True)
class Profile:
    """The rollup rows of one load, gathered over models and features, then written at once."""

    feature_rows: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    bin_rows: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    unseen_rows: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])

    def write(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Append everything to the rollups."""
        for table, frames in (
            ("feature_hour", self.feature_rows),
            ("histogram_hour", self.bin_rows),
            ("unseen_hour", self.unseen_rows),
        ):
            if frames:
                insert(connection, table, pl.concat(frames, how="vertical_relaxed"))


def hours_of(ts: pl.Series) -> Ints:
    """Give the hour since 1970 of each time."""
    return ts.dt.epoch("us").to_numpy() // HOUR_US


def add_moments(
    profile: Profile,
    service: str,
    model: str,
    hours: Ints,
    columns: Mapping[str, pl.Series],
    mismatched: Mapping[str, Sequence[int]],
) -> None:
    """Count by hour how each feature looks: rows, missing, infinite, of the wrong type, range and sums."""
    distinct, slots = np.unique(hours, return_inverse=True)
    for feature, series in columns.items():
        wrong = np.zeros(len(series), dtype=np.bool_)
        wrong[np.asarray(mismatched.get(feature, ()), dtype=np.int64)] = True
        values, missing = as_floats(series)
        m = moments(slots, distinct.size, values, missing)
        numeric = series.dtype == pl.Float64
        profile.feature_rows.append(
            pl.DataFrame(
                {
                    "hour": distinct,
                    "total": m.total,
                    "missing": np.bincount(slots[missing & ~wrong], minlength=distinct.size),
                    "nan": m.nan,
                    "infinite": m.infinite,
                    "mismatched": np.bincount(slots[wrong], minlength=distinct.size),
                    "min": pl.Series(m.low).fill_nan(None) if numeric else None,
                    "max": pl.Series(m.high).fill_nan(None) if numeric else None,
                    "sum": m.sum,
                    "sumsq": m.sumsq,
                },
                schema_overrides={"min": pl.Float64, "max": pl.Float64},
            ).select(
                BUCKET,
                pl.lit(service).alias("service"),
                pl.lit(model).alias("model"),
                pl.lit(feature).alias("feature"),
                pl.exclude("hour"),
            )
        )


def add_bins(profile: Profile, epochs: Mapping[str, Epoch], hours: Ints, columns: Mapping[str, pl.Series]) -> None:
    """Count by hour and bin each feature that has an epoch; name the values that the reference never held."""
    for feature, series in columns.items():
        epoch = epochs.get(feature)
        if epoch is None or (epoch.kind == "numeric") != (series.dtype == pl.Float64):
            continue
        if epoch.kind == "numeric":
            bins = numeric_bins(epoch, *as_floats(series))
        else:
            bins = category_bins(epoch, series.cast(pl.String))
            if bool((bins == UNSEEN).any()):
                named = unseen_counts(epoch, hours, series.cast(pl.String), bins)
                profile.unseen_rows.append(named.select(BUCKET, "epoch", "value", "n"))
        counted = counts(hours, bins).with_columns(pl.lit(epoch.epoch, pl.Int32).alias("epoch"))
        profile.bin_rows.append(counted.select(BUCKET, "epoch", "bin", "n"))


def as_floats(series: pl.Series) -> tuple[Floats, NDArray[np.bool_]]:
    """Give a numeric series as floats and a mask of its nulls; of text only the mask means anything."""
    missing = series.is_null().to_numpy()
    if series.dtype != pl.Float64:
        return np.full(len(series), 0.0), missing
    return series.fill_null(0.0).to_numpy(), missing

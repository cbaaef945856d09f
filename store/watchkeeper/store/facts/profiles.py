"""Adds up what one load says about each feature: moments by hour, and bins once the model has a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import numpy as np
import polars as pl

from watchkeeper.store.facts.connection import insert
from watchkeeper.store.facts.histograms import (
    HOUR_US,
    UNSEEN,
    Counts,
    Epoch,
    Hours,
    Ints,
    Moments,
    category_bins,
    counts,
    moments,
    no_moments,
    numeric_bins,
    unseen_counts,
)

BUCKET = (pl.col("hour") * HOUR_US).cast(pl.Datetime("us")).alias("bucket")
_SUMS = ("nan", "infinite", "min", "max", "sum", "sumsq")


@dataclass(frozen=True, slots=True)
class FeatureHours:
    """How one feature looked in each hour of a load."""

    service: str
    model: str
    feature: str
    hour: Ints
    total: Ints
    missing: Ints
    mismatched: Ints
    moments: Moments


@dataclass(slots=True)
class Profile:
    """What one load adds to the rollups of features, gathered over models and features, then written at once."""

    features: list[FeatureHours] = field(default_factory=list[FeatureHours])
    bins: list[tuple[int, Counts]] = field(default_factory=list[tuple[int, Counts]])
    unseen: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])

    def write(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Append everything to the rollups."""
        if self.features:
            insert(connection, "feature_hour", _feature_rows(self.features))
        if self.bins:
            insert(connection, "histogram_hour", _bin_rows(self.bins))
        if self.unseen:
            insert(connection, "unseen_hour", pl.concat(self.unseen).select(BUCKET, "epoch", "value", "n"))


def _feature_rows(features: Sequence[FeatureHours]) -> pl.DataFrame:
    names = {
        name: [getattr(one, name) for one in features for _ in range(one.hour.size)]
        for name in ("service", "model", "feature")
    }
    numbers = {
        name: np.concatenate([getattr(one, name) for one in features])
        for name in ("hour", "total", "missing", "mismatched")
    }
    sums = {name: np.concatenate([getattr(one.moments, name) for one in features]) for name in _SUMS}
    return pl.DataFrame(names | numbers | sums).select(
        BUCKET, pl.exclude("hour", "min", "max"), pl.col("min", "max").fill_nan(None)
    )


def _bin_rows(bins: Sequence[tuple[int, Counts]]) -> pl.DataFrame:
    parts = {name: np.concatenate([getattr(found, name) for _, found in bins]) for name in ("hour", "bin", "n")}
    epochs = np.repeat([epoch for epoch, _ in bins], [found.n.size for _, found in bins])
    return pl.DataFrame(parts | {"epoch": epochs}).select(
        BUCKET, pl.col("epoch").cast(pl.Int32), pl.col("bin").cast(pl.Int16), "n"
    )


def add_moments(
    profile: Profile,
    service: str,
    model: str,
    hours: Hours,
    columns: Mapping[str, pl.Series],
    mismatched: Mapping[str, Sequence[int]],
) -> None:
    """Count by hour how each feature looks: rows, missing, infinite, of the wrong type, range and sums."""
    total = hours.count()
    for feature, series in columns.items():
        wrong = np.zeros(len(series), dtype=np.bool_)
        wrong[np.asarray(mismatched.get(feature, ()), dtype=np.int64)] = True
        missing = series.is_null().to_numpy()
        found = moments(hours, series.to_numpy(), missing) if series.dtype == pl.Float64 else no_moments(hours)
        profile.features.append(
            FeatureHours(
                service, model, feature, hours.distinct, total, hours.count(missing & ~wrong), hours.count(wrong), found
            )
        )


def add_bins(profile: Profile, epochs: Mapping[str, Epoch], hours: Hours, columns: Mapping[str, pl.Series]) -> None:
    """Count by hour and bin each feature that has an epoch; name the values that the reference never held."""
    for feature, series in columns.items():
        epoch = epochs.get(feature)
        if epoch is None or (epoch.kind == "numeric") != (series.dtype == pl.Float64):
            continue
        if epoch.kind == "numeric":
            bins = numeric_bins(epoch, series.to_numpy(), series.is_null().to_numpy())
        else:
            bins = category_bins(epoch, series.cast(pl.String))
            if bool((bins == UNSEEN).any()):
                profile.unseen.append(unseen_counts(epoch, hours, series.cast(pl.String), bins))
        profile.bins.append((epoch.epoch, counts(hours, bins)))

"""What the checks of the data look at: each feature in this window, in those before it, and on the reference's days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from watchkeeper.analyzers.evaluation import Scope
from watchkeeper.analyzers.memo import once
from watchkeeper.analyzers.rows import FeatureRow, rows
from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_EPOCH = datetime.fromtimestamp(0, UTC)
WINDOWS = 7
"""Windows that are read: the evaluated one and those just before it."""
HISTORY = timedelta(days=28)
"""How far back the beginning of a fault is looked for."""

_SUMS = ("rows", "missing", "nan", "infinite", "mismatched", "unseen", "below", "above")


@dataclass(frozen=True, slots=True)
class FeatureDays:
    """One feature: ``windows`` are disjoint and as long as the evaluated one, which is the first."""

    feature: str
    windows: tuple[FeatureRow, ...]
    reference: tuple[FeatureRow, ...]

    @property
    def now(self) -> FeatureRow:
        """The evaluated window."""
        return self.windows[0]


def feature_days(scope: Scope) -> list[FeatureDays]:
    """Read every feature that the window or the reference has, in order of its name; the checks share one read."""
    return once(scope.facts, ("feature_days", scope.pair, scope.window), lambda: _read(scope))


def _read(scope: Scope) -> list[FeatureDays]:
    key = ("reference days", scope.pair, scope.info.reference)
    reference = once(scope.facts, key, lambda: _reference(scope))
    seen = _windows(scope)
    return [
        FeatureDays(
            feature,
            tuple(
                seen.get((feature, place), FeatureRow(feature, _kind(feature, seen, reference)))
                for place in range(WINDOWS)
            ),
            tuple(reference.get(feature, ())),
        )
        for feature in sorted(reference | {feature: [] for feature, _ in seen})
    ]


def _reference(scope: Scope) -> dict[str, list[FeatureRow]]:
    reference: dict[str, list[FeatureRow]] = {}
    for row in rows(scope.facts.reference_features(scope.service, scope.model), FeatureRow):
        reference.setdefault(row.feature, []).append(row)
    return reference


def _kind(feature: str, seen: dict[tuple[str, int], FeatureRow], reference: dict[str, list[FeatureRow]]) -> str:
    known = reference.get(feature) or [row for (name, _), row in seen.items() if name == feature]
    return known[0].kind


def _windows(scope: Scope) -> dict[tuple[str, int], FeatureRow]:
    """Sum hours into the evaluated window (place 0) and those before it.

    The read reaches to the borders of stretches as long as all windows together, so that the evaluations of one
    stretch share it; what lies past the window's end is left out here.
    """
    span, end = scope.window.length, scope.window.end
    stretch = span * WINDOWS
    border = end - (end - _EPOCH) % stretch
    read = Window(border - stretch, border + stretch if border < end else end)
    whole = span == DAY and (end - _EPOCH) % DAY == timedelta(0)
    step = DAY if whole else HOUR
    frame = scope.facts.features(scope.service, scope.model, read, step=step)
    age = (pl.lit(stored(end)) - step - pl.col("bucket")).dt.total_microseconds()
    summed = (
        frame.with_columns(pl.col("bucket").cast(pl.Datetime("us")))
        .with_columns((age // (span // timedelta(microseconds=1))).alias("place"))
        .filter(pl.col("place").is_between(0, WINDOWS - 1))
        .group_by("feature", "kind", "place")
        .agg(
            *(pl.col(name).sum() for name in _SUMS),
            pl.col("min").min(),
            pl.col("max").max(),
            *(pl.when(pl.col("min").is_not_null()).then(pl.col(name)).sum() for name in ("sum", "sumsq")),
        )
    )
    places: list[int] = summed["place"].to_list()
    found: dict[tuple[str, int], FeatureRow] = {}
    for place, row in zip(places, rows(summed, FeatureRow), strict=True):
        known = found.get((row.feature, place))
        if known is None or row.rows > known.rows:
            found[row.feature, place] = row
    return found


def history(scope: Scope) -> dict[str, Sequence[FeatureRow]]:
    """Read each feature by day, from the end of the reference (at most 28 days back) to the end of the window."""
    start = scope.window.end - HISTORY
    if scope.info.reference is not None:
        start = max(start, scope.info.reference.end)
    frame = scope.facts.features(scope.service, scope.model, Window(start, scope.window.end), step=timedelta(days=1))
    days: dict[str, list[FeatureRow]] = {}
    for row in rows(frame.sort("bucket"), FeatureRow):
        days.setdefault(row.feature, []).append(row)
    return dict(days)


def aware(bucket: datetime | None) -> datetime | None:
    """Mark a stored (naive UTC) bucket as UTC."""
    return None if bucket is None else bucket.replace(tzinfo=UTC)

"""Ours: bin every column on the kept edges, merge, measure all seven distances."""

from __future__ import annotations

import json
import sys
import time

began = time.process_time()
import numpy as np  # noqa: E402
import polars as pl  # noqa: E402

from watchkeeper.analyzers.drift_bins import Bins, Feature, Steps, merged, steps  # noqa: E402
from watchkeeper.analyzers.drift_distance import Distance  # noqa: E402
from watchkeeper.analyzers.registry import discover  # noqa: E402
from watchkeeper.analyzers.rows import BinRow  # noqa: E402
from watchkeeper.store.facts.histograms import (  # noqa: E402
    Epoch,
    Hours,
    category_bins,
    counts,
    numeric_bins,
    numeric_edges,
)
from watchkeeper.store.facts.references import SAMPLE_ROWS  # noqa: E402

imported = time.process_time() - began
from benchmarks.drift_data import columns  # noqa: E402

DISTANCES = [one for one in discover().values() if isinstance(one, Distance)]
MUCH = 0.2
"""The usual reading of PSI."""


def frame(rows: int, seed: int, *, moved: bool) -> pl.DataFrame:
    """As the store holds them: a missing number is null."""
    made = pl.DataFrame(
        {
            name: pl.Series(values.tolist() if values.dtype.kind == "U" else values)
            for name, values in columns(rows, seed, moved=moved).items()
        }
    )
    return made.with_columns(pl.col(pl.Float64).fill_nan(None))


def epoch(number: int, series: pl.Series) -> Epoch:
    if series.dtype == pl.Float64:
        values = series[:SAMPLE_ROWS].drop_nulls().to_numpy()  # the store draws as many; here the order is chance
        return Epoch(number, series.name, "numeric", numeric_edges(values), ())
    return Epoch(number, series.name, "category", np.array([]), tuple(series.unique().sort()))


def binned(epoch: Epoch, series: pl.Series) -> dict[int, int]:
    """Count rows a bin: what the loader does with each chunk."""
    if epoch.kind == "numeric":
        bins = numeric_bins(epoch, series.fill_null(0.0).to_numpy(), series.is_null().to_numpy())
    else:
        bins = category_bins(epoch, series)
    counted = counts(Hours(np.zeros(1, dtype=np.int64), np.zeros(len(series), dtype=np.int64)), bins)
    return dict(zip(counted.bin.tolist(), counted.n.tolist(), strict=True))


def main(rows: int, reference_rows: int) -> None:
    reference = frame(reference_rows, 1, moved=False)
    current = frame(rows, 2, moved=True)
    began = time.process_time()
    kept = [epoch(number, series) for number, series in enumerate(reference)]
    before = [binned(one, reference[one.feature]) for one in kept]
    cpu, wall = time.process_time(), time.perf_counter()
    found: dict[str, dict[str, float]] = {}
    for one, reference_bins in zip(kept, before, strict=True):
        now = binned(one, current[one.feature])
        feature = Feature(*both(one, now, reference_bins))
        measured = {distance.metric: distance.measure(feature) for distance in DISTANCES}
        found[one.feature] = {metric: value.value for metric, value in measured.items() if value is not None}
    result = {
        "cpu_s": round(time.process_time() - cpu, 2),
        "wall_s": round(time.perf_counter() - wall, 2),
        "reference_cpu_s": round(cpu - began, 2),
        "import_cpu_s": round(imported, 2),
        "distances": len(DISTANCES),
        "drifted": sorted(name for name, one in found.items() if one["psi"] > MUCH),
    }
    print(json.dumps(result))


def both(one: Epoch, now: dict[int, int], reference: dict[int, int]) -> tuple[Bins, Steps | None]:
    """Put the rows of both beside each other, as the reader gives them."""
    ends = [None, *one.edges.tolist(), None]
    fine = [
        BinRow(
            one.feature,
            one.kind,
            number,
            now.get(number, 0),
            reference.get(number, 0),
            lower=ends[number] if one.kind == "numeric" and number >= 0 else None,
            upper=ends[number + 1] if one.kind == "numeric" and number >= 0 else None,
        )
        for number in sorted(now.keys() | reference.keys())
    ]
    return merged(fine), steps(fine)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

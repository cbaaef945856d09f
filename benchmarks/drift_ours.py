"""Ours: bin every column on the kept edges, merge, measure PSI and Jensen-Shannon distance."""

from __future__ import annotations

import json
import sys
import time

began = time.process_time()
import numpy as np  # noqa: E402
import polars as pl  # noqa: E402

from watchkeeper.analyzers.drift import jensen_shannon, psi  # noqa: E402
from watchkeeper.analyzers.drift_bins import merged  # noqa: E402
from watchkeeper.analyzers.rows import BinRow  # noqa: E402
from watchkeeper.store.facts.histograms import (  # noqa: E402
    Epoch,
    Hours,
    category_bins,
    counts,
    numeric_bins,
    numeric_edges,
)

imported = time.process_time() - began
from benchmarks.drift_data import columns  # noqa: E402

PSI, DISTANCE = psi.ANALYZER, jensen_shannon.ANALYZER
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
        values = series.drop_nulls().to_numpy()
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
    kept = [epoch(number, series) for number, series in enumerate(reference)]
    before = [binned(one, reference[one.feature]) for one in kept]
    current = frame(rows, 2, moved=True)
    cpu, wall = time.process_time(), time.perf_counter()
    found: dict[str, dict[str, float]] = {}
    for one, reference_bins in zip(kept, before, strict=True):
        now = binned(one, current[one.feature])
        fine = [
            BinRow(one.feature, one.kind, number, now.get(number, 0), reference_bins.get(number, 0))
            for number in sorted(now.keys() | reference_bins.keys())
        ]
        bins = merged(fine)
        found[one.feature] = {"psi": PSI.distance(bins), "jensen_shannon": DISTANCE.distance(bins)}
    result = {
        "cpu_s": round(time.process_time() - cpu, 2),
        "wall_s": round(time.perf_counter() - wall, 2),
        "import_cpu_s": round(imported, 2),
        "drifted": sorted(name for name, one in found.items() if one["psi"] > MUCH),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

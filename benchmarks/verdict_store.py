"""A facts file with a reference of two weeks and a week of many rows in 25 columns, as a server stores it."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.drift_data import columns
from watchkeeper.analyzers import backtest_rows
from watchkeeper.store.facts import references
from watchkeeper.store.facts.batch import Batch
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.load import Loader

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
REFERENCE_DAYS, WINDOW_DAYS = 14, 7
REFERENCE_A_DAY = 20_000
CHUNK = 50_000


def day_of_rows(number: int, rows: int, *, segments: int = 0) -> pl.DataFrame:
    """Make one day: 25 features, a score, an answer, and a segment where it is asked for."""
    rng = np.random.default_rng([7, number])
    made = columns(rows, number, moved=False)
    frame = pl.DataFrame({name: pl.Series(v.tolist() if v.dtype.kind == "U" else v) for name, v in made.items()})
    score = rng.beta(2, 5, rows)
    seconds = np.sort(rng.integers(0, 86_400, rows))
    start = (START + number * DAY).replace(tzinfo=None)
    more = [
        (pl.lit(start) + pl.duration(seconds=pl.Series(seconds))).cast(pl.Datetime("us")).alias("ts"),
        pl.Series("score", score),
        pl.Series("prediction", (score > 0.4).astype(np.int64)),
        pl.Series("latency_ms", rng.lognormal(5, 0.4, rows)),
    ]
    if segments:
        more.append(pl.Series("segment", [f"s{n}" for n in rng.integers(0, segments, rows)]))
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None)).with_columns(more)


def load(loader: Loader, frame: pl.DataFrame, first_row: int, service: str = "bench") -> None:
    for start in range(0, frame.height, CHUNK):
        part = frame[start : start + CHUNK]
        ids = pl.int_range(first_row + start, first_row + start + part.height, eager=True).cast(pl.String)
        loader.load(
            Batch(predictions=backtest_rows.predictions(part.with_columns(ids.alias(backtest_rows.ROW)), service))
        )


def main(file: str, rows: int) -> None:
    facts = FactStore(Path(file), threads=1)
    end = START + (REFERENCE_DAYS + WINDOW_DAYS) * DAY
    loader = Loader(facts, lambda: end + 30 * DAY)
    done = 0
    for number in range(REFERENCE_DAYS):
        load(loader, day_of_rows(number, REFERENCE_A_DAY), done)
        done += REFERENCE_A_DAY
    references.make_due(facts, START + REFERENCE_DAYS * DAY, REFERENCE_DAYS)
    cpu = 0.0
    for number in range(REFERENCE_DAYS, REFERENCE_DAYS + WINDOW_DAYS):
        frame = day_of_rows(number, rows // WINDOW_DAYS)
        began = time.process_time()
        load(loader, frame, done)
        cpu += time.process_time() - began
        done += frame.height
    facts.close()
    print(json.dumps({"load_cpu_s": round(cpu, 1), "bytes": Path(file).stat().st_size}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

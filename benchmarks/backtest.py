"""What does a replay of one stream cost: 252 days, 100,000 rows, 22 inputs, scores, late outcomes and a segment?

Measured alone in a process of one thread, as ``watchkeeper backtest`` does with several files; once as it is by
default, once with ``--notices``. From day 120 on a sixth of the outcomes of one segment is turned round, so that there
is something to tell.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

QUESTION = "What does a replay of 252 days and 100,000 rows cost?"
DAYS, ROWS, INPUTS = 252, 400, 20
MOST_CPU_S = 10
_RUN = """
import json, sys, time
from pathlib import Path
from watchkeeper.analyzers.backtest import backtest
began = time.process_time()
report = backtest(Path(sys.argv[1]), 28, notices=sys.argv[2] == "notices")
told = [finding["severity"] for finding in report["findings"]]
figures = {"cpu_s": round(time.process_time() - began, 2)}
print(json.dumps(figures | {severity: told.count(severity) for severity in ("page", "ticket", "notice")}))
"""


def stream() -> pl.DataFrame:
    rng, n = np.random.default_rng(5), DAYS * ROWS
    day = np.repeat(np.arange(DAYS), ROWS)
    mood = rng.normal(0, 0.2, (DAYS, INPUTS))[day]
    inputs = rng.normal(0, 1, (n, INPUTS)) + mood
    chance = 1 / (1 + np.exp(-(inputs[:, :3].sum(axis=1) - 1)))
    outcome = rng.random(n) < chance
    segment = rng.choice(["a", "b", "c", "d"], n, p=[0.4, 0.3, 0.2, 0.1])
    turned = (day >= 120) & (segment == "c") & (rng.random(n) < 1 / 6)
    seconds = np.sort(rng.integers(0, 86_400, (DAYS, ROWS)), axis=1).ravel()
    start = datetime(2026, 1, 5)  # noqa: DTZ001 - the times of such a file are naive UTC
    frame = pl.DataFrame({f"x{place}": inputs[:, place] for place in range(INPUTS)}).with_columns(
        pl.Series("carrier", rng.choice(["AA", "B6", "UA"], n, p=[0.5, 0.3, 0.2])),
        pl.Series("kind", rng.choice(["new", "old"], n)),
        pl.Series("segment", segment),
        pl.Series("score", chance),
        pl.Series("prediction", (chance > 0.5).astype(int)),
        pl.Series("outcome", (outcome ^ turned).astype(int)),
        (pl.lit(start) + pl.duration(days=pl.Series(day), seconds=pl.Series(seconds))).alias("ts"),
    )
    return frame.with_columns((pl.col("ts") + timedelta(days=3)).alias("outcome_ts"))


def replayed(file: Path, what: str) -> dict[str, float]:
    environment = os.environ | {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    argv = [sys.executable, "-c", _RUN, str(file), what]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # a slow query of DuckDB draws a bar before it


def measure(_options: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stream.parquet"
        stream().write_parquet(file)
        found = {what: replayed(file, what) for what in ("alerts", "notices")}
    return {"days": DAYS, "rows": DAYS * ROWS, "inputs": INPUTS + 2, **found}


def goals(figures: dict) -> dict[str, bool]:
    cost = figures["alerts"]["cpu_s"]
    return {
        f"at most {MOST_CPU_S} CPU s ({cost})": cost <= MOST_CPU_S,
        "the degraded segment is told": figures["alerts"]["page"] > 0,
    }

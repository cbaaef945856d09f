"""What does one evening of a million rows in 25 columns take: CPU, memory, and how much more with 20 segments?

The file of facts holds a reference of two weeks and a week of a million rows. Measured is one process that opens it and
evaluates the verdict, the seven distances and the data checks: everything that is said of the week. The verdict reads
the reference and every day of the week, as it does when a server starts on such a file for the first time; an evening
later it reads one day. Rows were binned and rolled up when they were loaded, which is told beside it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.processes import measured

QUESTION = "What do all statistics of a million rows in 25 columns take, and what do 20 segments add?"
SEGMENT_ROWS = 3_000
MOST_MB, MOST_TIMES = 600, 3


def measure(options: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "facts.duckdb")
        loaded = measured("benchmarks.verdict_store", file, str(options.rows))
        read = measured("benchmarks.verdict_read", file)
    alone = measured("benchmarks.verdict_segments", "0", str(SEGMENT_ROWS))
    split = measured("benchmarks.verdict_segments", "20", str(SEGMENT_ROWS))
    times = {name: round(split[name] / alone[name], 2) for name in ("load_cpu_s", "evaluate_cpu_s")}
    return {
        "rows": options.rows,
        "columns": 25,
        "loaded": loaded,
        "evaluated": read,
        "no_segments": alone,
        "twenty_segments": split,
        "times": times,
    }


def goals(figures: dict) -> dict[str, bool]:
    peak, times = figures["evaluated"]["peak_mb"], max(figures["times"].values())
    return {
        f"at most {MOST_MB} MB at the peak ({peak})": peak <= MOST_MB,
        f"20 segments in the same scan at most {MOST_TIMES} times none ({times})": times <= MOST_TIMES,
    }

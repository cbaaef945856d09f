"""How much CPU does it take to see which of 25 columns of a million rows have moved?

Ours bins against kept edges and measures PSI and Jensen-Shannon distance. The peer is Evidently's DataDriftPreset on
the same columns; its reference is as long as the sample that our edges were made from. Neither is charged for its
imports or for making the data.
"""

from __future__ import annotations

import argparse

from benchmarks.drift_data import CATEGORICAL, MOVED, NUMERIC, REFERENCE_ROWS
from benchmarks.processes import measured

QUESTION = "How much CPU does it take to see which of 25 columns have moved?"


def measure(options: argparse.Namespace) -> dict:
    ours = [measured("benchmarks.drift_ours", str(options.rows)) for _ in range(2)]
    evidently = measured("benchmarks.drift_evidently", str(options.rows))
    ours.append(measured("benchmarks.drift_ours", str(options.rows)))
    median = sorted(ours, key=lambda one: one["cpu_s"])[1]
    return {
        "rows": options.rows,
        "columns": NUMERIC + CATEGORICAL,
        "reference_rows": min(options.rows, REFERENCE_ROWS),
        "watchkeeper": median,
        "watchkeeper_cpu_s_of_each_run": [one["cpu_s"] for one in ours],
        "evidently": evidently,
        "cpu_ratio": round(evidently["cpu_s"] / median["cpu_s"], 1),
        "moved": [*sorted(MOVED), "c2"],
    }


def goals(figures: dict) -> dict[str, bool]:
    return {f"at least 50 times less CPU than DataDriftPreset ({figures['cpu_ratio']})": figures["cpu_ratio"] >= 50}

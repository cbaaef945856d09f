"""How much CPU does it take to see which of 25 columns of a million rows have moved?

Ours bins against kept edges and measures all seven distances. The peer is Evidently's DataDriftPreset on
the same columns; it scans its reference anew each time, where ours has kept what it needs of it. So the peer is run
with a reference as long as the window (the goal), and with one of a fifth of that, which says what keeping saves.
Neither is charged for its imports or for making the data.
"""

from __future__ import annotations

import argparse
from statistics import median

from benchmarks.drift_data import CATEGORICAL, MOVED, NUMERIC
from benchmarks.processes import measured

QUESTION = "How much CPU does it take to see which of 25 columns have moved?"


def measure(options: argparse.Namespace) -> dict:
    rows = options.rows
    ours: list[dict] = []
    peers: dict[str, dict] = {}
    for name, reference_rows in (("evidently", rows), ("evidently_with_a_fifth_of_the_reference", rows // 5)):
        ours.append(measured("benchmarks.drift_ours", str(rows), str(rows)))
        peers[name] = measured("benchmarks.drift_evidently", str(rows), str(reference_rows))
        ours.append(measured("benchmarks.drift_ours", str(rows), str(rows)))
    cpu = median(one["cpu_s"] for one in ours)
    return {
        "rows": rows,
        "columns": NUMERIC + CATEGORICAL,
        "moved": ["c2", *sorted(MOVED)],
        "watchkeeper": ours[0] | {"cpu_s": round(cpu, 2), "cpu_s_of_each_run": [one["cpu_s"] for one in ours]},
        **{name: peer | {"cpu_ratio": round(peer["cpu_s"] / cpu, 1)} for name, peer in peers.items()},
    }


def goals(figures: dict) -> dict[str, bool]:
    ratio = figures["evidently"]["cpu_ratio"]
    return {f"at least 100 times less CPU than DataDriftPreset ({ratio})": ratio >= 100}

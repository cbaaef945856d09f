"""How long does ``watchkeeper --help`` take, beside an interpreter that does nothing?"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

from benchmarks.processes import environment

QUESTION = "How long does watchkeeper --help take?"
ROUNDS = 15
COMMANDS = {"help": ["-m", "watchkeeper.app", "--help"], "bare_interpreter": ["-c", "pass"]}


def measure(_options: argparse.Namespace) -> dict:
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, words in COMMANDS.items():
            taken[name].append(once([sys.executable, *words]))
    return {
        "rounds": ROUNDS,
        **{
            name: {
                "median_s": round(statistics.median(wall for wall, _ in each), 3),
                "worst_s": round(max(wall for wall, _ in each), 3),
                "cpu_s": round(statistics.median(cpu for _, cpu in each), 3),
            }
            for name, each in taken.items()
        },
    }


def goals(figures: dict) -> dict[str, bool]:
    return {f"median at most 0.3 s ({figures['help']['median_s']} s)": figures["help"]["median_s"] <= 0.3}


def once(argv: list[str]) -> tuple[float, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(argv, env=environment(), stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

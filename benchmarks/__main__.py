"""``python -m benchmarks [name ...]``: run all, or those that are named; exit code 1 where a goal is missed."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from benchmarks import machine

NAMES = {
    "ack": "benchmarks.ack",
    "sdk": "benchmarks.sdk",
    "footprint": "benchmarks.footprint",
    "help": "benchmarks.command_help",
    "first_chart": "benchmarks.first_chart",
    "drift_scan": "benchmarks.drift_scan",
    "verdict_stats": "benchmarks.verdict_stats",
    "past_window": "benchmarks.past_window",
    "backtest": "benchmarks.backtest",
    "nannyml": "benchmarks.nannyml",
    "false_alarms": "benchmarks.false_alarms",
    "arrow": "benchmarks.arrow",
    "otlp": "benchmarks.otlp",
    "ingest": "benchmarks.ingest",
    "disk": "benchmarks.disk",
    "split": "benchmarks.split",
    "slow_burn": "benchmarks.slow_burn",
    "burn_rules": "benchmarks.burn_rules",
    "false_pages": "benchmarks.false_pages",
    "storm": "benchmarks.storm",
    "crossing": "benchmarks.crossing",
    "soak": "benchmarks.soak",
    "delivery": "benchmarks.delivery",
}
SOAK = ("soak", "delivery")
"""What takes minutes and measures no speed: ``make soak``."""
RESULTS = Path(__file__).with_name("results")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(NAMES)}; all where none is named")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of drift_scan (goal: one million)")
    parser.add_argument("--events", type=int, default=2_000_000, help="events of disk (goal: ten million)")
    parser.add_argument("--kills", type=int, default=200, help="kill -9 of delivery (goal: 200)")
    parser.add_argument("--dry", action="store_true", help="measure and print, write no file")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    missed = [name for name in options.names or [n for n in NAMES if n not in SOAK] if not run(name, options)]
    return 1 if missed else 0


def run(name: str, options: argparse.Namespace) -> bool:
    """Measure one, say it, keep it."""
    module = importlib.import_module(NAMES[name])
    began = machine.moment()
    figures: dict = module.measure(options)
    goals: dict[str, bool] = module.goals(figures)
    result = {
        "name": name,
        "question": module.QUESTION,
        "goals": goals,
        "figures": figures,
        "began": began,
        "ended": machine.moment(),
        "machine": machine.description(),
    }
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    if not options.dry:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text)
    print(
        text
        if options.dry
        else "\n".join(f"{'ok  ' if kept else 'MISS'} {name}: {goal}" for goal, kept in goals.items())
    )
    return all(goals.values())


if __name__ == "__main__":
    sys.exit(main())

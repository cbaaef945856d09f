"""What the analyzers take for one evening: the verdict, seven distances and the data checks, of a file of facts."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # on a busy machine several threads wait for each other, and burn CPU

from benchmarks.verdict_store import DAY, REFERENCE_DAYS, START, WINDOW_DAYS
from watchkeeper.analyzers.drift_distance import Distance
from watchkeeper.analyzers.memo import remembering
from watchkeeper.analyzers.registry import discover
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.reader import FactReader


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(file: str) -> None:
    analyzers = {
        name: analyzer
        for name, analyzer in discover().items()
        if isinstance(analyzer, Distance) or name.startswith(("data.", "verdict."))
    }
    before = peak_mb()
    facts = FactStore(Path(file), threads=1)
    end = START + (REFERENCE_DAYS + WINDOW_DAYS) * DAY
    reader = remembering(FactReader(facts))
    parts: dict[str, float] = {}
    readings = 0
    for name, analyzer in analyzers.items():
        began = time.process_time()
        readings += len(analyzer.evaluate(reader, Declarations(), Window(end - analyzer.span, end), end).readings)
        parts[name.partition(".")[0]] = parts.get(name.partition(".")[0], 0.0) + time.process_time() - began
    result = {
        "cpu_s": round(sum(parts.values()), 2),
        "cpu_s_of": {name: round(value, 2) for name, value in parts.items()},
        "readings": readings,
        "peak_mb": round(peak_mb()),
        "peak_mb_before": round(before),
    }
    facts.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])

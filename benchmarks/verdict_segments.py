"""The same rows with and without a segment column: what loading them and judging them takes."""

from __future__ import annotations

import json
import os
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as in verdict_read

from benchmarks.verdict_store import DAY, START, day_of_rows, load
from watchkeeper.analyzers.memo import remembering
from watchkeeper.analyzers.registry import discover
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts import references
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.load import Loader
from watchkeeper.store.facts.reader import FactReader

REFERENCE_DAYS, DAYS = 28, 42


def main(segments: int, rows: int) -> None:
    facts = FactStore(threads=1)
    end = START + DAYS * DAY
    loader = Loader(facts, lambda: end + 30 * DAY)
    verdict = discover()["verdict.change"]
    loading = 0.0
    for number in range(DAYS):
        frame = day_of_rows(number, rows, segments=segments)
        began = time.process_time()
        load(loader, frame, number * rows)
        loading += time.process_time() - began
        if number == REFERENCE_DAYS:
            references.make_due(facts, START + REFERENCE_DAYS * DAY, REFERENCE_DAYS)
    reader = remembering(FactReader(facts))
    began = time.process_time()
    for number in range(REFERENCE_DAYS + 1, DAYS + 1):
        at = START + number * DAY
        found = verdict.evaluate(reader, Declarations(), Window(at - DAY, at), at)
    evaluating = time.process_time() - began
    subjects = len({reading.subject for reading in found.readings})
    print(
        json.dumps(
            {"load_cpu_s": round(loading, 2), "evaluate_cpu_s": round(evaluating, 2), "subjects_of_last_day": subjects}
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

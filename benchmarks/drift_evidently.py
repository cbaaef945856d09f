"""The peer: Evidently's DataDriftPreset on the same columns."""

from __future__ import annotations

import json
import sys
import time
import warnings

warnings.simplefilter("ignore")
began = time.process_time()
import pandas as pd  # noqa: E402
from evidently import DataDefinition, Dataset, Report  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402

imported = time.process_time() - began
from benchmarks.drift_data import CATEGORICAL, NUMERIC, columns  # noqa: E402


def main(rows: int, reference_rows: int) -> None:
    definition = DataDefinition(
        numerical_columns=[f"n{place}" for place in range(NUMERIC)],
        categorical_columns=[f"c{place}" for place in range(CATEGORICAL)],
    )
    reference = pd.DataFrame(columns(reference_rows, 1, moved=False))
    current = pd.DataFrame(columns(rows, 2, moved=True))
    cpu, wall = time.process_time(), time.perf_counter()
    snapshot = Report([DataDriftPreset()]).run(
        Dataset.from_pandas(current, definition), Dataset.from_pandas(reference, definition)
    )
    metrics = snapshot.dict()["metrics"]
    result = {
        "cpu_s": round(time.process_time() - cpu, 2),
        "wall_s": round(time.perf_counter() - wall, 2),
        "import_cpu_s": round(imported, 2),
        "metrics": len(metrics),
        "drifted": sorted(
            one["config"]["column"]
            for one in metrics
            if "column" in one["config"] and one["value"] > one["config"]["threshold"]
        ),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

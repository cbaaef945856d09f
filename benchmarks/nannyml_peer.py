"""The peer: NannyML's univariate drift and its estimated performance, by an interpreter that has it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
import warnings

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
warnings.simplefilter("ignore")
import nannyml  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from benchmarks.drift_data import columns  # noqa: E402
from benchmarks.estimated_data import scored  # noqa: E402


def univariate(rows: int) -> dict:
    reference = pd.DataFrame(columns(rows, 1, moved=False))
    current = pd.DataFrame(columns(rows, 2, moved=True))
    began = time.process_time()
    calculator = nannyml.UnivariateDriftCalculator(column_names=list(reference.columns), chunk_number=7)
    calculator.fit(reference)
    fitted = time.process_time()
    calculator.calculate(current)
    done = time.process_time()
    return {"fit_cpu_s": round(fitted - began, 2), "calculate_cpu_s": round(done - fitted, 2)}


def estimated(rows: int) -> dict:
    reference, current = (frame(scored(rows, seed)) for seed in (1, 2))
    began = time.process_time()
    estimator = nannyml.CBPE(
        y_pred_proba="score",
        y_pred="said",
        y_true="outcome",
        metrics=["accuracy", "roc_auc"],
        chunk_size=rows,
        problem_type="classification_binary",
    )
    estimator.fit(reference)
    fitted = time.process_time()
    found = estimator.estimate(current.drop(columns="outcome")).filter(period="analysis").to_df()
    done = time.process_time()
    return {
        "fit_cpu_s": round(fitted - began, 3),
        "estimate_cpu_s": round(done - fitted, 3),
        "accuracy": float(np.ravel(found["accuracy"]["value"])[0]),
        "auc": float(np.ravel(found["roc_auc"]["value"])[0]),
    }


def frame(made: dict) -> pd.DataFrame:
    return pd.DataFrame(made)


if __name__ == "__main__":
    what, size = sys.argv[1], int(sys.argv[2])
    found = {"univariate": univariate, "estimated": estimated}[what](size)
    versions = {name: importlib.metadata.version(name) for name in ("nannyml", "pandas", "numpy")}
    print(json.dumps(found | versions | {"python": sys.version.split()[0]}))

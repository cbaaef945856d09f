"""How much CPU do drift of 25 columns and estimated performance take, against NannyML on the same rows?

NannyML wants packages that do not live beside ours, so its interpreter is named by WATCHKEEPER_BENCH_NANNYML (one that
has nannyml and the statsmodels that it imports). Ours bins both, the reference too, and measures; NannyML fits the
reference and calculates seven chunks. Estimated performance: ours bins scores and calibrates by isotonic regression,
NannyML by CBPE; both give accuracy and AUC of the same window. Neither is charged for imports or for making rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess

from benchmarks.processes import ROOT, measured

QUESTION = "How much CPU do drift and estimated performance take, against NannyML?"
INTERPRETER = "WATCHKEEPER_BENCH_NANNYML"
SCORED = 1_000_000
DRIFT_TIMES, ESTIMATE_TIMES = 15, 10
NEAR_ACCURACY, NEAR_AUC = 0.002, 0.005


def peer(interpreter: str, what: str, rows: int) -> dict:
    """Run the peer; its last line is JSON."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": os.environ.get("HOME", "")}
    done = subprocess.run(
        [interpreter, "-m", "benchmarks.nannyml_peer", what, str(rows)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"nannyml failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(options: argparse.Namespace) -> dict:
    interpreter = os.environ.get(INTERPRETER)
    if not interpreter:
        raise SystemExit(f"set {INTERPRETER} to an interpreter that has nannyml and statsmodels")
    ours = measured("benchmarks.drift_ours", str(options.rows), str(options.rows))
    theirs = peer(interpreter, "univariate", options.rows)
    estimated, cbpe = measured("benchmarks.estimated_ours", str(SCORED)), peer(interpreter, "estimated", SCORED)
    both = ours["cpu_s"] + ours["reference_cpu_s"]
    took = theirs["fit_cpu_s"] + theirs["calculate_cpu_s"]
    return {
        "rows": options.rows,
        "columns": 25,
        "drift": {
            "watchkeeper": ours,
            "nannyml": theirs,
            "cpu_ratio": round(took / ours["cpu_s"], 1),
            "cpu_ratio_with_our_reference": round(took / both, 1),
        },
        "estimated": {
            "rows": SCORED,
            "watchkeeper": estimated,
            "nannyml": cbpe,
            "cpu_ratio": round(_total(cbpe) / _total(estimated), 1),
            "accuracy_apart": abs(estimated["accuracy"] - cbpe["accuracy"]),
            "auc_apart": abs(estimated["auc"] - cbpe["auc"]),
        },
    }


def _total(found: dict) -> float:
    return found["fit_cpu_s"] + found["estimate_cpu_s"]


def goals(figures: dict) -> dict[str, bool]:
    drift, estimated = figures["drift"], figures["estimated"]
    accuracy, area = estimated["accuracy_apart"], estimated["auc_apart"]
    return {
        f"at least {DRIFT_TIMES} times less CPU than its univariate fit and calculate ({drift['cpu_ratio']})": (
            drift["cpu_ratio"] >= DRIFT_TIMES
        ),
        f"at least {ESTIMATE_TIMES} times less CPU than CBPE ({estimated['cpu_ratio']})": (
            estimated["cpu_ratio"] >= ESTIMATE_TIMES
        ),
        f"accuracy within {NEAR_ACCURACY} of CBPE's ({accuracy:.5f})": accuracy <= NEAR_ACCURACY,
        f"AUC within {NEAR_AUC} of CBPE's ({area:.5f})": area <= NEAR_AUC,
    }

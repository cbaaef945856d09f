"""Ours: calibrate on the reference's bins, then read the expected accuracy and AUC of the window."""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from benchmarks.estimated_data import scored
from watchkeeper.analyzers.quality.core.confidence import Calibration, auc, expected_right


def bins_of(score: np.ndarray) -> np.ndarray:
    """Put scores into the bins that the store counts: 0.05 wide in log odds."""
    odds = np.log(np.maximum(score, 1e-6) / np.maximum(1 - score, 1e-6))
    return np.round(20 * odds).astype(np.int64)


def counted(made: dict) -> tuple[np.ndarray, ...]:
    """Count rows and ones by bin and answer: what a scan of the store gives."""
    keys = bins_of(made["score"]) * 2 + made["said"]
    found, place = np.unique(keys, return_inverse=True)
    n = np.bincount(place).astype(np.float64)
    return (found // 2).astype(np.float64), (found % 2).astype(np.float64), n, np.bincount(place, made["outcome"])


def main(rows: int) -> None:
    reference, current = scored(rows, 1), scored(rows, 2)
    began = time.process_time()
    bins, said, n, positive = counted(reference)
    calibration = Calibration.learn(bins, said, n, positive)
    fitted = time.process_time()
    bins, said, n, positive = counted(current)
    chance = calibration.chance(bins, said)
    accuracy = float((n * expected_right(chance, said)).sum() / n.sum())
    area = auc(bins, n * chance, n * (1 - chance))
    done = time.process_time()
    right = np.where(current["said"] == 1, current["outcome"], 1 - current["outcome"]).mean()
    result = {
        "fit_cpu_s": round(fitted - began, 3),
        "estimate_cpu_s": round(done - fitted, 3),
        "accuracy": accuracy,
        "auc": area,
        "realized_accuracy": float(right),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""Makes the null table of the verdict: how large its evidence gets, over 224 days, when nothing has changed.

Paths of heavy-tailed days (Student's t with 8 degrees of freedom) go through the very steps of the verdict, so that the
error of estimating level, weekdays and spread from the reference is in the table.
Run: ``python -m benchmarks.verdict_null [--paths 16000]`` (minutes); it writes the table beside the code that reads it.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from watchkeeper.analyzers.verdict.core import evidence, null, standard

REFERENCES = (14, 21, 28, 42, 56)
BATCH = 250
FREEDOM = 8
SHARES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.075, 0.05, 0.04, 0.03, 0.02])
TAIL = 0.05
BOUND_SHARE = 0.002


def simulate(reference: int, paths: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the bounds of the clocks, and the largest mixture of every path."""
    days = reference + null.HORIZON
    tops: list[np.ndarray] = []
    bounds = None
    for which in ("bounds", "mixture"):
        rng = np.random.default_rng([seed, reference])
        tops = []
        for _ in range(paths // BATCH):
            series = rng.standard_t(FREEDOM, (BATCH, days))
            z = standard.standardised(series, reference)
            t = evidence.clocks(z, np.ones_like(z), reference, reference).t
            if bounds is None:
                tops.append(np.nanmax(np.abs(t), axis=1))
            else:
                tops.append(evidence.mixture(t, bounds).max(axis=1))
        if which == "bounds":
            bounds = np.quantile(np.concatenate(tops), 1 - BOUND_SHARE, axis=0)
    assert bounds is not None
    return bounds, np.concatenate(tops)


def row(reference: int, paths: int, seed: int) -> dict[str, object]:
    """Make one reference length's part of the table."""
    bounds, tops = simulate(reference, paths, seed)
    levels = np.quantile(tops, 1 - SHARES)
    high = np.sort(tops[tops >= np.quantile(tops, 1 - TAIL)])
    log_share = np.log((len(high) - np.arange(len(high)) - 0.5) / len(tops))
    slope = np.polyfit(high, log_share, 1)[0]
    return {
        "reference_days": reference,
        "bounds": [round(float(bound), 4) for bound in bounds],
        "levels": [round(float(level), 4) for level in levels],
        "shares": SHARES.tolist(),
        "slope": round(float(slope), 5),
    }


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=16_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    table = []
    for reference in REFERENCES:
        start = time.perf_counter()
        table.append(row(reference, args.paths, args.seed))
        print(reference, f"{time.perf_counter() - start:.0f} s", table[-1]["slope"], table[-1]["levels"][-1])
    null.FILE.write_text(json.dumps({"paths": args.paths, "seed": args.seed, "table": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()

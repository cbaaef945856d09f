"""Asks the real Evidently for its distances of seeded samples: ``python tests/analyzers/evidently_oracle.py OUT.json``.

Its answers are kept in ``evidently.json``, so that the comparison runs without it too.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

KEPT = Path(__file__).with_name("evidently.json")
NUMBERS = ("psi", "jensenshannon", "hellinger", "ks", "wasserstein")
CATEGORIES = ("psi", "jensenshannon", "hellinger", "chisquare")
Pair = tuple[np.ndarray, np.ndarray]


def holes(rng: np.random.Generator, values: np.ndarray, nothing: object) -> np.ndarray:
    return np.where(rng.random(values.size) < 0.03, nothing, values)


def numbers() -> dict[str, Pair]:
    """Reference and current by name; rounded, so that no machine's last digit matters."""
    rng = np.random.default_rng(4)
    normal = rng.normal(size=(2, 4_000)).round(6)
    many = rng.exponential(size=(2, 12_000)).round(6)
    holed = tuple(holes(rng, part, np.nan) for part in normal)
    holed[1][:3] = np.inf
    struck = normal[1] + 0.5
    struck[0] = 1e6
    return {
        "the same": (normal[0], normal[1]),
        "shifted": (normal[0], normal[1][:2_500] + 0.25),
        "with holes": (holed[0], holed[1] + 0.1),
        "one outlier": (normal[0], struck),
        "more than ten thousand": (many[0], many[1][:11_000] * 1.05),
        "few rows": (normal[0][:30], normal[1][:25] + 0.4),
        "twenty values": (rng.integers(0, 20, 3_000), rng.integers(0, 22, 2_000)),
        "whole numbers": (rng.poisson(40, 3_000), rng.poisson(43, 2_000)),
        "one value": (np.full(500, 5.0), rng.normal(5, 1, 400).round(6)),
    }


def categories() -> dict[str, Pair]:
    """Reference and current by name."""
    rng = np.random.default_rng(5)
    few, weights = np.array(["AA", "B6", "DL", "UA", "WN"]), np.array([0.4, 0.1, 0.2, 0.2, 0.1])
    rare = np.array([f"v{place}" for place in range(200)])
    odds = 1 / np.arange(1, 201)
    drawn = [rng.choice(few, n, p=weights).astype(object) for n in (5_000, 4_000)]
    return {
        "moved": (drawn[0], rng.choice(few, 3_000, p=weights[::-1]).astype(object)),
        "with holes": (holes(rng, drawn[0], None), holes(rng, drawn[1], None)),
        "rare values": tuple(rng.choice(rare, n, p=odds / odds.sum()).astype(object) for n in (12_000, 11_000)),
        "one is gone": (drawn[0], drawn[1][drawn[1] != "DL"]),
        "one is new": (drawn[0][drawn[0] != "WN"], drawn[1]),
        "two values": (np.array(["a", "b"] * 300, dtype=object), np.array(["a", "b", "b"] * 90, dtype=object)),
        "few rows": (drawn[0][:20], drawn[1][:15]),
    }


def asked() -> dict[str, float]:
    """Let Evidently's own report measure everything."""
    import pandas as pd  # noqa: PLC0415  the tests run without it
    from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415
    from evidently.legacy.calculations.data_quality import calculate_cramer_v_correlation  # noqa: PLC0415
    from evidently.metrics import ValueDrift  # noqa: PLC0415

    found: dict[str, float] = {}
    for kind, cases, methods in (("numbers", numbers(), NUMBERS), ("categories", categories(), CATEGORIES)):
        column = "numerical_columns" if kind == "numbers" else "categorical_columns"
        for name, (reference, current) in cases.items():
            definition = DataDefinition(**{column: ["x"]})
            before, now = (Dataset.from_pandas(pd.DataFrame({"x": part}), definition) for part in (reference, current))
            for method in methods:
                report = Report([ValueDrift(column="x", method=method)]).run(now, before)
                found[f"{kind}: {name}: {method}"] = float(report.dict()["metrics"][0]["value"])
            if kind == "categories":
                both = pd.DataFrame(
                    {"x": [*reference, *current], "sample": ["before"] * len(reference) + ["now"] * len(current)}
                )
                correlation = calculate_cramer_v_correlation("x", both, ["sample"])
                found[f"{kind}: {name}: cramer_v"] = float(correlation.values.y[0])
    return found


if __name__ == "__main__":
    os.environ["DO_NOT_TRACK"] = "1"
    Path(sys.argv[1]).write_text(json.dumps(asked(), indent=1) + "\n")

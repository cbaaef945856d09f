"""Distances of seeded histograms by scipy's own functions: ``python tests/analyzers/pinned_oracle.py`` keeps them.

What ``drift.*`` gives on the kept bins of a reference. The kept values are those of scipy 1.x and numpy, not ours.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from scipy import spatial, special, stats

KEPT = Path(__file__).with_name("pinned.json")
Table = tuple[tuple[int, ...], tuple[int, ...]]


def tables() -> dict[str, Table]:
    """Give pairs of counts on the same bins: window and reference, none, some and all of them moved."""
    rng = np.random.default_rng(17)
    made: dict[str, Table] = {"apart": ((40, 60, 0, 0), (0, 0, 30, 70)), "two": ((180, 20), (100, 100))}
    for name, moved in (("same", 0.0), ("moved", 0.4), ("far", 2.0)):
        shares = rng.dirichlet(np.full(12, 4.0))
        now = shares * np.exp(moved * rng.normal(size=12))
        counts = [rng.multinomial(rows, part / part.sum()) for rows, part in ((700, now), (4000, shares))]
        made[name] = (tuple(counts[0].tolist()), tuple(counts[1].tolist()))
    return made


def asked(now: tuple[int, ...], reference: tuple[int, ...]) -> dict[str, float]:
    """Give each distance; bins stand at 0, 1, 2 and so on."""
    p, q = np.array(now) / sum(now), np.array(reference) / sum(reference)
    table = np.array([now, reference])
    padded = [(np.array(counts) + 0.5) / (sum(counts) + 0.5 * len(counts)) for counts in (now, reference)]
    places = np.arange(len(now), dtype=float)
    deviation = math.sqrt(np.average((places - np.average(places, weights=q)) ** 2, weights=q))
    return {
        "psi": float(special.rel_entr(*padded).sum() + special.rel_entr(*padded[::-1]).sum()),
        "jensen_shannon": float(spatial.distance.jensenshannon(p, q, base=2)),
        "hellinger": math.sqrt(max(1 - float(np.sqrt(p * q).sum()), 0)),
        "chi_squared": float(stats.chi2_contingency(table, correction=False).statistic),
        "cramers_v": float(stats.contingency.association(table, method="cramer")),
        "kolmogorov_smirnov": float(np.abs(np.cumsum(p) - np.cumsum(q)).max()),
        "wasserstein": float(stats.wasserstein_distance(places, places, p, q)) / deviation,
    }


if __name__ == "__main__":
    KEPT.write_text(json.dumps({name: asked(*table) for name, table in tables().items()}, indent=1) + "\n")

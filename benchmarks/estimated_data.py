"""Scores that are not calibrated, answers over a threshold, and outcomes that follow the score's true chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def scored(rows: int, seed: int) -> dict[str, NDArray]:
    """Make a stream; the second seed has a harder mix and the same meaning of a score."""
    rng = np.random.default_rng(seed)
    chance = rng.beta(2, 2 + seed, rows)
    score = chance**0.6  # says too much
    return {
        "score": score,
        "said": (score > 0.5).astype(np.int64),
        "outcome": (rng.random(rows) < chance).astype(np.int64),
    }

"""Has the shape of the scores changed? Level, spread and both tails of the logit, beside the share predicted positive.

The mean of a score hides a score that has lost its spread; the tails do not. Both tails are soft (a ramp between two
reference quantiles), because a hard edge on a discrete score jumps with rounding. Misleads when the inputs move: then
the scores move rightly, so a score is named after the features that moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from watchkeeper.analyzers.verdict.core import expected
from watchkeeper.analyzers.verdict.core.channels import Channel, Days, Family, Floats, Measured, Rows, Table
from watchkeeper.analyzers.verdict.core.expected import Expected
from watchkeeper.analyzers.verdict.core.features import Category, Number

EDGE = 1e-4
SUBJECT = "score"


def logit(score: Floats) -> Floats:
    """Give the log odds of a score in [0, 1], kept finite."""
    held = np.clip(score, EDGE, 1 - EDGE)
    return np.log(held / (1 - held))


@dataclass(frozen=True, slots=True)
class Score:
    """The scores as the reference had them."""

    center: float
    scale: float
    tails: tuple[float, float, float, float]
    binary: bool
    expected: Expected | None = None

    def measure(self, rows: Rows, days: Days, *, reference: bool = False) -> Table:
        """Measure them on some days; ``reference``: on those that they were learned from."""
        score = rows.floats("score")
        odds = logit(score)
        low, lower, upper, high = self.tails
        centered = (odds - self.center) / self.scale
        inside = days.mean(centered)
        square = days.mean(centered**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            width = np.log(np.maximum(square.values - inside.values**2, 1e-6)) / 2
        table = {
            "score mean": days.mean(score),
            "score logit": days.mean(odds),
            "score width": Measured(np.where(square.rows > 2, width, np.nan), square.rows, 0.5),
            "score low end": days.mean(np.clip((odds - lower) / min(low - lower, -1e-9), 0, 1)),
            "score high end": days.mean(np.clip((odds - upper) / max(high - upper, 1e-9), 0, 1)),
        }
        if self.expected:
            table |= self.expected.measure(rows, odds, days, reference=reference)
        if self.binary:
            predicted = rows.floats("prediction")
            table["prediction positive"] = days.mean(predicted)
        return table

    def channels(self) -> Iterator[Channel]:
        """Name their channels."""
        for what in ("mean", "logit", "width", "low end", "high end"):
            yield Channel(f"score {what}", SUBJECT, Family.SCORE)
        if self.expected:
            yield Channel("score for the inputs", SUBJECT, Family.SCORE)
            yield Channel("score slope on the inputs", SUBJECT, Family.SCORE)
        if self.binary:
            yield Channel("prediction positive", SUBJECT, Family.SCORE, share=True)


def learn(rows: Rows, inputs: tuple[Number | Category, ...] = ()) -> Score | None:
    """Learn the scores of the reference; None where they are no probabilities.

    >>> import polars as pl
    >>> frame = pl.DataFrame({"day": [0] * 99, "score": [i / 100 for i in range(1, 100)]})
    >>> learned, days = learn(Rows(frame, {}, {}, {})), Days(np.zeros(99, int), 1)
    >>> flat = Rows(frame.with_columns(pl.lit(0.5).alias("score")), {}, {}, {})
    >>> before, after = learned.measure(Rows(frame, {}, {}, {}), days), learned.measure(flat, days)
    >>> [round(float(table["score high end"].values[0]), 2) for table in (before, after)]
    [0.09, 0.0]
    """
    if not rows.has("score"):
        return None
    score = rows.floats("score")
    known = score[~np.isnan(score)]
    if known.min() < 0 or known.max() > 1:
        return None
    odds = logit(known)
    tails = np.quantile(odds, (0.02, 0.2, 0.8, 0.98))
    predicted = rows.floats("prediction")
    binary = bool(np.isin(predicted[~np.isnan(predicted)], (0, 1)).all()) and rows.has("prediction")
    scale = float(odds.std())
    if scale == 0:
        return None
    return Score(
        float(odds.mean()),
        scale,
        (float(tails[0]), float(tails[1]), float(tails[2]), float(tails[3])),
        binary,
        expected.learn(rows, logit(score), inputs),
    )

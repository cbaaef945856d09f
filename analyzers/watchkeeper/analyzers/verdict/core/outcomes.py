"""Has the model got worse, by the outcomes that are known? Evidence row by row, against what the score itself promised.

p is the outcome's chance by the reference's own score map, so that a harder mix of cases is not taken for a worse
model. The *flip score* is the best small-change estimate of the share of outcomes that have turned round:
sum (y - p) h / sum p (1 - p) h^2 with h = (1 - 2p) / (p (1 - p)). Its part within the day is free of bad days, and both
parts are weighted by their covariance over the reference. A segment is compared with the rest of its day, so that a bad
day for all is nobody's fault. Misleads where outcomes that come early differ from those that come late.
Source: Rao's score test of a mixture p (1 - f) + (1 - p) f at f = 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from watchkeeper.analyzers.verdict.core.channels import Channel, Days, Family, Floats, Measured, Rows, Table
from watchkeeper.analyzers.verdict.core.scores import logit
from watchkeeper.analyzers.verdict.core.segments import Segment

CLIP = (0.07, 0.93)
SEGMENT_CLIP = (0.05, 0.95)
FEWEST = 100
ROUNDS = 12
STEEPEST = 3.0


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Binary outcomes with a score: the reference's map from score to chance, and how to weigh the flip's parts."""

    level: float
    slope: float
    center: float
    scale: float
    within_weight: float
    segments: tuple[Segment, ...]

    def measure(self, rows: Rows, days: Days) -> Table:
        """Measure them on some days, over the rows whose outcome is known."""
        odds, y = logit(rows.floats("score")), rows.floats("outcome")
        raw = _chance(self.level + self.slope * odds)
        table = self._whole(odds, y, raw, rows.floats("correct"), days)
        inside, across = _flip_parts(y, np.clip(raw, *CLIP), days)
        both = self.within_weight * inside.values + (1 - self.within_weight) * across.values
        table["outcomes turned round"] = replace(across, values=both)
        table["outcomes turned round within the day"] = inside
        residual, p = y - raw, np.clip(raw, *SEGMENT_CLIP)
        room = np.where(np.isnan(y), np.nan, p * (1 - p))
        common = _over(days.sum(residual), days.sum(room))[days.day]
        own = residual - room * common
        for segment in self.segments:
            mask = segment.mask(rows)
            flip = _flip(np.where(mask, own, np.nan), p, days)
            table[f"{segment.subject} outcomes turned round"] = flip
            table[f"{segment.subject} residual"] = days.mean(np.where(mask, own, np.nan))
        return table

    def _whole(self, odds: Floats, y: Floats, p: Floats, correct: Floats, days: Days) -> Table:
        held = np.clip(p, 0.03, 0.97)
        loss = -np.where(y == 1, np.log(held), np.log(1 - held))
        expected = -held * np.log(held) - (1 - held) * np.log(1 - held)
        lean = np.clip((odds - self.center) / self.scale, -STEEPEST, STEEPEST)
        unknown = np.isnan(y)
        return {
            "error": days.mean(np.where(unknown, np.nan, 1 - correct)),
            "outcome residual": days.mean(y - p),
            "loss above its promise": days.mean(np.where(unknown, np.nan, loss - expected)),
            "calibration slope": days.mean((y - p) * lean),
        }

    def channels(self) -> Iterator[Channel]:
        """Name its channels."""
        yield Channel("error", "error", Family.QUALITY, side=1, share=True, late=True)
        yield Channel("outcome residual", "calibration", Family.QUALITY, late=True)
        yield Channel("calibration slope", "calibration", Family.QUALITY, late=True)
        yield Channel("loss above its promise", "error", Family.QUALITY, side=1, late=True)
        yield Channel("outcomes turned round", "outcome", Family.QUALITY, side=1, late=True)
        yield Channel("outcomes turned round within the day", "outcome", Family.QUALITY, side=1, late=True)
        for segment in self.segments:
            yield Channel(
                f"{segment.subject} outcomes turned round", segment.subject, Family.SEGMENT, side=1, late=True
            )
            yield Channel(f"{segment.subject} residual", segment.subject, Family.SEGMENT, late=True)


@dataclass(frozen=True, slots=True)
class Errors:
    """Outcomes that are right or wrong, or off by a number, without a score to compare with."""

    measured: bool
    segments: tuple[Segment, ...]

    def _error(self, rows: Rows) -> Floats:
        if not self.measured:
            return 1 - rows.floats("correct")
        return np.abs(rows.floats("prediction") - rows.floats("outcome"))

    def measure(self, rows: Rows, days: Days) -> Table:
        """Measure them on some days, over the rows whose outcome is known."""
        error = self._error(rows)
        table = {"error": days.mean(error)}
        common = table["error"].values[days.day]
        for segment in self.segments:
            table[f"{segment.subject} error"] = days.mean(np.where(segment.mask(rows), error - common, np.nan))
        return table

    def channels(self) -> Iterator[Channel]:
        """Name its channels."""
        yield Channel("error", "error", Family.QUALITY, side=1, share=not self.measured, late=True)
        for segment in self.segments:
            yield Channel(f"{segment.subject} error", segment.subject, Family.SEGMENT, side=1, late=True)


def learn(rows: Rows, segments: tuple[Segment, ...]) -> Outcomes | Errors | None:
    """Learn from reference rows, those with a known outcome; None where there are too few."""
    y, score, correct = rows.floats("outcome"), rows.floats("score"), rows.floats("correct")
    known = ~np.isnan(y) & ~np.isnan(score) & (score >= 0) & (score <= 1)
    binary = bool(np.isin(y[~np.isnan(y)], (0, 1)).all())
    if binary and known.sum() >= FEWEST and 0 < y[known].mean() < 1 and np.ptp(score[known]) > 0:
        return _with_score(rows.only(known), segments)
    if np.sum(~np.isnan(correct)) >= FEWEST:
        return Errors(False, segments)
    if np.sum(~np.isnan(y) & ~np.isnan(rows.floats("prediction"))) >= FEWEST:
        return Errors(True, segments)
    return None


def _with_score(rows: Rows, segments: tuple[Segment, ...]) -> Outcomes:
    odds, y = logit(rows.floats("score")), rows.floats("outcome")
    level, slope = logistic(odds, y)
    day = rows.frame["day"].cast(pl.Int64).to_numpy()
    days = Days(day, int(day.max()) + 1)
    inside, across = _flip_parts(y, np.clip(_chance(level + slope * odds), *CLIP), days)
    weight = _best_weight(inside.values, across.values)
    return Outcomes(level, slope, float(odds.mean()), float(max(odds.std(), 1e-9)), weight, segments)


def logistic(x: Floats, y: Floats) -> tuple[float, float]:
    """Fit P(y = 1) by Newton's method, with a little ridge so that separable data still end.

    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=4000)
    >>> y = (rng.random(4000) < 1 / (1 + np.exp(-(0.5 + 2 * x)))).astype(float)
    >>> [round(value, 1) for value in logistic(x, y)]
    [0.5, 2.1]
    """
    design = np.column_stack([np.ones_like(x), x])
    beta = np.zeros(2)
    for _ in range(ROUNDS):
        p = _chance(design @ beta)
        bend = (design * (p * (1 - p))[:, None]).T @ design + np.eye(2)
        beta = beta + np.linalg.solve(bend, design.T @ (y - p) - beta * (0.0, 1e-3))
    return float(beta[0]), float(beta[1])


def _chance(odds: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(odds, -30, 30)))


def _over(above: Floats, below: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, above / below, np.nan)


def _flip(residual: Floats, p: Floats, days: Days) -> Measured:
    """Estimate the share turned round by day from residuals."""
    known = ~np.isnan(residual)
    lean = (1 - 2 * p) / (p * (1 - p))
    size = np.where(known, p * (1 - p) * lean**2, 0.0)
    values = _over(days.sum(residual * lean), days.sum(size))
    rows = days.sum(known)
    inside = float(np.nan_to_num(residual * lean)[known].var()) if known.any() else 0.0
    mean_size = float(size[known].mean()) if known.any() else 1.0
    return Measured(values, rows, inside / max(mean_size, 1e-9) ** 2)


def _flip_parts(y: Floats, p: Floats, days: Days) -> tuple[Measured, Measured]:
    """Split the flip score into what is seen within the day and what the day's mean says."""
    residual, known = y - p, ~np.isnan(y)
    room = np.where(known, p * (1 - p), 0.0)
    lean = (1 - 2 * p) / (p * (1 - p))
    usual = _over(days.sum(room * lean), days.sum(room))
    own = lean - np.nan_to_num(usual)[days.day]
    whole = _flip(residual, p, days)
    inside = _over(days.sum(residual * own), days.sum(room * own**2))
    total = days.sum(room)
    across = _over(days.sum(residual) * usual, total * usual**2)
    return replace(whole, values=inside), replace(whole, values=across)


def _best_weight(first: Floats, second: Floats) -> float:
    """Give the weight of the first of two estimates of one thing that makes their mean vary least."""
    valid = ~np.isnan(first) & ~np.isnan(second)
    if valid.sum() < 7:
        return 1.0
    both = np.cov(first[valid], second[valid])
    bottom = float(both[0, 0] + both[1, 1] - 2 * both[0, 1])
    return min(max(float(both[1, 1] - both[0, 1]) / bottom, 0.0), 1.0) if bottom > 0 else 1.0

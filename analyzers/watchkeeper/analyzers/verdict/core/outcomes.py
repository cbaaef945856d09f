"""Has the model got worse, by the outcomes that are known? Evidence row by row, against what the score itself promised.

p is the outcome's chance by the reference's own score map, so that a harder mix of cases is not taken for a worse
model. The *flip score* of a row, (y - p) h with h = (1 - 2p) / (p (1 - p)), tells the share of outcomes that have
turned round. Its part within the day takes p with the log odds of its whole day moved to what came, so that a bad day
for all is nobody's fault; both parts are weighted by their covariance over the reference. Near-certain answers that do
not come true tell most. They are few: their skewness is kept, and none may move a day by more than two of its spreads.
A segment is compared with the rest of its day. Misleads where outcomes that come early differ from those that come
late.
Source: Rao's score test of a mixture p (1 - f) + (1 - p) f at f = 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from watchkeeper.analyzers.verdict.core.channels import Bools, Channel, Days, Family, Floats, Measured, Rows, Table
from watchkeeper.analyzers.verdict.core.scores import logit
from watchkeeper.analyzers.verdict.core.segments import Segment

EDGES = (0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.14, 0.2)
"""How near to certain a chance may count: a fiftieth of the outcomes turned round is worth noticing, less is not."""
MOST_OF_A_ROW = 2.0
"""Spreads of a day that one row may move it by."""
LEVELS = 4.0
"""Variance between days of the log odds that is believed before a day is seen."""
FEWEST = 100
ROUNDS = 12
STEEPEST = 3.0
LEAST_SIZE = 1e-6


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Binary outcomes with a score: the reference's map from score to chance, and how to weigh the flip's parts."""

    level: float
    slope: float
    center: float
    scale: float
    within_weight: float
    edge: float
    sizes: tuple[float, float]
    """What one row in the mean tells of the share turned round: within its day, and by the level of its day."""
    segments: tuple[Segment, ...]
    segment_edges: tuple[float, ...]
    segment_sizes: tuple[float, ...]

    def measure(self, rows: Rows, days: Days) -> Table:
        """Measure them on some days, over the rows whose outcome is known."""
        odds, y = logit(rows.floats("score")), rows.floats("outcome")
        raw = _chance(self.level + self.slope * odds)
        table = self._whole(odds, y, raw, rows.floats("correct"), days)
        own = _by_day(raw, y, days)
        first, second = _flip_parts(y, raw, own, days, self.edge)
        inside, across = first / self.sizes[0], second / self.sizes[1]
        both = self.within_weight * inside + (1 - self.within_weight) * across
        table["outcomes turned round"] = _mean(both, days)
        table["outcomes turned round within the day"] = _mean(inside, days)
        for segment, edge, size in zip(self.segments, self.segment_edges, self.segment_sizes, strict=True):
            mask = segment.mask(rows)
            held = _held(own, edge)
            flip = (y - held) * _lean(held) / size
            table[f"{segment.subject} outcomes turned round"] = _mean(np.where(mask, flip, np.nan), days)
            table[f"{segment.subject} residual"] = days.mean(np.where(mask, y - own, np.nan))
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
    raw = _chance(level + slope * odds)
    own = _by_day(raw, y, days)
    count = np.unique(day).size
    edge = _edge(own, len(y) / count)
    sizes = _sizes(raw, own, days, edge)
    first, second = _flip_parts(y, raw, own, days, edge)
    weight = _best_weight(days.mean(first / sizes[0]).values, days.mean(second / sizes[1]).values)
    masks = [segment.mask(rows) for segment in segments]
    edges = tuple(_edge(own[mask], mask.sum() / count) for mask in masks)
    told = (_told(_held(own[mask], one)) for mask, one in zip(masks, edges, strict=True))
    each = tuple(max(float(part.mean()), LEAST_SIZE) if part.size else 1.0 for part in told)
    center, scale = float(odds.mean()), float(max(odds.std(), 1e-9))
    return Outcomes(level, slope, center, scale, weight, edge, sizes, segments, edges, each)


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


def _lean(p: Floats) -> Floats:
    return (1 - 2 * p) / (p * (1 - p))


def _by_day(p: Floats, y: Floats, days: Days) -> Floats:
    """Move each day's chances by one amount of log odds, so that they promise as many as came.

    >>> p, y = np.tile([0.2, 0.8], 100), np.ones(200)
    >>> moved = _by_day(p, y, Days(np.repeat([0, 1], 100), 2))
    >>> bool((moved > p).all()), round(float(moved.max()), 2)
    (True, 1.0)
    """
    odds, known = np.log(p / (1 - p)), ~np.isnan(y)
    moved = np.zeros(days.count)
    for _ in range(ROUNDS):
        now = np.where(known, _chance(odds + moved[days.day]), np.nan)
        pull = days.sum(y - now) - moved / LEVELS
        moved += np.clip(pull / (days.sum(now * (1 - now)) + 1 / LEVELS), -1, 1)
    return _chance(odds + moved[days.day])


def _mean(values: Floats, days: Days) -> Measured:
    """Average by day, and keep how skewed the rows are: few of them tell, and those tell much."""
    known = values[~np.isnan(values)]
    spread = float(known.std()) if known.size else 0.0
    skew = float((((known - known.mean()) / spread) ** 3).mean()) if spread else 0.0
    return replace(days.mean(values), skew=skew)


def _held(p: Floats, edge: float) -> Floats:
    return np.clip(p, edge, 1 - edge)


def _told(p: Floats) -> Floats:
    """Give what each row tells of the share turned round (its Fisher information)."""
    return p * (1 - p) * _lean(p) ** 2


def _edge(p: Floats, rows: float) -> float:
    """Choose how near to certain a chance may count, so that no row moves a day by more than two of its spreads.

    >>> sure = np.full(1000, 0.001)
    >>> _edge(sure, 1000), _edge(sure, 5)
    (0.02, 0.07)
    """
    for edge in EDGES if p.size else ():
        spread = float((rows * _told(_held(p, edge)).mean()) ** 0.5)
        if float(_lean(np.array([edge]))[0]) <= MOST_OF_A_ROW * spread:
            return edge
    return EDGES[-1]


def _usual(p: Floats, days: Days, known: Bools) -> Floats:
    """Give each row the lean that a mere shift of its day's level would have."""
    room = np.where(known, p * (1 - p), 0.0)
    return np.nan_to_num(_over(days.sum(room * _lean(p)), days.sum(room)))[days.day]


def _flip_parts(y: Floats, p: Floats, own: Floats, days: Days, edge: float) -> tuple[Floats, Floats]:
    """Split each row's flip score into what is seen within its day and what the day's level says."""
    known, held, moved = ~np.isnan(y), _held(p, edge), _held(own, edge)
    return (y - moved) * (_lean(moved) - _usual(moved, days, known)), (y - held) * _usual(held, days, known)


def _sizes(p: Floats, own: Floats, days: Days, edge: float) -> tuple[float, float]:
    """Give what both parts would gain a row if all outcomes turned round, by the reference."""
    known, held, moved = np.ones(len(p), dtype=np.bool_), _held(p, edge), _held(own, edge)
    inside = moved * (1 - moved) * (_lean(moved) - _usual(moved, days, known)) ** 2
    across = held * (1 - held) * _usual(held, days, known) ** 2
    return max(float(inside.mean()), LEAST_SIZE), max(float(across.mean()), LEAST_SIZE)


def _best_weight(first: Floats, second: Floats) -> float:
    """Give the weight of the first of two estimates of one thing that makes their mean vary least."""
    valid = ~np.isnan(first) & ~np.isnan(second)
    if valid.sum() < 7:
        return 1.0
    both = np.cov(first[valid], second[valid])
    bottom = float(both[0, 0] + both[1, 1] - 2 * both[0, 1])
    return min(max(float(both[1, 1] - both[0, 1]) / bottom, 0.0), 1.0) if bottom > 0 else 1.0

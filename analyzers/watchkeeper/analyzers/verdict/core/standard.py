"""How unusual is a day? Each channel in units of its own spread between days, not between rows.

Rows of one day are alike (weather, an incident, a campaign), so that the reference's days say how much days differ; a
weekday's own level is believed as far as the reference's weeks agree on it (James-Stein). A day counts at most four
spreads, and weighs less when it has few rows. Misleads with fewer than two weeks: then nothing is judged.
Source: Efron and Morris 1973, JASA 68, for the shrinkage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from watchkeeper.analyzers.verdict.core.channels import Bools, Floats, Ints

WEEK = 7
CLIP = 4.0
SKEWED = 1.0
LEAST_SKEW = 0.05
MOST_SKEW = 2.0
DOUBT = 28
EVEN = 0.25
"""Days that are more alike than this share of what chance would give were dealt out evenly; they are not trusted."""


@dataclass(frozen=True, slots=True)
class Scale:
    """One channel's level, weekday effects (by day modulo 7) and spread, from the reference."""

    level: float
    weekday: Floats
    spread: float
    rows: float
    inside: float
    """Share of the day's variance that its rows explain: that part grows as rows get fewer."""
    skew: float = 0.0
    log_at: float | None = None
    share: bool = False
    row: float = 0.0
    """The standard deviation of a row in a day."""

    def apply(self, values: Floats, rows: Floats, first_day: int) -> tuple[Floats, Floats]:
        """Give z (0 where there is no number) and the weight of each day."""
        shown = transformed(values, share=self.share, log_at=self.log_at)
        places = (np.arange(len(values)) + first_day) % WEEK
        z = (shown - self.level - self.weekday[places]) / self.spread
        z = straightened(z, self.skew)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = 1 / (1 - self.inside + self.inside * self.rows / rows)
        there = ~np.isnan(z) & (rows > 0)
        return np.where(there, np.clip(z, -CLIP, CLIP), 0.0), np.where(there, weight, 0.0)


def straightened(z: Floats, skew: float) -> Floats:
    """Pull in the long tail of a skewed channel: a gamma's cube root, as a logarithm that never turns round.

    >>> np.round(straightened(np.array([-2.0, 0.0, 2.0, 4.0]), 1.0), 1).tolist()
    [-3.3, 0.0, 1.5, 2.5]
    """
    if abs(skew) < LEAST_SKEW:
        return z
    signed = np.maximum(1 + skew * z / 3, 0.05)
    return np.log(signed) * 3 / skew


def transformed(values: Floats, *, share: bool, log_at: float | None) -> Floats:
    """Give shares as the arcsine of their root, burst-like amounts as a logarithm, all else as it is."""
    if share:
        return np.arcsin(np.sqrt(np.clip(values, 0.0, 1.0)))
    return values if log_at is None else np.log1p(np.maximum(values, 0.0) / log_at)


def scale(
    values: Floats, rows: Floats, within: float, *, share: bool = False, least: float = 0.0, row_skew: float = 0.0
) -> Scale | None:
    """Learn a channel from the reference's days, day 0 first; None where no two days differ.

    ``row_skew``: the skewness of a row; what it makes of a day is believed beside what the days show.

    ``least``: the spread is no less than so many standard deviations of a row. It keeps a change that is certain and
    worth nothing (a share of 16.0 % that has become 16.7 % of many thousand rows) from being told.

    >>> calm = np.array([10.0, 10, 10, 10, 10, 14, 14] * 4) + np.tile([-0.1, 0.1], 14)
    >>> learned = scale(calm, np.full(28, 100.0), 0.0)
    >>> z, weight = learned.apply(np.array([10.0, 14.0, 12.0]), np.array([100.0, 100.0, 0.0]), 4)
    >>> (np.round(z, 1) + 0.0).tolist(), weight.tolist()
    ([0.0, 0.0, 0.0], [1.0, 1.0, 0.0])
    """
    there = ~np.isnan(values) & (rows > 0)
    if there.sum() < 2 * WEEK:
        return None
    log_at = None if share else _log_at(values[there])
    shown = transformed(values, share=share, log_at=log_at)
    level, weekday, spread = _fit(shown[None, :], there[None, :])
    usual = float(np.median(rows[there]))
    noise = 0.25 / usual if share else within / usual
    row = 0.5 if share else within**0.5 if log_at is None else within**0.5 / (2 * log_at)
    found = max(float(spread[0]), EVEN * noise**0.5 if log_at is None else 0.0, least * row)
    if found <= 1e-9 * max(abs(float(level[0])), 1e-3):
        return None
    inside = 0.0 if log_at is not None else min(noise / found**2, 1.0)
    places = np.arange(len(values)) % WEEK
    rest = (shown - level[0] - weekday[0][places])[there]
    skew = _skewness(rest, row_skew / usual**0.5 * inside**1.5)
    return Scale(float(level[0]), weekday[0], found, usual, inside, skew, log_at, share, row)


def _skewness(rest: Floats, expected: float) -> float:
    """Give the skewness, half believed with four weeks of days, else what is expected; seldom beyond 1."""
    spread = float(rest.std())
    found = float((((rest - rest.mean()) / spread) ** 3).mean()) if spread else 0.0
    most = max(1.0, min(abs(expected), MOST_SKEW))
    return min(max((found * rest.size + expected * DOUBT) / (rest.size + DOUBT), -most), most)


def _log_at(values: Floats) -> float | None:
    """Say whether an amount is burst-like (never negative, skewed): then give what its logarithm is taken at."""
    middle, spread = float(values.mean()), float(values.std())
    if values.min() < 0 or spread == 0 or middle <= 0:
        return None
    skewness = float((((values - values.mean()) / spread) ** 3).mean())
    return middle if skewness > SKEWED else None


def _fit(shown: Floats, there: Bools) -> tuple[Floats, Floats, Floats]:
    """Fit level, shrunk weekday effects and spread of many series at once (one a row)."""
    held = np.where(there, shown, 0.0)
    count = there.sum(1)
    level = held.sum(1) / count
    off = np.where(there, shown - level[:, None], 0.0)
    places: Ints = np.arange(shown.shape[1], dtype=np.int64) % WEEK
    seen = np.stack([there[:, places == place].sum(1) for place in range(WEEK)], axis=1)
    effect = np.stack([off[:, places == place].sum(1) for place in range(WEEK)], axis=1) / np.maximum(seen, 1)
    left = np.where(there, off - effect[:, places], 0.0)
    free = np.maximum(count - WEEK, 1)
    noise = (left**2).sum(1) / free
    between = (seen * effect**2).sum(1) / (WEEK - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = 1 - (WEEK - 3) / (WEEK - 1) * free / (free + 2) * noise / between
    kept = np.clip(np.nan_to_num(kept), 0.0, 1.0)
    weekday = kept[:, None] * effect
    rest = np.where(there, off - weekday[:, places], 0.0)
    spread = np.sqrt((rest**2).sum(1) / np.maximum(count - 1 - (WEEK - 1) * kept, 1))
    return level, weekday, spread


def standardised(series: Floats, reference: int) -> Floats:
    """Put many whole series (one a row) through the same steps at once: for the simulation of the null."""
    there = np.ones((series.shape[0], reference), dtype=np.bool_)
    level, weekday, spread = _fit(series[:, :reference], there)
    places: Ints = np.arange(series.shape[1], dtype=np.int64) % WEEK
    return np.clip((series - level[:, None] - weekday[:, places]) / spread[:, None], -CLIP, CLIP)

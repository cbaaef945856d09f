"""Has a channel changed, by a step or a ramp that began on any day since the reference? Several clocks, one number.

For each clock, a step over the last 1 to 112 days or a ramp over the last 14 to 168: the t value of a weighted
regression of all days so far on it. Its baseline is every day before the window, and so is its spread, which grows
with half squared differences to the same weekday a week before: these know neither weekdays nor slow ramps. Clocks are
joined by a mixture rather than their maximum. Misleads where days depend on each other for weeks (a season looks like a
ramp): shape alone cannot tell one from the other within a year.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from watchkeeper.analyzers.verdict.core.channels import Floats, Ints

STEPS = (1, 2, 3, 4, 5, 7, 10, 14, 21, 28, 42, 56, 84, 112)
RAMPS = (14, 21, 28, 42, 56, 70, 84, 112, 140, 168)
CLOCKS = len(STEPS) + len(RAMPS)
LAG = 7
WORTH = 2 / 3
"""How many independent days one difference counts for."""
BOUND = 4.5
SHARPNESS = 0.4


@dataclass(frozen=True, slots=True)
class Clocks:
    """Every clock's t value, for the days asked for: ``t[series, day, clock]``, NaN where a clock does not fit."""

    t: Floats


def clocks(z: Floats, weight: Floats, reference: int, first: int) -> Clocks:
    """Run all clocks of many series (one a row) for the days from ``first`` on.

    >>> z = np.zeros((1, 60)) + np.tile([-0.5, 0.5], 30)
    >>> z[0, 50:] += 3.0
    >>> last = clocks(z, np.ones((1, 60)), 28, 59).t[0, 0]
    >>> int(np.nanargmax(last)), bool(np.nanmax(last) > 8)
    (6, True)
    """
    days = np.arange(z.shape[1], dtype=np.float64)
    sums = [_running(part) for part in (weight, weight * days, weight * days**2, weight * z, weight * z * days)]
    spread = _spread(z, weight, reference)
    ends: Ints = np.arange(first, z.shape[1], dtype=np.int64) + 1
    found = np.full((z.shape[0], len(ends), CLOCKS), np.nan)
    for place, length in enumerate(STEPS):
        _place(found, place, ends, length, reference, sums, spread, ramp=False)
    for place, length in enumerate(RAMPS):
        _place(found, len(STEPS) + place, ends, length, reference, sums, spread, ramp=True)
    return Clocks(found)


def _running(part: Floats) -> Floats:
    return np.concatenate([np.zeros((part.shape[0], 1)), np.cumsum(part, axis=1)], axis=1)


def _spread(z: Floats, weight: Floats, reference: int) -> Floats:
    """Give each day's variance by what is known before it: the reference's, and the differences since."""
    free = reference - LAG
    before, after = weight[:, reference - LAG : -LAG], weight[:, reference:]
    there = (before > 0) & (after > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (z[:, reference:] - z[:, reference - LAG : -LAG]) ** 2 / (1 / before + 1 / after)
    squares = np.cumsum(np.where(there, part, 0.0), axis=1)
    counted = np.cumsum(there, axis=1)
    known = (free + WORTH * squares) / (free + WORTH * counted)
    return np.concatenate([np.ones((z.shape[0], reference + 1)), known], axis=1)


def _place(
    found: Floats,
    place: int,
    ends: Ints,
    length: int,
    reference: int,
    sums: list[Floats],
    spread: Floats,
    *,
    ramp: bool,
) -> None:
    """Fill in one clock for the days whose window lies after the reference."""
    fits = ends - length >= reference
    end = ends[fits]
    if end.size == 0:
        return
    start = end - length
    w, wd, wdd, wz, wzd = (total[:, end] - total[:, start] for total in sums)
    all_w, all_wz = sums[0][:, end], sums[3][:, end]
    if ramp:
        begin = start - 1.0
        g = (wd - begin * w) / length
        gg = (wdd - 2 * begin * wd + begin**2 * w) / length**2
        gz = (wzd - begin * wz) / length
    else:
        g, gg, gz = w, w, wz
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = gg - g * g / all_w
        t = (gz - g * all_wz / all_w) / np.sqrt(inside * spread[:, start])
    found[:, fits, place] = np.where((w > 0) & (inside > 1e-9), t, np.nan)


def mixture(t: Floats, bounds: Floats) -> Floats:
    """Join the clocks (last axis): the logarithm of the mean of exp(0.4 (4.5 |t| / bound)^2), a missing clock 1.

    >>> bounds = np.full(CLOCKS, 4.0)
    >>> calm, strong = np.full(CLOCKS, 1.0), np.full(CLOCKS, 6.0)
    >>> [round(float(mixture(t, bounds)), 1) for t in (calm, strong)]
    [0.5, 18.2]
    """
    a = np.nan_to_num(np.abs(t) / bounds)
    powers = SHARPNESS * (BOUND * a) ** 2
    top = powers.max(-1)
    return top + np.log(np.exp(powers - top[..., None]).mean(-1))

"""Where does a change of a rate come from: has the mix shifted, or has it changed inside the segments?

For each value g of a segment column, with its share of the rows w and its rate r before (0) and after (1), and R the
mean of the two total rates:

    mix     (w1 - w0) x ((r0 + r1) / 2 - R)
    inside  (w0 + w1) / 2 x (r1 - r0)

Over the values both together are the total change, exactly; neither side is favoured. A value that only one window has
is all mix. What *stands out* is what cannot be chance: its mix, or its inside part beyond what it would be had it moved
as all others did, less its error at a level that is corrected for all that is ranked. Misleads as all accounting does:
it says where, not why, and columns that go together share one cause.
Units are those of the rates. Errors are those of rows, widened by how much more days differ (a jackknife over days).
Source: Kitagawa 1955 (JASA 50), the symmetric form; centred as in Oaxaca-Blinder (Yun 2005, Economic Inquiry 43).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Z95 = NormalDist().inv_cdf(0.975)
ALPHA = 0.05
"""How often anything at all may stand out where nothing does."""


@dataclass(frozen=True, slots=True)
class Sums:
    """One window: rows, their sum and sum of squares, each by day (first axis) and value (second)."""

    n: Floats
    total: Floats
    square: Floats

    @classmethod
    def of_errors(cls, n: Sequence[float], errors: Sequence[float]) -> Sums:
        """Take counts of one window as a whole: so many wrong of so many."""
        wrong = np.array([errors], float)
        return cls(np.array([n], float), wrong, wrong)


@dataclass(frozen=True, slots=True)
class Part:
    """So many points of the total, their 95 % interval, and how many of them stand out at the very least (or 0)."""

    points: float
    lower: float
    upper: float
    stands_out: float


@dataclass(frozen=True, slots=True)
class Slice:
    """One value of the column: rows and rate before and after (None without rows), and its two parts."""

    value: str
    reference_n: int
    n: int
    reference_rate: float | None
    rate: float | None
    mix: Part
    inside: Part

    @property
    def stands_out(self) -> float:
        """What of either part stands out."""
        return max(self.mix.stands_out, self.inside.stands_out)

    @property
    def cause(self) -> str | None:
        """Say which part stands out: mix, inside, or None where both may be chance."""
        if self.stands_out <= 0:
            return None
        return "mix" if self.mix.stands_out >= self.inside.stands_out else "inside"


@dataclass(frozen=True, slots=True)
class Split:
    """One column: the total change, and its parts by value."""

    column: str
    total: float
    slices: tuple[Slice, ...]

    @property
    def mix(self) -> float:
        """What the shifted mix of this column makes of the total."""
        return float(np.sum([one.mix.points for one in self.slices]))

    @property
    def inside(self) -> float:
        """What has changed inside its values."""
        return float(np.sum([one.inside.points for one in self.slices]))


def split(column: str, values: Sequence[str], reference: Sums, current: Sums, ranked: int = 0) -> Split | None:
    """Split the change of a rate over the values of a column; None where a window has no rows.

    ``ranked`` is how many parts compete for the first place, where other columns are split beside this one.

    >>> before = Sums.of_errors([800, 200], [80, 40])
    >>> worse = split("carrier", ["AA", "B6"], before, Sums.of_errors([800, 200], [80, 100]))
    >>> [(one.value, round(one.inside.points, 4), one.cause) for one in worse.slices]
    [('AA', 0.0, None), ('B6', 0.06, 'inside')]
    >>> shifted = split("carrier", ["AA", "B6"], before, Sums.of_errors([500, 500], [50, 100]))
    >>> round(shifted.total, 4), round(shifted.mix, 4), round(shifted.inside, 4)
    (0.03, 0.03, 0.0)
    """
    if reference.n.sum() <= 0 or current.n.sum() <= 0:
        return None
    whole = _parts(*_whole(reference), *_whole(current))
    direction = 1.0 if float(whole.total) >= 0 else -1.0
    errors = _errors(whole, reference, current)
    z = NormalDist().inv_cdf(1 - ALPHA / (2 * max(ranked, 2 * len(values))))  # the direction is chosen by the rows too
    least_mix = np.maximum(direction * whole.mix - z * errors.mix, 0.0)
    least_inside = np.maximum(direction * whole.excess - z * errors.excess, 0.0)
    least_inside = np.minimum(least_inside, np.maximum(direction * whole.inside, 0.0))
    slices = tuple(
        Slice(
            value,
            int(whole.n0[place]),
            int(whole.n1[place]),
            float(whole.r0[place]) if whole.n0[place] > 0 else None,
            float(whole.r1[place]) if whole.n1[place] > 0 else None,
            _part(whole.mix[place], errors.mix[place], least_mix[place]),
            _part(whole.inside[place], errors.inside[place], least_inside[place]),
        )
        for place, value in enumerate(values)
    )
    return Split(column, float(whole.total), slices)


def ranked(splits: Iterable[Split]) -> list[tuple[str, Slice]]:
    """Give every value of every column, the one that most stands out first, then by its larger part."""
    every = [(one.column, each) for one in splits for each in one.slices]
    return sorted(every, key=lambda pair: (-pair[1].stands_out, -_larger(pair[1]), pair[0], pair[1].value))


def _larger(one: Slice) -> float:
    return max(abs(one.mix.points), abs(one.inside.points))


def _part(points: float, error: float, least: float) -> Part:
    half = Z95 * float(error)
    return Part(float(points), float(points) - half, float(points) + half, float(least))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of each value (last axis), perhaps for many versions of the windows at once (first axis)."""

    n0: Floats
    n1: Floats
    w0: Floats
    w1: Floats
    r0: Floats
    r1: Floats
    mix: Floats
    inside: Floats
    excess: Floats
    total: Floats


@dataclass(frozen=True, slots=True)
class _Errors:
    mix: Floats
    inside: Floats
    excess: Floats


def _whole(sums: Sums) -> tuple[Floats, Floats]:
    return sums.n.sum(axis=0), sums.total.sum(axis=0)


def _parts(n0: Floats, s0: Floats, n1: Floats, s1: Floats) -> _Parts:
    """Split; ``excess`` is the inside part less what it would be, had the value moved as all others did."""
    n0, n1 = np.broadcast_arrays(n0, n1)
    w0, w1 = _over(n0, n0.sum(-1, keepdims=True)), _over(n1, n1.sum(-1, keepdims=True))
    r0, r1 = _over(s0, n0), _over(s1, n1)
    r0, r1 = np.where(n0 > 0, r0, r1), np.where(n1 > 0, r1, r0)
    before, after = (w0 * r0).sum(-1, keepdims=True), (w1 * r1).sum(-1, keepdims=True)
    weight = (w0 + w1) / 2
    mix = (w1 - w0) * ((r0 + r1) / 2 - (before + after) / 2)
    inside = weight * (r1 - r0)
    others = _over(inside.sum(-1, keepdims=True) - inside, 1 - weight)
    excess = np.where(weight < 1, inside - weight * others, 0.0)
    return _Parts(n0, n1, w0, w1, r0, r1, mix, inside, excess, (after - before)[..., 0])


def _over(above: Floats, below: Floats) -> Floats:
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.zeros(above.shape), where=below > 0)


def _errors(whole: _Parts, reference: Sums, current: Sums) -> _Errors:
    """Give standard errors: those of rows, times how much more the days of all values differ than rows would."""
    rows = _row_variances(whole, reference, current)
    days = _day_variances(reference, current)
    if days is None:
        return _Errors(*(np.sqrt(each) for each in rows))
    wider = (max(1.0, float(_over(day.sum(), row.sum()))) for row, day in zip(rows, days, strict=True))
    return _Errors(*(np.sqrt(row * more) for row, more in zip(rows, wider, strict=True)))


def _row_variances(whole: _Parts, reference: Sums, current: Sums) -> tuple[Floats, Floats, Floats]:
    """Give the variances of mix, inside and excess, were all rows independent (first order)."""
    v0, v1 = _rate_variance(reference), _rate_variance(current)
    v0, v1 = np.where(whole.n0 > 0, v0, v1), np.where(whole.n1 > 0, v1, v0)
    both, weight = v0 + v1, (whole.w0 + whole.w1) / 2
    shares = whole.w0 * (1 - whole.w0) / whole.n0.sum() + whole.w1 * (1 - whole.w1) / whole.n1.sum()
    mean = (whole.r0 + whole.r1) / 2
    level = float((weight * mean).sum())
    mix = (mean - level) ** 2 * shares + (whole.w1 - whole.w0) ** 2 * both / 4
    own = weight**2 * both
    inside = own + (whole.r1 - whole.r0) ** 2 * shares / 4
    others = _over(own.sum() - own, (1 - weight) ** 2)
    return mix, inside, weight**2 * (both + others)


def _rate_variance(sums: Sums) -> Floats:
    """Give the variance of each value's rate; few rows lean on the variance that all rows have."""
    n, total, square = sums.n.sum(axis=0), sums.total.sum(axis=0), sums.square.sum(axis=0)
    within = np.maximum(square - total * _over(total, n), 0.0)
    pooled = max(float(square.sum() - total.sum() ** 2 / n.sum()), 0.0) / float(n.sum())
    return _over((within + pooled) / (n + 1), n)


def _day_variances(reference: Sums, current: Sums) -> tuple[Floats, Floats, Floats] | None:
    """Give the variances by leaving out a day at a time; None with fewer than two days in a window."""
    (n0, s0), (n1, s1) = _whole(reference), _whole(current)
    left0 = [(n0 - n, s0 - s) for n, s in zip(reference.n, reference.total, strict=True) if n.sum() < n0.sum()]
    left1 = [(n1 - n, s1 - s) for n, s in zip(current.n, current.total, strict=True) if n.sum() < n1.sum()]
    if len(left0) < 2 or len(left1) < 2:
        return None
    first = _parts(np.array([n for n, _ in left0]), np.array([s for _, s in left0]), n1, s1)
    second = _parts(n0, s0, np.array([n for n, _ in left1]), np.array([s for _, s in left1]))
    return (
        _jackknife(first.mix) + _jackknife(second.mix),
        _jackknife(first.inside) + _jackknife(second.inside),
        _jackknife(first.excess) + _jackknife(second.excess),
    )


def _jackknife(left_out: Floats) -> Floats:
    count = len(left_out)
    return (count - 1) / count * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)

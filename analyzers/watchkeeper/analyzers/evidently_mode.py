"""What would Evidently say of two samples? Its distances by its own rules, without it.

For whoever moves from it and wants to see the same numbers. Not what is kept and shown (``drift.*``): bins here move
with the window, so that one outlier hides a drift, and p-values fall with the number of rows.
Numbers are float or integer arrays, categories arrays of text; NaN, infinite and None are left out.
Source: Evidently 0.7.23, whose values are the oracle of the tests, to 1e-9.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import special

Sample = NDArray[Any]
Floats = NDArray[np.float64]

FEW_VALUES = 20
"""A number with at most so many values in the reference is compared value by value."""
SMALLEST_DEVIATION = 0.001


def compare(method: str, reference: Sample, current: Sample) -> float:
    """Give what Evidently's ``ValueDrift`` of this method gives (``cramer_v``: its correlation of value and sample).

    Raises ``KeyError`` for a method that is not in ``METHODS``, ``ValueError`` where a sample holds no value or the
    method is none for such values.

    >>> compare("psi", np.array(["a"] * 50 + ["b"] * 50), np.array(["a"] * 80 + ["b"] * 20)).__round__(4)
    0.4159
    >>> compare("wasserstein", np.array([0.0, 2.0]), np.array([3.0, 5.0]))
    3.0
    """
    values = _clean(reference), _clean(current)
    if not (values[0].size and values[1].size):
        raise ValueError(f"{method}: the {'current' if values[0].size else 'reference'} sample holds no value")
    kind = "numbers" if all(map(_numeric, values)) else "categories"
    if kind not in METHODS[method][1]:
        raise ValueError(f"{method} does not compare {kind}")
    return METHODS[method][0](*values)


def psi(reference: Sample, current: Sample) -> float:
    """Population stability index on shares without zeroes."""
    p, q = map(_without_zeroes, _shares(reference, current))
    return float(np.sum((p - q) * np.log(p / q)))


def jensen_shannon(reference: Sample, current: Sample) -> float:
    """Jensen-Shannon distance, base e."""
    p, q = (shares / shares.sum() for shares in _shares(reference, current))
    middle = (p + q) / 2
    return math.sqrt(float(np.sum(special.rel_entr(p, middle) + special.rel_entr(q, middle))) / 2)


def kolmogorov_smirnov(reference: Sample, current: Sample) -> float:
    """Two-sided p-value: exact for samples of up to 10,000 rows."""
    from scipy import stats  # noqa: PLC0415  costs seconds, and nothing else here needs it

    test = cast("Callable[[Sample, Sample], tuple[float, float]]", cast("Any", stats).ks_2samp)
    return float(test(reference, current)[1])


def wasserstein(reference: Sample, current: Sample) -> float:
    """First Wasserstein distance over the reference's standard deviation."""
    both = np.sort(np.concatenate([reference, current]))
    below = [np.searchsorted(np.sort(values), both[:-1], "right") / values.size for values in (reference, current)]
    travelled = float(np.sum(np.abs(below[0] - below[1]) * np.diff(both)))
    return travelled / max(float(np.std(reference)), SMALLEST_DEVIATION)


def chi_squared(reference: Sample, current: Sample) -> float:
    """P-value of the current counts against the reference's, as if these were known exactly."""
    expected, observed = _counts(reference, current)
    expected = expected * (current.size / reference.size)
    with np.errstate(divide="ignore"):  # a value that the reference lacks makes it impossible: 0
        statistic = np.sum((observed - expected) ** 2 / expected)
    return float(special.chdtrc(observed.size - 1, statistic))


def cramers_v(reference: Sample, current: Sample) -> float:
    """Cramér's V of the table values × (reference, current); NaN if there is one value only."""
    table = np.stack(_counts(reference, current))
    if table.shape[1] == 1:
        return math.nan
    expected = table.sum(axis=0) * table.sum(axis=1, keepdims=True) / table.sum()
    return math.sqrt(float(np.sum((table - expected) ** 2 / expected)) / float(table.sum()))


def hellinger(reference: Sample, current: Sample) -> float:
    """Hellinger distance; numbers on as many bins as their distinct values ask for."""
    if _numeric(reference):
        edges = np.histogram_bin_edges(np.union1d(reference, current), bins="sturges")
        p, q = _binned(reference, edges), _binned(current, edges)
    else:
        p, q = _counts(reference, current)
    overlap = float(np.sum(np.sqrt(p / p.sum() * (q / q.sum()))))
    return math.sqrt(1 - min(max(overlap, 0.0), 1.0))


METHODS: Mapping[str, tuple[Callable[[Sample, Sample], float], frozenset[str]]] = {
    "psi": (psi, frozenset({"numbers", "categories"})),
    "jensenshannon": (jensen_shannon, frozenset({"numbers", "categories"})),
    "hellinger": (hellinger, frozenset({"numbers", "categories"})),
    "ks": (kolmogorov_smirnov, frozenset({"numbers"})),
    "wasserstein": (wasserstein, frozenset({"numbers"})),
    "chisquare": (chi_squared, frozenset({"categories"})),
    "cramer_v": (cramers_v, frozenset({"categories"})),
}
"""Evidently's names: what they compute, and of what."""


def _numeric(values: Sample) -> bool:
    return values.dtype.kind in "iuf"


def _clean(values: Sample) -> Sample:
    if values.dtype.kind == "f":
        return values[np.isfinite(values)]
    if values.dtype.kind == "O":
        return np.array([value for value in values.tolist() if value is not None], dtype=np.str_)
    return values


def _counts(reference: Sample, current: Sample) -> tuple[Floats, Floats]:
    """Count every value of either."""
    _, places = np.unique(np.concatenate([reference, current]), return_inverse=True)
    width = int(places.max()) + 1
    first, second = (np.bincount(part, minlength=width) for part in np.split(places, [reference.size]))
    return first.astype(np.float64), second.astype(np.float64)


def _binned(values: Sample, edges: Sample) -> Floats:
    return np.histogram(values, edges)[0].astype(np.float64)


def _shares(reference: Sample, current: Sample) -> tuple[Floats, Floats]:
    """Bin both on equal widths over both, by Sturges; few values and categories are their own bins."""
    if _numeric(reference) and np.unique(reference).size > FEW_VALUES:
        edges = np.histogram_bin_edges(np.concatenate([reference, current]), bins="sturges")
        first, second = _binned(reference, edges), _binned(current, edges)
    else:
        first, second = _counts(reference, current)
    return first / reference.size, second / current.size


def _without_zeroes(shares: Floats) -> Floats:
    """Put a little into empty bins: 0.0001, or a millionth of the smallest share where one is as small as that."""
    smallest = cast("float", shares[shares > 0].min())
    return np.where(shares == 0, smallest / 1e6 if smallest <= 0.0001 else 0.0001, shares)

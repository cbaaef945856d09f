"""Does a number still go with the other inputs? Most of what makes its days differ is in them.

Each number's rank is fitted on the reference by least squares from all the others; what is left of it by day hardly
moves with the weather or the market. Only numbers that the others explain well are watched so. Misleads where another
input is the one that moved: then what is left of this one moves too, though less strongly, so that it is named behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from watchkeeper.analyzers.verdict.core.channels import Channel, Days, Family, Floats, Ints, Rows, Table
from watchkeeper.analyzers.verdict.core.expected import (
    CHUNK,
    FITTED_ROWS,
    FOLDS,
    MOST_FEATURES,
    WIDTH,
    Term,
    solved,
    term_of,
    terms_of,
)
from watchkeeper.analyzers.verdict.core.features import Category, Number

LEAST_SHARE = 0.5
"""Share of a number's variance that the others must explain."""


@dataclass(frozen=True, slots=True)
class Together:
    """The fits: ``weights[term, number and fold]``, zero where a term is the number's own."""

    numbers: tuple[Term, ...]
    kinds: tuple[Category, ...]
    watched: tuple[int, ...]
    weights: Floats

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers that are watched."""
        return tuple(self.numbers[place].number.name for place in self.watched)

    def measure(self, rows: Rows, days: Days, *, reference: bool = False) -> Table:
        """Measure on some days what the others do not explain; in the reference by fits that have not seen the day."""
        rest = np.full((rows.frame.height, len(self.watched)), np.nan)
        for start in range(0, rows.frame.height, CHUNK):
            part = Rows(rows.frame.slice(start, CHUNK), {}, {}, {})
            terms = terms_of(part, self.numbers, self.kinds)
            each = (terms @ self.weights).reshape(len(terms), len(self.watched), FOLDS)
            fold = days.day[start : start + CHUNK] % FOLDS
            fitted = each[np.arange(len(terms)), :, fold] if reference else each.mean(2)
            rest[start : start + CHUNK] = np.column_stack([_own(part, self.numbers[n]) for n in self.watched]) - fitted
        return {_called(name): days.mean(rest[:, place]) for place, name in enumerate(self.names)}

    def channels(self) -> Iterator[Channel]:
        """Name its channels."""
        for name in self.names:
            yield Channel(_called(name), name, Family.INPUT)


def learn(rows: Rows, inputs: tuple[Number | Category, ...]) -> Together | None:
    """Fit the numbers of the reference from each other; None where none goes with the others.

    >>> import polars as pl
    >>> rng = np.random.default_rng(3)
    >>> day, cold = np.repeat(np.arange(8), 100), rng.normal(0, 2, 800) + np.repeat(rng.normal(0, 1, 8), 100)
    >>> columns = {"a": cold + rng.normal(0, 0.5, 800), "b": cold + rng.normal(0, 0.5, 800), "c": rng.normal(0, 1, 800)}
    >>> rows = Rows(pl.DataFrame({"day": day, **columns}), {name: name for name in columns}, {}, {})
    >>> from watchkeeper.analyzers.verdict.core import features
    >>> learned = learn(rows, tuple(features.learn(rows)))
    >>> learned.names
    ('a', 'b')
    >>> warmer = Rows(rows.frame.with_columns(pl.col("a") + 1), rows.numeric, {}, {})
    >>> days = Days.of(rows, 8)
    >>> before, after = (learned.measure(one, days)["a for the other inputs"].values for one in (rows, warmer))
    >>> bool((after - before).min() > 2 * before.std())
    True
    """
    some = Rows(rows.frame.gather_every(max(1, rows.frame.height // FITTED_ROWS)), {}, {}, {})
    listed = [one for one in inputs if isinstance(one, Number) and one.low < one.high][:MOST_FEATURES]
    kinds = tuple(one for one in inputs if isinstance(one, Category) and one.top)[:MOST_FEATURES]
    fold = some.frame["day"].to_numpy() % FOLDS
    if len(listed) < 2 or np.unique(fold).size < FOLDS:
        return None
    numbers = tuple(term_of(some, one) for one in listed)
    terms = terms_of(some, numbers, kinds)
    there = np.isfinite(terms).all(1)
    own = np.column_stack([_own(some, one) for one in numbers])[there]
    terms, fold = terms[there], fold[there]
    products = _by_fold(terms, terms, fold)
    goals = _by_fold(terms, np.nan_to_num(own), fold)
    counts = [int((fold != one).sum()) for one in range(FOLDS)]
    found: list[tuple[int, Floats]] = []
    for place in range(len(numbers)):
        others = _others(place, terms.shape[1])
        weights = np.zeros((terms.shape[1], FOLDS))
        for one in range(FOLDS):
            square = products[one][np.ix_(others, others)]
            weights[others, one] = solved(square, goals[one][others, place], counts[one])
        rest = own[:, place] - (terms @ weights)[np.arange(len(own)), fold]
        if np.nanvar(rest) < (1 - LEAST_SHARE) * np.nanvar(own[:, place]):
            found.append((place, weights))
    if not found:
        return None
    watched = tuple(place for place, _ in found)
    return Together(numbers, kinds, watched, np.concatenate([weights for _, weights in found], axis=1))


def _by_fold(left: Floats, right: Floats, fold: Ints) -> list[Floats]:
    """Give the products of the rows outside each fold."""
    each = [left[fold == one].T @ right[fold == one] for one in range(FOLDS)]
    total = np.sum(each, axis=0)
    return [total - one for one in each]


def _others(place: int, width: int) -> Ints:
    """Give the places of all terms but a number's own."""
    own = range(1 + WIDTH * place, 1 + WIDTH * (place + 1))
    return np.array([n for n in range(width) if n not in own], dtype=np.int64)


def _own(rows: Rows, term: Term) -> Floats:
    return term.number.rank(rows.floats(term.number.column)) - 0.5


def _called(name: str) -> str:
    return f"{name} for the other inputs"

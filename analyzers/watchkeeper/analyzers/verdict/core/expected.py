"""Which score do the inputs lead one to expect? Then a change of the scores alone shows, whatever comes in that day.

The logit of the score is fitted on the reference by least squares: hinges in each number's rank, a term for each large
value of a category, at most 24 features (those that go with the score most). A model's scores follow its inputs, so
that most of what makes days differ is in the fit. Two numbers a day remain: the mean of the rest, and the slope of the
logit on what is expected. Misleads where inputs move beyond the reference: there the fit is a guess, and the input is
named too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from watchkeeper.analyzers.verdict.core.channels import Days, Floats, Measured, Rows, Table
from watchkeeper.analyzers.verdict.core.features import Category, Number

MOST_FEATURES = 24
HINGES = (0.25, 0.5, 0.75)
WIDTH = 2 + len(HINGES)
FITTED_ROWS = 20_000
CHUNK = 20_000
RIDGE = 1e-3
FOLDS = 4
WHOLE = 0.99
LEAST_SHARE = 0.5
"""Share of the logit's variance that the inputs must explain; below it nothing is gained."""


@dataclass(frozen=True, slots=True)
class Term:
    """A number, and whether it was nearly always there: then a row without it has no expectation."""

    number: Number
    whole: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """The fit. It is made four times, each without a fourth of the days, so that the reference's own days are judged
    as strangely as later ones are."""

    numbers: tuple[Term, ...]
    kinds: tuple[Category, ...]
    weights: Floats
    """One column a fold: fitted without every fourth day of the reference, from the first, second ... on."""

    def of(self, rows: Rows, days: Days, *, reference: bool) -> Floats:
        """Give the expected logit of each row; in the reference by the fold that has not seen its day."""
        parts: list[Floats] = []
        for start in range(0, rows.frame.height, CHUNK):
            terms = terms_of(Rows(rows.frame.slice(start, CHUNK), {}, {}, {}), self.numbers, self.kinds)
            each = terms @ self.weights
            fold = days.day[start : start + CHUNK] % FOLDS
            parts.append(each[np.arange(len(each)), fold] if reference else each.mean(1))
        return np.concatenate(parts) if parts else np.zeros(0)

    def measure(self, rows: Rows, odds: Floats, days: Days, *, reference: bool = False) -> Table:
        """Measure the rest and the slope on some days; ``odds`` are the logits."""
        fitted = self.of(rows, days, reference=reference)
        known = ~np.isnan(odds) & ~np.isnan(fitted)
        rest = np.where(known, odds - fitted, np.nan)
        mean = days.mean(np.where(known, fitted, np.nan)).values
        lean = np.where(known, fitted - mean[days.day], 0.0)
        size = days.sum(lean**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = days.sum(np.nan_to_num(odds) * lean) / size
        count = days.sum(known)
        spread = float(lean[known].var()) if known.any() else 1.0
        within = float(np.nanvar(rest)) / max(spread, 1e-9) if known.any() else 0.0
        enough = (count > 2) & (size > 1e-9)
        return {
            "score for the inputs": days.mean(rest),
            "score slope on the inputs": Measured(
                np.where(enough, slope, np.nan), np.where(enough, count, 0.0), within
            ),
        }


def learn(rows: Rows, odds: Floats, inputs: tuple[Number | Category, ...]) -> Expected | None:
    """Fit the logits of the reference; None where the inputs do not tell much of them.

    >>> import polars as pl
    >>> x = np.tile(np.linspace(-2, 2, 200), 4)
    >>> rows = Rows(pl.DataFrame({"day": np.repeat([0, 1, 2, 3], 200), "x": x}), {"x": "x"}, {}, {})
    >>> from watchkeeper.analyzers.verdict.core.features import number
    >>> learned = learn(rows, 2 * x, (number(rows, "x", "x"),))
    >>> table = learned.measure(rows, np.where(np.arange(800) < 600, 2 * x, x + 1), Days.of(rows, 4))
    >>> (table["score for the inputs"].values.round(1) + 0.0).tolist()
    [0.0, 0.0, 0.0, 1.0]
    >>> table["score slope on the inputs"].values.round(1).tolist()
    [1.0, 1.0, 1.0, 0.5]
    """
    known = np.flatnonzero(~np.isnan(odds))
    known = known[:: max(1, known.size // FITTED_ROWS)]
    some = Rows(rows.frame[known.astype(np.uint32)], {}, {}, {})
    fold = some.frame["day"].to_numpy() % FOLDS
    if not inputs or np.unique(fold).size < FOLDS:
        return None
    y = odds[known]
    numbers, kinds = _chosen(some, y, inputs)
    terms = terms_of(some, numbers, kinds)
    there = np.isfinite(terms).all(1)
    terms, y, fold = terms[there], y[there], fold[there]
    each = [fit(terms[fold != one], y[fold != one]) for one in range(FOLDS)]
    weights = np.stack(each, axis=1)
    rest = y - (terms @ weights)[np.arange(len(y)), fold]
    if float(rest.var()) > (1 - LEAST_SHARE) * float(y.var()):
        return None
    return Expected(numbers, kinds, weights)


def fit(terms: Floats, y: Floats) -> Floats:
    """Fit by least squares, with a little ridge on all but the first term."""
    return solved(terms.T @ terms, terms.T @ y, len(y))


def solved(products: Floats, goal: Floats, count: int) -> Floats:
    """Solve the normal equations of ``count`` rows; the first term is the level."""
    bend = products + RIDGE * count * np.diag([0.0, *[1.0] * (len(products) - 1)])
    return np.linalg.solve(bend, goal).astype(np.float64)


def _chosen(
    rows: Rows, y: Floats, inputs: tuple[Number | Category, ...]
) -> tuple[tuple[Term, ...], tuple[Category, ...]]:
    """Take the features whose terms alone explain most of the logit."""
    explained: list[tuple[float, int, Term | Category]] = []
    for place, one in enumerate(inputs):
        if isinstance(one, Category) and not one.top:
            continue
        part = one if isinstance(one, Category) else term_of(rows, one)
        numbers, kinds = ((), (part,)) if isinstance(part, Category) else ((part,), ())
        terms = terms_of(rows, numbers, kinds)
        there = np.isfinite(terms).all(1)
        explained.append((-float((terms[there] @ fit(terms[there], y[there])).var()), place, part))
    best = [part for _, _, part in sorted(explained, key=lambda triple: triple[:2])[:MOST_FEATURES]]
    return (
        tuple(part for part in best if isinstance(part, Term)),
        tuple(part for part in best if isinstance(part, Category)),
    )


def term_of(rows: Rows, one: Number) -> Term:
    """Learn whether a number is always there."""
    return Term(one, bool(np.isnan(rows.floats(one.column)).mean() <= 1 - WHOLE))


def terms_of(rows: Rows, numbers: tuple[Term, ...], kinds: tuple[Category, ...]) -> Floats:
    """Give the terms of each row: one for the level, then WIDTH for each number, then each category's."""
    parts = [np.ones(rows.frame.height)]
    for term in numbers:
        rank = term.number.rank(rows.floats(term.number.column))
        missing = np.isnan(rank)
        held = rank if term.whole else np.where(missing, 0.5, rank)
        parts += [held - 0.5, missing.astype(np.float64)]
        parts += [np.maximum(held - hinge, 0) for hinge in HINGES]
    for kind in kinds:
        codes = rows.codes(kind.column, kind.values)
        parts += [(codes == kind.values.index(value)).astype(np.float64) for value in kind.top]
    return np.column_stack(parts)

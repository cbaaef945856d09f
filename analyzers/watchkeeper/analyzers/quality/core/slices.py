"""Which part of the cases, by one condition or two, has got worse beyond all others?

All conjunctions are counted at once by products of the conditions' membership; the few that stand out by rows alone are
then judged by days, against the rest of the same days (``gaps.compare``). Half of the chance that is allowed goes to
single conditions, half to pairs, each over all that had rows enough: so one condition goes before two that say no more.
What a told slice explains is taken away before the next is looked for. Source: the lattice of slices is that of Chung
et al., Slice Finder (ICDE 2019); days instead of rows, and the correction, are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchkeeper.analyzers.quality.core.conditions import Condition, Mask
from watchkeeper.analyzers.quality.core.gaps import Change, Pair, compare, pooled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

JUDGED = 24
"""Candidates that are judged by days, those that stand out most by rows."""
MOST_TOLD = 3
SURE = 0.01
"""So unlikely, among all that were tested, must a pair be to go before a single condition that holds it."""
UNSURE = 0.05
"""From here on the search ends: what stands out less is chance."""


@dataclass(frozen=True, slots=True)
class Cases:
    """Rows with a known outcome: right or wrong, now or of the reference, and their day."""

    wrong: Mask
    now: Mask
    day: Ints

    def without(self, rows: Mask) -> Cases:
        """Leave rows out."""
        return Cases(self.wrong[~rows], self.now[~rows], self.day[~rows])


@dataclass(frozen=True, slots=True)
class Slice:
    """A conjunction, how it stands against the rest, and how likely that is by chance among all that were tested."""

    words: str
    change: Change
    now: tuple[Pair, ...]
    usual: tuple[Pair, ...]
    p_value: float

    @property
    def rates(self) -> tuple[float, float]:
        """Its own error, now and in the reference."""
        after, before = pooled(self.now), pooled(self.usual)
        return after.own / after.own_rows, before.own / before.own_rows


@dataclass(frozen=True, slots=True)
class Search:
    """What was found, the surest first, how many conjunctions were tested, and how many had too few rows."""

    found: tuple[Slice, ...]
    tested: int
    refused: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    places: tuple[int, ...]
    weight: float


def search(conditions: Sequence[Condition], cases: Cases, least: int) -> Search:
    """Find the slices that got worse; ``least`` rows are needed in the window and in the reference.

    >>> rng = np.random.default_rng(1)
    >>> day = np.arange(21_000) // 1000
    >>> a, b = (Condition(name, f"{name}=1", rng.random(21_000) < 0.4) for name in "ab")
    >>> wrong = rng.random(21_000) < np.where((day >= 14) & a.holds & b.holds, 0.4, 0.1)
    >>> [one.words for one in search([a, b], Cases(wrong, day >= 14, day), 100).found if one.p_value < 0.001]
    ['a=1 & b=1']
    """
    masks = [one.holds for one in conditions]
    candidates, refused = _candidates(conditions, cases, least)
    tested = len(candidates)
    found: list[Slice] = []
    left = cases
    for _ in range(MOST_TOLD):
        best = _surest(conditions, masks, left, candidates)
        if best is None:
            break
        found.append(best[0])
        if best[0].p_value >= UNSURE:
            break
        inside = _member(masks, best[1].places)
        masks = [mask[~inside] for mask in masks]
        left = left.without(inside)
        candidates = [one for one in candidates if one is not best[1]]
    return Search(tuple(found), tested, refused)


def _candidates(conditions: Sequence[Condition], cases: Cases, least: int) -> tuple[list[_Candidate], int]:
    """List what has rows enough on both sides and outside; count what has not."""
    if not conditions:
        return [], 0
    sides = (cases.now, ~cases.now)
    rows = [_counts(conditions, side) for side in sides]
    enough = np.ones(rows[0].shape, dtype=np.bool_)
    for counted, side in zip(rows, sides, strict=True):
        enough &= (counted >= least) & (counted <= side.sum() - least)
    columns = np.array([one.column for one in conditions])
    singles = [(place,) for place in range(len(conditions)) if enough[place, place]]
    first, second = np.nonzero(np.triu(columns[:, None] != columns[None, :], 1))
    pairs = [(int(one), int(other)) for one, other in zip(first, second, strict=True) if enough[one, other]]
    refused = len(conditions) + len(first) - len(singles) - len(pairs)
    weights = ((singles, 2.0 * len(singles)), (pairs, 2.0 * len(pairs)))
    return [_Candidate(places, weight) for listed, weight in weights for places in listed], refused


def _counts(conditions: Sequence[Condition], rows: Mask) -> Floats:
    """Count the rows of every pair of conditions; on the diagonal those of one."""
    member = np.column_stack([one.holds[rows] for one in conditions]).astype(np.float32)
    return np.matmul(member.transpose(), member).astype(np.float64)


def _surest(
    conditions: Sequence[Condition], masks: Sequence[Mask], cases: Cases, candidates: Sequence[_Candidate]
) -> tuple[Slice, _Candidate] | None:
    scores = _scores(masks, cases)
    order = sorted(candidates, key=lambda one: (-scores[one.places[0], one.places[-1]], one.places))
    judged = [(made, one) for one in order[:JUDGED] if (made := _slice(conditions, masks, cases, one)) is not None]
    if not judged:
        return None
    best = min(judged, key=lambda pair: pair[0].p_value)
    return next((pair for pair in judged if _narrower(pair, best, masks, cases)), best)


def _narrower(
    pair: tuple[Slice, _Candidate], best: tuple[Slice, _Candidate], masks: Sequence[Mask], cases: Cases
) -> bool:
    """Whether a pair is what is wrong within a single condition: sure by itself, and the rest of that is as it was."""
    single, both = best[1].places, pair[1].places
    if len(single) > 1 or len(both) == 1 or not set(single) <= set(both) or pair[0].p_value >= SURE:
        return False
    inside = _member(masks, both)
    rest = cases.without(inside)
    around = _member(masks, single)[~inside]
    change = compare(*(_days(rest, around, side) for side in (rest.now, ~rest.now)))
    return change is not None and (change.p_value > UNSURE or change.gap <= change.usual)


def _scores(masks: Sequence[Mask], cases: Cases) -> Floats:
    """Give by rows alone how much more each pair got worse than all others: a z value, to choose whom to judge."""
    sums: list[tuple[Floats, Floats, int, int]] = []
    for side in (cases.now, ~cases.now):
        member = np.column_stack([mask[side] for mask in masks]).astype(np.float32)
        wrong = cases.wrong[side]
        rows = np.matmul(member.transpose(), member).astype(np.float64)
        errors = np.matmul(member[wrong].transpose(), member[wrong]).astype(np.float64)
        sums.append((rows, errors, int(side.sum()), int(wrong.sum())))
    (n1, e1, all1, wrong1), (n0, e0, all0, wrong0) = sums
    own = (e1 + e0) / np.maximum(n1 + n0, 1)
    rest = (wrong1 + wrong0 - e1 - e0) / np.maximum(all1 + all0 - n1 - n0, 1)
    gaps = [e / np.maximum(n, 1) - (w - e) / np.maximum(a - n, 1) for n, e, a, w in sums]
    inverse = 1 / np.maximum(n1, 1) + 1 / np.maximum(n0, 1)
    outside = 1 / np.maximum(all1 - n1, 1) + 1 / np.maximum(all0 - n0, 1)
    variance = own * (1 - own) * inverse + rest * (1 - rest) * outside
    return (gaps[0] - gaps[1]) / np.sqrt(np.maximum(variance, 1e-12))


def _slice(conditions: Sequence[Condition], masks: Sequence[Mask], cases: Cases, one: _Candidate) -> Slice | None:
    inside = _member(masks, one.places)
    now, usual = (_days(cases, inside, side) for side in (cases.now, ~cases.now))
    change = compare(now, usual)
    if change is None or change.gap <= change.usual:
        return None
    words = " & ".join(conditions[place].words for place in one.places)
    return Slice(words, change, tuple(now), tuple(usual), min(1.0, change.p_value / 2 * one.weight))


def _member(masks: Sequence[Mask], places: tuple[int, ...]) -> Mask:
    return masks[places[0]] & masks[places[-1]]


def _days(cases: Cases, inside: Mask, side: Mask) -> list[Pair]:
    """Count a slice and the rest of each day."""
    days, place = np.unique(cases.day[side], return_inverse=True)
    own, wrong = inside[side], cases.wrong[side]
    counted = [np.bincount(place, rows, len(days)) for rows in (own & wrong, own, ~own & wrong, ~own)]
    return [Pair(*map(float, day)) for day in zip(*counted, strict=True)]

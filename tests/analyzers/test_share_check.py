from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.share_check import Limits, judge, run_probability

CLEAN = [Count(0, 400)] * 28
USUAL = Limits()


def holds(windows: list[Count], days: list[Count] = CLEAN, tests: int = 10, limits: Limits = USUAL) -> bool:
    return judge(windows, days, tests, limits).holds


def test_a_small_share_must_last_four_windows() -> None:
    high, calm = Count(8, 400), Count(0, 400)
    assert [holds([high] * run + [calm] * 3) for run in range(5)] == [False, False, False, False, True]
    assert not holds([calm, high, high, high, high])


def test_a_large_share_of_a_clean_feature_needs_two_windows_and_a_massive_one_window() -> None:
    limits = Limits(in_two=0.1, at_once=0.5)
    calm, large, massive = Count(0, 400), Count(60, 400), Count(200, 400)
    assert [holds([large] * run + [calm], limits=limits) for run in (1, 2)] == [False, True]
    assert holds([massive, calm], limits=limits)
    dirty = [*CLEAN[1:], Count(8, 400)]
    assert not holds([massive, large, calm], dirty, limits=limits)


def test_few_rows_are_never_large() -> None:
    assert not holds([Count(9, 40), Count(9, 40), Count(0, 40)])
    assert holds([Count(10, 40), Count(10, 40), Count(0, 40)])
    assert not holds([Count(10, 20)] * 7)


def test_nothing_is_said_without_a_reference() -> None:
    assert not holds([Count(400, 400)] * 7, days=[])


def test_what_the_reference_had_on_some_days_must_last_longer() -> None:
    bursty = [*[Count(0, 400)] * 26, Count(60, 400), Count(100, 400)]
    assert [holds([Count(50, 400)] * run + [Count(0, 400)], bursty) for run in (3, 4, 5)] == [False, False, True]


def test_more_tests_ask_for_longer_runs() -> None:
    assert [holds([Count(8, 400)] * 4, tests=tests) for tests in (30, 300)] == [True, False]
    assert holds([Count(8, 400)] * 6, tests=300)


def test_the_run_probability_is_that_of_a_permutation_of_days() -> None:
    days, run = [Count(place, 100) for place in range(4)], [Count(2, 100)] * 2
    places = list(permutations(range(6), 2))
    as_high = [pair for pair in places if set(pair) <= {2, 3, 4, 5}]
    assert run_probability(run, days) == pytest.approx(len(as_high) / len(places))


@pytest.mark.parametrize("likeness", [0.0, 0.02, 0.2])
def test_a_share_that_does_not_change_is_hardly_ever_told(likeness: float) -> None:
    """500 streams, 28 days of reference and 100 days each: at most 10 of the 50,000 days may alert."""
    rng = np.random.default_rng(7)
    mean, rows, told = 0.03, 400, 0
    strength = 1 / likeness - 1 if likeness else None
    for _ in range(500):
        shares = np.full(128, mean) if strength is None else rng.beta(mean * strength, (1 - mean) * strength, 128)
        counts = [Count(int(affected), rows) for affected in rng.binomial(rows, shares)]
        days, later = counts[:28], counts[28:]
        candidates = [place for place in range(1, 100) if min(later[place].share, later[place - 1].share) > mean + 0.01]
        told += sum(holds([later[place], later[place - 1]], days) for place in candidates)
    assert told <= 10

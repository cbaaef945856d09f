from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from benchmarks import slow_burn as bench
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.analyzers.slo.core import slow
from watchkeeper.analyzers.slo.core.slow import DayCount

FIRST = date(2026, 1, 5)
SEEDS = range(50_000, 50_060)


def days(shares: np.ndarray, total: int = 2000, seed: int = 3) -> list[DayCount]:
    bad = np.random.default_rng(seed).binomial(total, shares)
    return [DayCount(FIRST + timedelta(days=number), int(one), total) for number, one in enumerate(bad)]


@pytest.mark.parametrize(("factor", "limit", "least"), [(1.0, "within_50", 0.95), (4.0, "within_75", 0.9)])
def test_a_rise_that_no_burn_rate_sees_is_found(factor: float, limit: str, least: float) -> None:
    """A short form of the benchmark, on seeds of its own."""
    assert bench.of(SEEDS, factor, rising=True, peer=False)[limit] >= least
    assert bench.of(SEEDS, factor, rising=False, peer=False)["told"] <= 0.05


def test_burn_rates_find_it_later_or_never() -> None:
    told = bench.of(range(60_000, 60_006), 1.0, rising=True)
    assert told["within_75"] == 1.0
    assert told["burn_rate"]["within_75"] == 0.0


def test_the_message_knows_slope_change_onset_and_breach() -> None:
    level = 0.02 + 0.025 * np.clip(np.arange(240) - 59, 0, None) / 180
    made = days(level)
    baseline = slow.learn(made[:60])
    assert baseline is not None
    found = slow.rise(baseline, made[60:120])
    assert found is not None
    assert found.interval[0] < found.change < found.interval[1]
    assert found.slope == pytest.approx(0.025 / 180, rel=0.35)
    assert made[60].day <= found.since < found.found <= made[119].day
    breach = slow.breach(found, made[119].day, 0.05)
    assert breach is not None
    true_day = FIRST + timedelta(days=60 + 180 * 0.03 / 0.025)
    assert abs(breach - true_day) < timedelta(days=75)
    assert slow.breach(found, made[119].day, found.share / 2) == made[119].day


def test_a_rise_that_is_over_is_told_no_more() -> None:
    made = days(np.concatenate([np.full(60, 0.02), np.full(60, 0.03), np.full(120, 0.017)]))
    baseline = slow.learn(made[:60])
    assert baseline is not None
    assert slow.rise(baseline, made[60:120]) is not None
    assert slow.rise(baseline, made[60:]) is None


def test_one_terrible_day_is_no_slow_burn() -> None:
    made = days(np.concatenate([np.full(60, 0.02), np.full(20, 0.02), [0.9], np.full(20, 0.02)]))
    baseline = slow.learn(made[:60])
    assert baseline is not None
    assert slow.rise(baseline, made[60:]) is None


def test_a_week_that_repeats_itself_is_learned() -> None:
    cycle = np.tile([0.04, 0.01, 0.01, 0.01, 0.01, 0.01, 0.04], 20)
    made = days(cycle)
    baseline = slow.learn(made[:56])
    assert baseline is not None
    assert baseline.weekdays[0] > 1.8 > 0.7 > baseline.weekdays[2]
    assert baseline.dispersion < 2
    assert slow.rise(baseline, made[56:]) is None


def test_days_that_differ_more_than_chance_raise_the_bar() -> None:
    rng = np.random.default_rng(5)
    even, uneven = (slow.learn(days(share)) for share in (np.full(60, 0.02), np.clip(rng.normal(0.02, 0.01, 60), 0, 1)))
    assert even is not None
    assert uneven is not None
    assert uneven.dispersion > 3 * even.dispersion


@pytest.mark.parametrize("made", [days(np.full(27, 0.02)), days(np.full(60, 0.0)), days(np.full(60, 1.0)), []])
def test_nothing_is_learned_from_too_little(made: list[DayCount]) -> None:
    assert slow.learn(made) is None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 200)), max_size=60), st.integers(0, 2**31))
def test_sums_are_never_negative_and_a_day_adds_little(counts: list[tuple[int, int]], seed: int) -> None:
    baseline = slow.learn(days(np.full(60, 0.05), seed=seed))
    assert baseline is not None
    made = [DayCount(FIRST + timedelta(days=n), min(b, t), t) for n, (b, t) in enumerate(counts)]
    course = slow.sums(baseline, made)
    assert len(course) == len(made)
    assert all(one >= 0 for one in course)
    assert all(after - before <= slow.STEPS_MOST for before, after in zip([0.0, *course], course, strict=False))


@pytest.mark.parametrize("keep_errors", [False, True])
def test_sampling_that_begins_after_the_baseline_is_no_rise(keep_errors: bool) -> None:
    """Forty services that fail as often as ever; from day 60 on a tenth is sent. A true rise is still found."""
    told = {1.0: 0, 1.6: 0}
    for factor in told:
        for seed in range(40):
            rng = np.random.default_rng([seed, keep_errors])
            made = []
            for number in range(150):
                bad = int(rng.binomial(4000, 0.02 * (factor if number >= 60 else 1.0)))
                if number < 60:
                    made.append(DayCount(FIRST + timedelta(days=number), bad, 4000))
                    continue
                came, good = bad if keep_errors else int(rng.binomial(bad, 0.1)), int(rng.binomial(4000 - bad, 0.1))
                weight = 1.0 if keep_errors else 10.0
                design = weight * 0.98 + 10 * 0.02
                made.append(DayCount(FIRST + timedelta(days=number), came * weight, came * weight + 10 * good, design))
            baseline = slow.learn(made[:60])
            assert baseline is not None
            told[factor] += slow.rise(baseline, made[60:]) is not None
    assert told[1.0] <= 2
    assert told[1.6] >= 38


def test_without_its_design_a_sample_looks_like_a_rise() -> None:
    """What the test above rests on: the same days, judged as if they were whole, are told falsely."""
    told = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        whole = [DayCount(FIRST + timedelta(days=n), int(rng.binomial(4000, 0.02)), 4000) for n in range(60)]
        baseline = slow.learn(whole)
        assert baseline is not None
        after = [DayCount(FIRST + timedelta(days=60 + n), 10 * int(rng.binomial(400, 0.02)), 4000) for n in range(90)]
        told += slow.rise(baseline, after) is not None
    assert told >= 4

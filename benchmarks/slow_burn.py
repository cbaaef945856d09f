"""How soon is a slow burn found, how often is one told that is none, and what do burn rates see of it?

Made days: sixty healthy ones as the baseline, then 180 in which the share of bad events rises in a straight line from
2 to 4.5 % (objective 95 %), or stays. Weekdays differ in traffic (weekends two thirds) and in the share of bad events
(15 % up and down), which the detector is not told. ``independent``: each event fails by itself. ``four_times``: days
differ by four times what chance does (beta-binomial). The peer in the same runs is the multi-window multi-burn-rate
policy with the same guards, evaluated every hour on hours drawn from the same days.
Tuning used the seeds under TUNING; the figures are of HELD_OUT, which no choice has seen.
"""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from statistics import median

import numpy as np

from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.slo.core import policy, slow

QUESTION = "How soon is a slow burn found, against burn-rate rules, and how often by mistake?"
TUNING = range(1_000, 1_400)
HELD_OUT = range(900_000, 900_400)
BASELINE, DAYS, PER_DAY = 60, 180, 2_000
BEGIN, END, BUDGET = 0.02, 0.045, 0.05
FIRST = date(2026, 1, 5)
CYCLE = np.array([1.15, 1.1, 1.0, 1.0, 0.95, 0.85, 0.95])
TRAFFIC = np.array([1.1, 1.1, 1.1, 1.1, 1.1, 0.75, 0.75])
HOURS = np.array([0.3] * 7 + [1.0] * 3 + [1.6] * 9 + [0.8] * 5)


def measure(_options: argparse.Namespace) -> dict:
    return {
        "seeds": {"tuning": [TUNING.start, TUNING.stop], "held_out": [HELD_OUT.start, HELD_OUT.stop]},
        "detector": {"allowance": slow.ALLOWANCE, "unsure": slow.UNSURE, "limit": slow.LIMIT},
        **{
            name: {
                "rising": of(HELD_OUT, factor, rising=True),
                "healthy": of(HELD_OUT, factor, rising=False),
            }
            for name, factor in (("independent", 1.0), ("four_times", 4.0))
        },
    }


def goals(figures: dict) -> dict[str, bool]:
    independent, four = figures["independent"], figures["four_times"]
    return {
        "independent errors: found within 50 days in at least 95 % of runs": independent["rising"]["within_50"] >= 0.95,
        "four times the variance: found within 75 days in at least 90 %": four["rising"]["within_75"] >= 0.90,
        "independent errors: at most 5 % false in 180 days": independent["healthy"]["told"] <= 0.05,
        "four times the variance: at most 5 % false in 180 days": four["healthy"]["told"] <= 0.05,
    }


def of(seeds: range, factor: float, *, rising: bool, peer: bool = True) -> dict:
    """Run one condition over the seeds."""
    found, burned = [], []
    for seed in seeds:
        days, hours = made(seed, factor, rising=rising)
        found.append(first_day(days))
        if peer:
            burned.append(first_burn(hours))
    return {"runs": len(seeds)} | _summed(found) | ({"burn_rate": _summed(burned)} if peer else {})


def _summed(found: list[int | None]) -> dict:
    told = [day for day in found if day is not None]
    share = {f"within_{limit}": sum(day <= limit for day in told) / len(found) for limit in (50, 75, 180)}
    return {"told": len(told) / len(found), "median_day": median(told) if told else None} | share


def made(seed: int, factor: float, *, rising: bool) -> tuple[list[slow.DayCount], np.ndarray]:
    """Make the days, and the (bad, total) of their hours."""
    rng = np.random.default_rng(seed)
    number = np.arange(BASELINE + DAYS)
    level = BEGIN + (END - BEGIN) * np.clip(number - BASELINE + 1, 0, None) / DAYS * rising
    share = np.clip(level * CYCLE[number % 7], 0, 1)
    total = rng.poisson(PER_DAY * TRAFFIC[number % 7])
    if factor > 1:
        concentration = (total - 1) / (factor - 1) - 1
        share = rng.beta(share * concentration, (1 - share) * concentration)
    bad = rng.binomial(total, share)
    weight = HOURS / HOURS.sum()
    totals = np.vstack([rng.multinomial(n, weight) for n in total])
    hours = np.stack([np.vstack([rng.multivariate_hypergeometric(t, b) for t, b in zip(totals, bad)]), totals], axis=-1)  # noqa: B905
    days = [
        slow.DayCount(FIRST + timedelta(days=int(n)), int(b), int(t))
        for n, b, t in zip(number, bad, total, strict=True)
    ]
    return days, hours.reshape(-1, 2)


def first_day(days: list[slow.DayCount]) -> int | None:
    """Give how many days after the baseline the detector tells of it."""
    baseline = slow.learn(days[:BASELINE])
    if baseline is None:
        return None
    course = slow.sums(baseline, days[BASELINE:])
    return next((number for number, score in enumerate(course, 1) if score >= slow.LIMIT), None)


def first_burn(hours: np.ndarray) -> int | None:
    """Give the same for the burn-rate rules, at each full hour; windows under an hour count as the hour."""
    summed = np.vstack([[0, 0], np.cumsum(hours, axis=0)])
    ends = np.arange(BASELINE * 24 + 1, len(summed))
    told: list[int] = []
    for row in policy.policy(timedelta(days=28)):
        limit = row.burn * BUDGET
        long, short = (summed[ends] - summed[ends - _hours(length)] for length in (row.long, row.short))
        over = np.flatnonzero((long[:, 0] > limit * long[:, 1]) & (short[:, 0] > limit * short[:, 1]))
        for place in over:
            counts = (
                Count(int(long[place, 0]), int(long[place, 1])),
                Count(int(short[place, 0]), int(short[place, 1])),
            )
            if policy.burning(row, BUDGET, *counts, 3):
                told.append(int(ends[place]) // 24 - BASELINE + 1)
                break
    return min(told, default=None)


def _hours(length: timedelta) -> int:
    return max(round(length / timedelta(hours=1)), 1)

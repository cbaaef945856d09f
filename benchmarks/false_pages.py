"""How often is somebody woken for nothing at low traffic, and what does the guard cost in a real outage?

Made minutes of a healthy service that fails half as often as its objective allows, for thirty days a run after three
that fill the windows; a page or ticket is counted each time that a row of the policy begins to burn and has been quiet
for an hour. ``naive`` is the same policy without the two guards (interval, three bad requests). An outage begins after
three healthy days: the delay is from its first minute to the first page or ticket.
"""

from __future__ import annotations

import argparse
from datetime import timedelta
from statistics import median

import numpy as np

from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.slo.core.policy import MIN_BAD, MINUTE, Row, policy, sure

QUESTION = "How often is somebody woken for nothing at 5 to 600 requests an hour, and how late does that make a page?"
SEEDS = range(700_000, 700_020)
TARGETS, RATES, OUTAGES = (0.99, 0.999), (5, 20, 60, 200, 600), (1.0, 0.3, 0.05)
WARM, DAYS = 3 * 1440, 30 * 1440
PERIOD = timedelta(days=28)
QUIET = 60
OUTAGE_RUNS, OUTAGE_LONG = 5, 2 * 1440


def measure(_options: argparse.Namespace) -> dict:
    return {
        "seeds": [SEEDS.start, SEEDS.stop],
        "healthy": [
            {"target": target, "per_hour": rate, **healthy(target, rate)} for target in TARGETS for rate in RATES
        ],
        "outage": [
            {"target": target, "per_hour": rate, "failing": failing, **outage(target, rate, failing)}
            for target in TARGETS
            for rate in (5, 60, 600)
            for failing in OUTAGES
        ],
    }


def goals(figures: dict) -> dict[str, bool]:
    most = max(one["guarded_per_30_days"] for one in figures["healthy"])
    added = [
        one["guarded_minutes"] - one["naive_minutes"]
        for one in figures["outage"]
        if one["failing"] == 1.0 and one["per_hour"] >= 60 and one["guarded_minutes"] is not None
    ]
    return {
        f"at most 0.5 false pages and tickets in 30 days and objective (is {most:.2f})": most <= 0.5,
        f"a total outage at 60 requests an hour is told at most 5 minutes later (is {max(added):.0f})": max(added) <= 5,
    }


def healthy(target: float, rate: float) -> dict:
    told = {"naive": 0, "guarded": 0}
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        bad, total = _minutes(rng, WARM + DAYS, rate, (1 - target) / 2)
        for name in told:
            for row in policy(PERIOD):
                told[name] += _begins(_fires(row, 1 - target, bad, total, guarded=name == "guarded"))
    return {f"{name}_per_30_days": count / len(SEEDS) for name, count in told.items()}


def outage(target: float, rate: float, failing: float) -> dict:
    found: dict[str, list[float]] = {"naive": [], "guarded": []}
    for seed in range(SEEDS.start, SEEDS.start + OUTAGE_RUNS):
        rng = np.random.default_rng([seed, 1])
        before = _minutes(rng, WARM, rate, (1 - target) / 2)
        after = _minutes(rng, OUTAGE_LONG, rate, failing)
        bad, total = (np.concatenate(pair) for pair in zip(before, after, strict=True))
        for name, delays in found.items():
            fires = [_fires(row, 1 - target, bad, total, guarded=name == "guarded") for row in policy(PERIOD)]
            at = np.flatnonzero(np.any(fires, axis=0))
            delays.append(float(at[0] + 1) if len(at) else float("inf"))
    return {
        f"{name}_minutes": None if median(delays) == float("inf") else median(delays) for name, delays in found.items()
    }


def _minutes(rng: np.random.Generator, length: int, rate: float, share: float) -> tuple[np.ndarray, np.ndarray]:
    total = rng.poisson(rate / 60, length)
    return rng.binomial(total, share), total


def _fires(row: Row, budget: float, bad: np.ndarray, total: np.ndarray, *, guarded: bool) -> np.ndarray:
    """Tell for every minute after the warm days whether the row burns."""
    limit = row.burn * budget
    long, short = (_windows(bad, total, length) for length in (row.long, row.short))
    over = (long[0] > limit * long[1]) & ((short[0] > limit * short[1]) | (short[1] == 0)) & (long[1] > 0)
    if guarded:
        known: dict[tuple[int, int], bool] = {}
        for place in np.flatnonzero(over & (long[0] >= MIN_BAD)):
            pair = (int(long[0][place]), int(long[1][place]))
            if pair not in known:
                known[pair] = sure(limit, Count(*pair))
            over[place] = known[pair]
        over &= long[0] >= MIN_BAD
    return over


def _windows(bad: np.ndarray, total: np.ndarray, length: timedelta) -> tuple[np.ndarray, np.ndarray]:
    minutes = round(length / MINUTE)
    sums = (np.concatenate(([0], np.cumsum(one))) for one in (bad, total))
    ends = np.arange(WARM + 1, len(bad) + 1)
    first, second = (one[ends] - one[ends - minutes] for one in sums)
    return first, second


def _begins(fires: np.ndarray) -> int:
    """Count how often it begins after an hour of quiet."""
    at = np.flatnonzero(fires)
    return 0 if not len(at) else 1 + int(np.sum(np.diff(at) > QUIET))

"""How often does the verdict alert on a model of 25 columns in a week in which nothing has changed?

Each model has 20 numbers and 5 categories, a score and outcomes, 28 days of reference and 224 days after it. Days
differ by more than chance (a mood of the day that moves most columns), as real ones do, and so do weekdays; nothing
ever changes. One alert anywhere makes a false week. The budget is the analyzer's own setting, an upper bound.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import polars as pl

from watchkeeper.analyzers.verdict.change import ANALYZER
from watchkeeper.analyzers.verdict.core import incident, profile, strength
from watchkeeper.analyzers.verdict.core.channels import Days, Rows
from watchkeeper.analyzers.verdict.core.incident import State

QUESTION = "In how many weeks without a change does a model of 25 columns alert?"
MODELS, REFERENCE, DAYS, ROWS = 32, 28, 252, 300
NUMBERS, CATEGORIES = 20, 5
WEEKS = MODELS * (DAYS - REFERENCE) // 7
MOODS = {"alike": 0.0, "differ": 0.15}
"""How much of a row's spread the mood of a day is."""


def measure(_options: argparse.Namespace) -> dict:
    budget = float(ANALYZER.params["alerts_per_month"])
    figures: dict = {"weeks": WEEKS, "columns": NUMBERS + CATEGORIES, "budget_per_30_days": budget}
    for place, (name, mood) in enumerate(MOODS.items()):
        start = time.process_time()
        told = [alerts(np.random.default_rng([place, model]), mood, budget) for model in range(MODELS)]
        weeks = sum(len({day // 7 for day in days}) for days in told)
        figures[f"days_{name}"] = {
            "alerts_per_30_days": round(sum(map(len, told)) / (MODELS * (DAYS - REFERENCE) / 30), 4),
            "false_weeks": weeks,
            "share_of_weeks": round(weeks / WEEKS, 4),
            "cpu_s_a_model": round((time.process_time() - start) / MODELS, 2),
        }
    return figures


def goals(figures: dict) -> dict[str, bool]:
    worst = max(figures[f"days_{name}"]["alerts_per_30_days"] for name in MOODS)
    budget = figures["budget_per_30_days"]
    return {f"at most 1.5 times the budget of {budget} in 30 days ({worst})": worst <= 1.5 * budget}


def alerts(rng: np.random.Generator, mood: float, budget: float) -> list[int]:
    """Give the days since the reference on which one model alerted."""
    rows = _rows(rng, mood)
    day = rows.frame["day"].to_numpy()
    learned = profile.learn(rows.only(day < REFERENCE))
    outcomes = profile.learn_outcomes(rows.only(day < REFERENCE), learned)
    table = learned.measure(rows, DAYS)
    channels = learned.channels()
    if outcomes:
        table |= outcomes.measure(rows, Days.of(rows, DAYS))
        channels += list(outcomes.channels())
    watched = strength.watch(channels, table, REFERENCE)
    chances = strength.log_chances(watched, table, REFERENCE, REFERENCE)
    over = incident.strengths(chances, incident.limit(budget, len(watched)))
    kept, state, found = [one.channel for one in watched], State(), []
    for place in range(over.shape[1]):
        calm = not bool((over[:, place] > 1).any())
        state, told = incident.step(state, place, incident.active(kept, over, place), calm=calm)
        if told:
            state, _ = incident.with_others(state, told, incident.near(kept, over, place))
            found.append(place)
    return found


def _rows(rng: np.random.Generator, mood: float) -> Rows:
    n = DAYS * ROWS
    day = np.repeat(np.arange(DAYS), ROWS)
    moods = rng.normal(0, mood, DAYS)[day] + np.where(day % 7 >= 5, 2 * mood, 0.0)
    score = 1 / (1 + np.exp(-(rng.normal(-1, 1, n) + moods)))
    columns: dict[str, np.ndarray] = {
        "day": day,
        "hour": rng.uniform(0, 24, n),
        "score": score,
        "prediction": (score > 0.5).astype(float),
        "outcome": (rng.random(n) < score).astype(float),
    }
    for place in range(NUMBERS):
        columns[f"n{place}"] = rng.normal(0, 1, n) + moods * rng.normal()
    for place in range(CATEGORIES):
        columns[f"c{place}"] = rng.choice(list("abcdefgh"), n, p=rng.dirichlet(np.full(8, 2.0)))
    frame = pl.DataFrame(columns).with_columns((pl.col("outcome") == pl.col("prediction")).alias("correct"))
    numbers = {f"n{place}": f"n{place}" for place in range(NUMBERS)}
    return Rows(frame, numbers, {f"c{place}": f"c{place}" for place in range(CATEGORIES)}, {})


if __name__ == "__main__":
    found = measure(argparse.Namespace())
    print(found, goals(found))

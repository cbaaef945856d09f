from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from analyzers.world import NOTHING, World, day, from_day, made

from watchkeeper.analyzers.quality import fairness
from watchkeeper.analyzers.quality.core.gaps import LOOKS, Pair, compare, newcombe
from watchkeeper.schemas.declared import Declarations, System
from watchkeeper.schemas.findings import Severity

FAIRNESS = fairness.ANALYZER
PROTECTED = Declarations(systems=(System(name="f", services=["flights"], owner="o", protected=["gender"]),))


def people(days: int = 45, rows: int = 400) -> tuple[pl.DataFrame, pl.DataFrame]:
    frame = made(days=days, rows=rows)
    rng = np.random.default_rng(4)
    values = rng.choice(["f", "m", "x"], frame.height, p=[0.45, 0.54, 0.01])
    return frame, pl.DataFrame({"gender": values})


def test_gaps_that_stay_are_told_no_more_often_than_the_budget_says() -> None:
    """4,000 groups whose days differ by more than rows, each in a mood of its own: p holds what it says."""
    rng = np.random.default_rng(8)
    low = {0.01: 0, 0.001: 0}
    for _ in range(4000):
        mood, own = rng.normal(0, 0.03, 35), rng.normal(0, 0.03, 35)
        few = int(rng.choice([10, 40, 200]))
        group = rng.binomial(few, np.clip(0.25 + mood + own, 0.01, 0.99))
        rest = rng.binomial(600, np.clip(0.3 + mood, 0.01, 0.99))
        days = [Pair(float(a), few, float(b), 600) for a, b in zip(group, rest, strict=True)]
        change = compare(days[28:], days[:28])
        assert change is not None
        for level in low:
            low[level] += change.p_value < level
    assert low[0.01] <= 4000 * 0.01 * 1.5
    assert low[0.001] <= 4000 * 0.001 * 2


def test_a_month_of_daily_looks_counts_as_ten() -> None:
    """The least of 30 overlapping windows against one level: no more often than ten separate ones."""
    rng = np.random.default_rng(1)
    low = 0
    for _ in range(1000):
        mood, own = rng.normal(0, 0.03, 64), rng.normal(0, 0.03, 64)
        group = rng.binomial(100, np.clip(0.25 + mood + own, 0.01, 0.99))
        rest = rng.binomial(600, np.clip(0.3 + mood, 0.01, 0.99))
        days = [Pair(float(a), 100, float(b), 600) for a, b in zip(group, rest, strict=True)]
        changes = [compare(days[28 + at : 35 + at], days[:28]) for at in range(30)]
        low += min(one.p_value for one in changes if one is not None) < 0.01
    assert low <= 1000 * 0.01 * LOOKS


def test_newcombe_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for own, rest in zip(rng.binomial(120, 0.1, 2000), rng.binomial(900, 0.14, 2000), strict=True):
        lower, upper = newcombe(Pair(float(own), 120, float(rest), 900))
        held += lower <= -0.04 <= upper
    assert 0.94 <= held / 2000 <= 0.965


def test_nothing_is_read_of_what_nobody_declared() -> None:
    frame, groups = people()
    world = World().load(frame, segments=groups).with_reference()
    assert world.evaluate(FAIRNESS, day(40), NOTHING).readings == ()


def test_groups_that_are_treated_alike_are_told_nothing() -> None:
    frame, groups = people()
    world = World().load(frame, segments=groups).with_reference()
    for number in range(22, 45):
        assert world.findings(FAIRNESS, day(number), PROTECTED) == ()


def test_a_group_that_gets_fewer_yes_is_named_with_its_gap_and_no_row() -> None:
    frame, groups = people(rows=1000)
    refused = from_day(30) & (groups["gender"] == "f") & (pl.int_range(pl.len()) % 2 == 0)
    frame = frame.with_columns(pl.when(refused).then(0).otherwise(pl.col("prediction")).alias("prediction"))
    world = World().load(frame, segments=groups).with_reference()
    found = {one.metric: one for one in world.findings(FAIRNESS, day(37), PROTECTED) if "=f" in one.subject}
    gap = found["selection_gap"]
    assert (gap.severity, gap.subjects, gap.examples) == (Severity.TICKET, ("segment:gender=f", "fairness"), ())
    assert gap.observed == pytest.approx(-0.15, abs=0.03)
    assert gap.interval is not None
    assert gap.interval[0] < gap.observed < gap.interval[1] < -0.08
    assert gap.summary.startswith("m1 of flights: gender=f is said yes to in ")


def test_a_group_that_is_wronged_is_named_once_outcomes_are_known() -> None:
    frame, groups = people(rows=800)
    wrong = from_day(24) & (groups["gender"] == "f") & (pl.int_range(pl.len()) % 3 == 0) & (pl.col("prediction") == 1)
    frame = frame.with_columns(pl.when(wrong).then(0).otherwise(pl.col("outcome")).alias("outcome"))
    world = World().load(frame, segments=groups).with_reference()
    metrics = {one.metric for one in world.findings(FAIRNESS, day(34), PROTECTED) if one.subject == "segment:gender=f"}
    assert "false_positive_gap" in metrics
    assert "selection_gap" not in metrics


def test_a_group_with_few_rows_is_said_to_be_too_small_and_not_judged() -> None:
    frame, groups = people()
    readings = World().load(frame, segments=groups).with_reference().evaluate(FAIRNESS, day(37), PROTECTED).readings
    small = {one.metric: (one.value, one.n) for one in readings if one.subject == "segment:gender=x"}
    assert small["selection_gap_needs_rows"] == (100.0, None)
    assert "selection_gap" not in small
    assert {one.metric for one in readings if one.subject == "segment:gender=f"} == set(fairness.GAPS)


def test_of_two_groups_one_is_compared() -> None:
    frame, groups = people()
    two = groups.with_columns(pl.col("gender").replace("x", "f"))
    readings = World().load(frame, segments=two).with_reference().evaluate(FAIRNESS, day(37), PROTECTED).readings
    assert {one.subject for one in readings} == {"segment:gender=f"}


@pytest.mark.parametrize("as_segment", [False, True])
def test_a_feature_that_tells_people_apart_is_watched_like_a_segment(as_segment: bool) -> None:
    frame, groups = people()
    both = {"segments": groups} if as_segment else {}
    world = World().load(frame.hstack(groups), **both).with_reference()
    readings = world.evaluate(FAIRNESS, day(37), PROTECTED).readings
    told = sorted(one.metric for one in readings if one.subject == "segment:gender=f")
    assert told == sorted(fairness.GAPS), "once, where it comes as both"

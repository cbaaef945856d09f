"""A value or a version that came after the reference is held against the rest of its own days."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from analyzers.world import NOTHING, World, day, from_day, made

from watchkeeper.analyzers.quality import newcomer
from watchkeeper.analyzers.quality.core.gaps import LOOKS, Pair
from watchkeeper.analyzers.quality.newcomer import RATIO, SHARE, judge
from watchkeeper.schemas.declared import Declarations, System
from watchkeeper.schemas.findings import Finding, Severity

NEWCOMER = newcomer.ANALYZER
CAME = 24
ROW = pl.int_range(pl.len())


def traffic(
    *, slower: float = 1.0, failing: int = 0, wrong: int = 0, known: int = 3
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """From day 24 on a fifth of the traffic is of a new carrier, and of version 2; every so many of it are worse."""
    frame = made(days=45, rows=500)
    new = from_day(CAME) & (ROW % 5 == 0)
    hits = {
        name: new & (ROW % (5 * every) == 0) if every else pl.lit(False)
        for name, every in (("ok", failing), ("outcome", wrong))
    }
    frame = frame.with_columns(
        pl.when(new).then(pl.col("latency_ms") * slower).otherwise(pl.col("latency_ms")).alias("latency_ms"),
        *(pl.when(hit).then(1 - pl.col(name)).otherwise(pl.col(name)).alias(name) for name, hit in hits.items()),
    )
    names = pl.Series([f"k{n}" for n in range(known)])
    values = pl.Series(np.random.default_rng(3).choice(names.to_numpy(), frame.height))
    segments = frame.select(pl.when(new).then(pl.lit("NEW")).otherwise(values).alias("tenant"))
    return frame, segments


def found(at: int, declared: Declarations = NOTHING, **what: float) -> list[Finding]:
    frame, segments = traffic(**what)  # type: ignore[arg-type]
    world = World().load(frame, segments=segments).with_reference()
    return [one for one in world.findings(NEWCOMER, day(at), declared) if one.subject == "segment:NEW"]


def test_a_new_value_like_the_others_is_told_nothing() -> None:
    frame, segments = traffic()
    world = World().load(frame, segments=segments).with_reference()
    for number in range(CAME + 5, 45, 3):
        assert world.findings(NEWCOMER, day(number)) == ()
    assert {one.metric for one in world.evaluate(NEWCOMER, day(40)).readings} == {
        "ok_gap", "latency_gap", "cost_gap", "error_gap",
    }  # fmt: skip


@pytest.mark.parametrize("known", [1, 3])
@pytest.mark.parametrize(
    ("what", "metric", "says"),
    [
        ({"slower": 1.5}, "latency_gap", "% slower than the rest of its days."),
        ({"failing": 5}, "ok_gap", "is failing in 20.0 %, the rest of its days in 0 %: 20.0 points more"),
        ({"wrong": 3}, "error_gap", "is wrong in "),
    ],
)
def test_a_bad_one_is_named_with_its_first_day(what: dict[str, float], metric: str, says: str, known: int) -> None:
    (one,) = [one for one in found(38, known=known, **what) if one.metric == metric]
    assert (one.severity, one.subjects[0]) == (Severity.TICKET, "segment:NEW")
    assert one.summary.startswith("m1 of flights: tenant 'NEW', which came on 29 Jan, is ")
    assert says in one.summary
    assert one.evidence.p_value is not None
    assert one.evidence.p_value < 0.01
    assert NEWCOMER.recompute(one.evidence.snapshot) == one.observed
    assert len(one.examples) == 3


def test_a_new_version_is_one_too() -> None:
    frame, _ = traffic(slower=1.6)
    versions = frame.select(
        model_version=pl.when(from_day(CAME) & (ROW % 5 == 0)).then(pl.lit("v2")).otherwise(pl.lit("v1"))
    )
    world = World().load(frame, fields=versions).with_reference()
    (one,) = world.findings(NEWCOMER, day(38))
    assert (one.metric, one.subject) == ("latency_gap", "version:v2")
    assert "version 'v2', which came on 29 Jan" in one.summary


def test_what_takes_all_the_traffic_has_nothing_beside_it_and_protected_ones_are_left_alone() -> None:
    frame, segments = traffic(slower=2.0)
    whole = segments.with_columns(
        pl.when(frame.select(from_day(CAME)).to_series()).then(pl.lit("NEW")).otherwise("tenant").alias("tenant")
    )
    assert World().load(frame, segments=whole).with_reference().findings(NEWCOMER, day(38)) == ()
    system = System(name="f", services=["flights"], owner="o", protected=["tenant"])
    assert found(38, Declarations(systems=(system,)), slower=2.0) == []


def test_one_that_is_no_worse_than_the_worst_known_value_is_no_news() -> None:
    hard = [Pair(60, 200, 100, 800)] * 14
    easy = [Pair(10, 200, 150, 800)] * 14
    found_ = judge([Pair(25, 100, 100, 1000)] * 7, [hard, easy], SHARE)
    assert found_ is not None
    assert found_.gap < found_.worst
    assert found_.p_value < 1e-6


def test_false_ones_are_within_the_budget() -> None:
    """4,000 new values as good as the known ones; days differ by more than rows, for each value in its own way."""
    rng = np.random.default_rng(8)
    low = {SHARE: 0, RATIO: 0}
    level = 0.005
    for _ in range(4000):
        few, mood = int(rng.choice([15, 60, 300])), rng.normal(0, 0.02, 35)

        def side(rows: int, mood: np.ndarray = mood) -> np.ndarray:
            return rng.binomial(rows, np.clip(0.2 + mood + rng.normal(0, 0.02, 35), 0.01, 0.99))

        sides = {name: side(rows) for name, rows in (("a", 300), ("b", 200), ("new", few))}
        known = [
            [Pair(float(x), 300, float(y), 200) for x, y in zip(sides["a"][:28], sides["b"][:28], strict=True)],
            [Pair(float(y), 200, float(x), 300) for x, y in zip(sides["a"][:28], sides["b"][:28], strict=True)],
        ]
        rest = sides["a"] + sides["b"]
        now = [Pair(float(n), few, float(r), 500) for n, r in zip(sides["new"][28:], rest[28:], strict=True)]
        shares = judge(now, known, SHARE)
        ratios = rng.normal(0, 0.05, 7)
        means = judge([Pair(few * np.exp(one), few, 500.0, 500) for one in ratios], [], RATIO)
        assert shares is not None
        assert means is not None
        low[SHARE] += shares.p_value < level
        low[RATIO] += means.p_value < level
    assert low[SHARE] <= 4000 * level * 1.5
    assert low[RATIO] <= 4000 * level * 1.5


def test_a_month_of_daily_looks_counts_as_ten() -> None:
    rng = np.random.default_rng(1)
    low = 0
    for _ in range(1000):
        mood = rng.normal(0, 0.02, 36)
        new = rng.binomial(100, np.clip(0.2 + mood + rng.normal(0, 0.02, 36), 0.01, 0.99))
        rest = rng.binomial(900, np.clip(0.2 + mood, 0.01, 0.99))
        days = [Pair(float(n), 100, float(r), 900) for n, r in zip(new, rest, strict=True)]
        looks = [judge(days[at : at + 7], [], SHARE) for at in range(30)]
        low += min(one.p_value for one in looks if one is not None) < 0.01
    assert low <= 1000 * 0.01 * LOOKS


def test_months_with_a_false_one_are_within_the_budget() -> None:
    """300 months of a value as good as the one known; four measures, means with heavy tails, 30 looks."""
    rng = np.random.default_rng(4)
    false = 0
    for _ in range(300):
        few, mood = int(rng.choice([30, 60, 300])), rng.normal(0, 0.1, 36)
        found_ = []
        for rate in (0.01, 0.2):
            new, rest = (
                rng.binomial(rows, np.clip(rate * (1 + mood + rng.normal(0, 0.1, 36)), 0.0005, 0.99))
                for rows in (few, 500)
            )
            days = [Pair(float(n), few, float(r), 500) for n, r in zip(new, rest, strict=True)]
            found_ += [judge(days[at : at + 7], [], SHARE) for at in range(30)]
        for spread in (0.05, 0.2):
            own = few * np.exp(rng.standard_t(4, 36) * spread)
            days = [Pair(float(one), few, 500.0, 500) for one in own]
            found_ += [judge(days[at : at + 7], [], RATIO) for at in range(30)]
        false += any(one is not None and one.p_value * 4 * LOOKS < 0.01 for one in found_)
    assert false <= 6, "3 are to be expected at the budget of 0.01"

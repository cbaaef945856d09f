"""Duplicates, orphans and failing checks: a flood is told with what, where and what to do; quiet months are quiet."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from analyzers.world import World, day, from_day, made

from watchkeeper.analyzers import backtest_rows
from watchkeeper.analyzers.data import checks, duplicates, orphans
from watchkeeper.analyzers.day_check import USUAL, WINDOWS, judge_days, split
from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.share_check import Limits
from watchkeeper.schemas.declared import Declarations, Monitor
from watchkeeper.schemas.findings import Finding, Severity
from watchkeeper.store.facts.batch import Batch

DUPLICATES, ORPHANS, CHECKS = duplicates.ANALYZER, orphans.ANALYZER, checks.ANALYZER
DAYS, SINCE = 44, 40


def only(findings: tuple[Finding, ...]) -> Finding:
    assert len(findings) == 1
    return findings[0]


def renamed(*, share: float = 1.0) -> World:
    """Two in a hundred outcomes always match nothing; from day 40 on an upstream writes ids another way."""
    frame = made(days=DAYS, rows=100).drop("outcome", "outcome_ts")
    world = World().load(frame)
    rng = np.random.default_rng(1)
    number = pl.int_range(pl.len())
    odd = pl.Series(rng.random(frame.height) < 0.02) | (from_day(SINCE) & pl.Series(rng.random(frame.height) < share))
    told = frame.select(
        pl.when(odd).then(pl.lit("ORD-")).otherwise(pl.lit("flights/m1/1/")).add(number.cast(pl.String)).alias(
            "prediction_id"
        ),
        pl.lit("flights").alias("service"),
        pl.lit("1").alias("value"),
        pl.lit(1.0).alias("value_number"),
        pl.col("ts").alias("known_at"),
        pl.col("ts").alias("received_at"),
        pl.when(odd).then(pl.lit("billing")).otherwise(pl.lit("desk")).alias("source"),
    )  # fmt: skip
    world.loader.load(Batch(outcomes=told))
    return world


def test_an_id_that_changed_its_form_is_told_on_the_first_day_with_both_sides() -> None:
    world = renamed()
    for number in (38, 39, 40):
        assert world.findings(ORPHANS, day(number)) == ()
    finding = only(world.findings(ORPHANS, day(SINCE + 1)))
    assert (finding.severity, finding.subjects, finding.service) == (Severity.TICKET, ("orphans",), "flights")
    assert finding.observed == 1.0
    assert finding.reference == pytest.approx(0.02, abs=0.01)
    assert "100 % of the outcomes of flights match no prediction since 14 Feb" in finding.summary
    assert "most from 'billing'" in finding.summary
    assert "outcome 'ORD-4099', prediction 'flights/m1/1/4099'" in finding.summary
    assert ORPHANS.recompute(finding.evidence.snapshot) == finding.observed
    later = only(world.findings(ORPHANS, day(SINCE + 3)))
    assert later.fingerprint == finding.fingerprint
    assert later.since == day(SINCE)


def test_what_waits_for_its_prediction_is_no_orphan_once_that_came() -> None:
    world = renamed()
    before = {one.subject: one.value for one in world.evaluate(ORPHANS, day(SINCE + 1)).readings}
    late = made(days=1, rows=100, first_day=SINCE).with_columns(
        (pl.lit("ORD-") + (pl.int_range(pl.len()) + 100 * SINCE).cast(pl.String)).alias(backtest_rows.ROW)
    )
    world.loader.load(Batch(predictions=backtest_rows.predictions(late, "flights")))
    after = {one.subject: one.value for one in world.evaluate(ORPHANS, day(SINCE + 1)).readings}
    assert (before["orphans"], after["orphans"]) == (1.0, 0.0)


def repeated(*, twice: int = 50) -> World:
    """A hundred predictions a day as they come; every fifth day one again, from day 40 on fifty of each day."""
    world = World()
    for number in range(DAYS):
        world.now = day(number) + timedelta(hours=12)
        frame = made(days=1, rows=100, first_day=number)
        ids = pl.lit(f"{number}/") + pl.int_range(pl.len()).cast(pl.String)
        rows = frame.with_columns(ids.alias(backtest_rows.ROW))
        again = rows.head(twice if number >= SINCE else int(number % 5 == 0))
        for part in (rows, again):
            if part.height:
                world.loader.load(Batch(predictions=backtest_rows.predictions(part, "flights")))
    return world


def test_a_sender_that_repeats_itself_is_told_on_the_first_day() -> None:
    world = repeated()
    for number in (39, 40):
        assert world.findings(DUPLICATES, day(number)) == ()
    finding = only(world.findings(DUPLICATES, day(SINCE + 1)))
    assert (finding.severity, finding.subjects) == (Severity.TICKET, ("duplicates:predictions",))
    assert finding.observed == pytest.approx(50 / 150)
    assert "33.3 % of the 150 predictions that flights sent since 14 Feb had come before" in finding.summary
    assert "look for a sender that repeats itself" in finding.summary
    quieter = Declarations(monitors=(Monitor(name="m", analyzer="data.duplicates", params={"at_once": 0.5}),))
    assert world.findings(DUPLICATES, day(SINCE + 1), quieter) == ()
    off = Declarations(monitors=(Monitor(name="m", analyzer="data.duplicates", enabled=False),))
    assert world.evaluate(DUPLICATES, day(SINCE + 1), off).readings == ()


def failing(more: float) -> World:
    """Three in a hundred fail a check; from day 20 on so many more fail the one called grounded."""
    frame = made(days=26, rows=200)
    rng = np.random.default_rng(2)
    bad = rng.random(frame.height) < 0.03
    bad |= frame.select(from_day(20)).to_series().to_numpy() & (rng.random(frame.height) < more)
    both = [
        [{"name": name, "kind": "policy", "passed": name == "polite" or not one, "blocked": False, "score": None}
         for name in ("grounded", "polite")]
        for one in bad.tolist()
    ]  # fmt: skip
    return World().load(frame, fields=pl.DataFrame({"checks": both})).with_reference()


def test_checks_that_fail_far_more_often_are_told_on_the_first_day() -> None:
    world = failing(0.4)
    assert [number for number in range(19, 23) if world.findings(CHECKS, day(number))] == [21, 22]


def test_failing_checks_are_told_with_their_name() -> None:
    world = failing(0.12)
    told = [number for number in range(16, 26) if world.findings(CHECKS, day(number))]
    assert told == [25], "five days that 14 days like those before would hardly ever give"
    finding = only(world.findings(CHECKS, day(25)))
    assert finding.subjects == ("checks",)
    assert "most by 'grounded'" in finding.summary
    assert finding.since == day(20)
    assert finding.examples


@pytest.mark.parametrize("limits", [DUPLICATES.limits, CHECKS.limits])
@pytest.mark.parametrize(("level", "unlike"), [(0.0, 0.0), (0.004, 0.004), (0.03, 0.02), (0.2, 0.08)])
def test_months_in_which_nothing_changes_are_quiet(level: float, unlike: float, limits: Limits) -> None:
    """400 months of 1,000 events a day whose shares differ by more than rows: at most one in a hundred is told."""
    rng = np.random.default_rng(5)
    false = 0
    for _ in range(400):
        shares = np.clip(rng.normal(level, unlike, WINDOWS + USUAL + 30), 0, 1)
        counts = [Count(int(hits), 1000) for hits in rng.binomial(1000, shares)]
        days = {day(place): count for place, count in enumerate(counts)}
        false += any(
            judge_days(*split(days, day(end)), 3, limits).holds for end in range(WINDOWS + USUAL + 1, len(counts) + 1)
        )
    assert false <= 4

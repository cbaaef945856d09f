from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from analyzers.world import World, day, from_day, made

from watchkeeper.analyzers.quality import selective
from watchkeeper.analyzers.quality.core.coverage import Curve
from watchkeeper.analyzers.quality.matured import Errors, compare
from watchkeeper.schemas.findings import Severity

SELECTIVE = selective.ANALYZER


def sure(days: int = 45, threshold: float = 0.7) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Predictions that are right as often as they are sure."""
    frame = made(days=days)
    rng = np.random.default_rng(6)
    confidence = rng.uniform(0.5, 1.0, frame.height)
    right = rng.random(frame.height) < confidence
    frame = frame.with_columns(
        pl.when(pl.Series(right)).then(pl.col("prediction")).otherwise(1 - pl.col("prediction")).alias("outcome")
    )
    return frame, pl.DataFrame({"confidence": confidence, "confidence_threshold": np.full(frame.height, threshold)})


def test_false_findings_stay_within_their_budget() -> None:
    """3,000 months of ten separate weeks, days that differ by more than rows: at most the stated share is told."""
    rng = np.random.default_rng(9)
    told = 0
    for _ in range(3000):
        rates = np.clip(rng.normal(0.1, 0.02, 28 + 70), 0.005, 0.9)
        days = tuple((float(wrong), 300) for wrong in rng.binomial(300, rates))
        weeks = [Errors(days[28 + 7 * at : 35 + 7 * at]) for at in range(10)]
        told += min(selective.surely(compare(week, Errors(days[:28])).p_value) for week in weeks) < 0.01
    assert told <= 3000 * 0.01


def test_the_curve_is_that_of_sorted_cases() -> None:
    rng = np.random.default_rng(1)
    bins = rng.permutation(500).astype(float)
    wrong = (rng.random(500) < 0.3).astype(float)
    curve = Curve.of(bins, np.ones(500), wrong)
    ordered = wrong[np.argsort(-bins)]
    for coverage in (0.1, 0.5, 1.0):
        assert curve.risk(coverage) == pytest.approx(ordered[: round(500 * coverage)].mean())


def test_nothing_is_said_without_a_threshold() -> None:
    world = World().load(made(days=40)).with_reference()
    evaluation = world.evaluate(SELECTIVE, day(35))
    assert (evaluation.readings, evaluation.judged) == ((), frozenset())


def test_what_stays_is_read_and_not_told() -> None:
    frame, fields = sure()
    world = World().load(frame, fields=fields).with_reference()
    for number in range(24, 46, 3):
        assert world.findings(SELECTIVE, day(number)) == ()
    readings = {(one.metric, one.subject): one for one in world.evaluate(SELECTIVE, day(40)).readings}
    assert readings["automation_rate", "automation"].value == pytest.approx(0.6, abs=0.03)
    assert readings["selective_error", "automation"].value == pytest.approx(0.15, abs=0.03)
    assert readings["risk_at_coverage", "coverage 100 %"].value == pytest.approx(0.25, abs=0.04)
    assert readings["risk_at_coverage", "coverage 50.0 %"].value == pytest.approx(0.125, abs=0.04)
    assert {one.window.end for one in readings.values()} == {day(38), day(40)}


def test_sure_and_wrong_is_a_ticket() -> None:
    frame, fields = sure()
    turned = from_day(28) & (fields["confidence"] > 0.8) & (pl.int_range(pl.len()) % 2 == 0)
    frame = frame.with_columns(
        pl.when(turned).then(1 - pl.col("prediction")).otherwise(pl.col("outcome")).alias("outcome")
    )
    (finding,) = World().load(frame, fields=fields).with_reference().findings(SELECTIVE, day(40))
    assert (finding.metric, finding.subjects, finding.severity) == (
        "selective_error",
        ("error", "automation"),
        Severity.TICKET,
    )
    assert finding.summary.startswith("m1 of flights is wrong in ")
    assert finding.examples


def test_a_threshold_that_was_moved_is_named() -> None:
    frame, fields = sure()
    lower = frame.select(pl.when(from_day(28)).then(0.6).otherwise(0.7).alias("threshold"))["threshold"]
    fields = fields.with_columns(confidence_threshold=lower)
    found = World().load(frame, fields=fields).with_reference().findings(SELECTIVE, day(38))
    told = {one.metric: one for one in found}
    assert told["automation_rate"].severity is Severity.NOTICE
    assert all(one.summary.endswith("its threshold went from 0.70 to 0.60.") for one in found)

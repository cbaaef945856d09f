from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from analyzers.world import World, day, from_day, made

from watchkeeper.analyzers.drift import classifier
from watchkeeper.analyzers.drift.core.design import design
from watchkeeper.analyzers.drift.core.domain import tell_apart
from watchkeeper.schemas.findings import Severity

CLASSIFIER = classifier.ANALYZER


def joined(days: int = 30) -> pl.DataFrame:
    """From day 20 on temperature goes with distance; each alone is spread as before."""
    frame = made(days=days, rows=400)
    late = from_day(20)
    order = pl.col("distance").rank("ordinal").over(pl.col("ts").dt.date()).cast(pl.Int64) - 1
    by_distance = pl.col("temp").sort().gather(order).over(pl.col("ts").dt.date())
    return frame.with_columns(pl.when(late).then(by_distance).otherwise(pl.col("temp")).alias("temp"))


def test_alike_sets_are_told_apart_no_more_often_than_it_says() -> None:
    """300 pairs of sets whose days have moods of their own."""
    rng = np.random.default_rng(4)
    now = np.arange(2400) >= 1200
    days = np.where(now, np.arange(2400) % 7, 100 + np.arange(2400) % 14)
    low = {0.05: 0, 0.01: 0}
    for _ in range(300):
        rows = rng.normal(size=(2400, 4)) + rng.normal(0, 0.3, (120, 4))[days]
        told = tell_apart(design(pl.DataFrame(rows, schema=list("abcd")), ~now).columns, now, days)
        for level in low:
            low[level] += told.p_value < level
    assert low[0.05] <= 300 * 0.05 * 1.3
    assert low[0.01] <= 300 * 0.01 * 1.7


def test_nothing_is_told_where_nothing_moves() -> None:
    world = World().load(made(days=40, rows=300)).with_reference()
    for number in range(22, 41, 3):
        evaluation = world.evaluate(CLASSIFIER, day(number))
        assert evaluation.findings == ()
        (auc,) = [one for one in evaluation.readings if one.metric == "domain_auc"]
        assert auc.lower is not None
        assert auc.lower < 0.55


def test_a_new_connection_of_two_inputs_is_a_notice_that_names_both() -> None:
    (finding,) = World().load(joined()).with_reference().findings(CLASSIFIER, day(28))
    assert finding.severity is Severity.NOTICE
    assert set(finding.subjects[1:3]) == {"temp", "distance"}
    assert finding.observed > 0.6
    assert finding.summary.startswith("The inputs of m1 of flights can be told from the reference's (AUC ")


def test_a_category_that_moves_is_ranked_first() -> None:
    moved = from_day(20) & (pl.int_range(pl.len()) % 2 == 0)
    frame = made(days=30, rows=400).with_columns(
        pl.when(moved).then(pl.lit("WN")).otherwise(pl.col("carrier")).alias("carrier")
    )
    (finding,) = World().load(frame).with_reference().findings(CLASSIFIER, day(28))
    assert finding.subjects[:2] == ("inputs", "carrier")


def test_one_wild_value_tells_nothing() -> None:
    wild = from_day(20) & (pl.int_range(pl.len()) % 2000 == 0)
    frame = made(days=30, rows=400)
    calm = World().load(frame).with_reference().evaluate(CLASSIFIER, day(28))
    frame = frame.with_columns(pl.when(wild).then(1e9).otherwise(pl.col("temp")).alias("temp"))
    shaken = World().load(frame).with_reference().evaluate(CLASSIFIER, day(28))
    assert shaken.readings[0].value == pytest.approx(calm.readings[0].value, abs=0.01)


def test_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "ROWS", 1000)
    (auc, *_) = World().load(made(days=30, rows=600)).with_reference().evaluate(CLASSIFIER, day(28)).readings
    assert 850 < (auc.n or 0) < 1150

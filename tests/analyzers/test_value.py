from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from analyzers.world import World, day, from_day, made
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.analyzers.data import missing
from watchkeeper.analyzers.impact import value
from watchkeeper.analyzers.impact.value import lost_per_day, worth
from watchkeeper.analyzers.rows import QualityRow
from watchkeeper.schemas.declared import Declarations, ValueModel
from watchkeeper.store.facts.batch import Batch

VALUE = value.ANALYZER


def declared(**values: float) -> Declarations:
    return Declarations(values=(ValueModel(name="v", service="flights", currency="EUR", values=values),))


def worse(days: int = 45) -> pl.DataFrame:
    flip = from_day(20) & (pl.int_range(pl.len()) % 5 == 0)
    return made(days=days).with_columns(
        pl.when(flip).then(1 - pl.col("outcome")).otherwise(pl.col("outcome")).alias("outcome")
    )


counted = st.builds(
    lambda tp, fp, fn, tn: QualityRow(tp + fp + fn + tn, tp + fp + fn + tn, tp + tn, fp + fn, tp, fp, fn, tn),
    *[st.integers(0, 1000)] * 4,
).filter(lambda row: row.known > 0)


@given(counted, st.floats(-100, 100), st.floats(-100, 100))
def test_the_value_is_a_weighted_mean_and_adds_up_over_days(row: QualityRow, good: float, bad: float) -> None:
    values = {"true_positive": good, "false_negative": bad, "false_positive": bad, "true_negative": good}
    one, two = worth([row], values), worth([row, row], values)
    assert one is not None
    assert two is not None
    assert min(good, bad) - 1e-9 <= one.per_decision <= max(good, bad) + 1e-9
    assert two.per_decision == pytest.approx(one.per_decision, abs=1e-9)


def test_failed_requests_and_minutes_of_review_cost_their_declared_value() -> None:
    row = QualityRow(100, 100, 90, 10)
    found = worth([row], {"wrong": -10.0, "error": -2.0, "override_minute": -0.5}, errors=5, minutes=40.0)
    assert found is not None
    assert found.per_decision == pytest.approx((-100 - 10 - 20) / 100)


def test_without_a_declared_kind_there_is_no_value() -> None:
    assert worth([QualityRow(10, 10, 5, 5)], {"error": -1.0}) is None
    assert worth([QualityRow(10, 0, 0, 0)], {"wrong": -1.0}) is None


def test_the_loss_is_against_the_reference_at_the_traffic_of_the_window() -> None:
    now, usual = (
        worth([QualityRow(700, 700, 350, 350)], {"wrong": -1.0}),
        worth([QualityRow(9, 9, 9, 0)], {"wrong": -1.0}),
    )
    assert now is not None
    assert usual is not None
    assert lost_per_day(now, usual, 7 * (day(1) - day(0))) == 50.0


def test_readings_say_what_a_decision_is_worth_and_how_much_is_known() -> None:
    world = World().load(worse()).with_reference()
    readings = {one.metric: one for one in world.evaluate(VALUE, day(35), declared(wrong=-10.0)).readings}
    assert readings["value_per_decision"].value == pytest.approx(-10 * (0.15 * 0.8 + 0.85 * 0.2), rel=0.15)
    lost = readings["value_lost_per_day"]
    assert lost.value == pytest.approx(200 * 10 * 0.14, rel=0.3)
    assert lost.lower is not None
    assert lost.upper is not None
    assert lost.lower < lost.value < lost.upper
    assert lost.maturity == 1.0
    assert lost.window.end == day(33)


def test_reviews_and_errors_are_read_from_the_facts() -> None:
    world = World().load(made(days=40)).with_reference()
    reviews = pl.DataFrame(
        {
            "prediction_id": [str(n) for n in range(100)],
            "ts": [day(30).replace(tzinfo=None)] * 100,
            "service": ["flights"] * 100,
            "decision": ["overridden"] * 100,
            "minutes": [7.0] * 100,
        }
    )
    world.loader.load(Batch(reviews=reviews))
    plain = world.evaluate(VALUE, day(35), declared(wrong=-10.0)).readings[0].value
    dearer = world.evaluate(VALUE, day(35), declared(wrong=-10.0, override_minute=-2.0)).readings[0].value
    assert plain - dearer == pytest.approx(2.0 * 700 / 1400)


def test_no_value_model_no_readings() -> None:
    assert World().load(worse()).with_reference().evaluate(VALUE, day(35)).readings == ()


def test_a_finding_about_data_gets_an_impact_only_once_a_loss_is_measured() -> None:
    broken = pl.when(from_day(20) & (pl.int_range(pl.len()) % 5 == 0)).then(None).otherwise(pl.col("temp"))
    values = declared(wrong=-10.0)
    harmless = World().load(made(days=45).with_columns(broken.alias("temp"))).with_reference()
    assert harmless.findings(missing.ANALYZER, day(30), values)[0].impact is None
    harmful = World().load(worse().with_columns(broken.alias("temp"))).with_reference()
    assert harmful.findings(missing.ANALYZER, day(21), values) == () or (
        harmful.findings(missing.ANALYZER, day(21), values)[0].impact is None
    )
    impact = harmful.findings(missing.ANALYZER, day(30), values)[0].impact
    assert impact is not None
    assert impact.basis == "measured on 80.0 % of outcomes, against the 14-day reference"


def test_a_row_that_stands_for_ten_decisions_loses_what_ten_lose() -> None:
    day_ = QualityRow(100, 80, 70, 10)
    values = {"correct": 2.0, "error": -5.0}
    one, ten = worth([day_], values, errors=4), worth([day_], values, errors=40, weight=10.0)
    assert one is not None
    assert ten is not None
    assert ten.per_decision == one.per_decision
    usual = worth([day_], values)
    assert usual is not None
    length = timedelta(days=1)
    assert (
        lost_per_day(ten, usual, length) == pytest.approx(10 * lost_per_day(one, usual, length)) == pytest.approx(200)
    )


def test_what_sampled_decisions_are_worth_is_measured_on_all() -> None:
    """Failures are kept whole, one in five of the rest: weighing makes of both what there was."""
    readings = []
    frame = made(days=40, rows=400).with_columns(ok=(pl.int_range(pl.len()) % 25 != 0).cast(pl.Int64))
    kept = frame.filter((pl.col("ok") == 0) | (pl.int_range(pl.len()) % 5 == 1))
    weights = kept.select(pl.when(pl.col("ok") == 0).then(1.0).otherwise(5.0).alias("sample_weight"))
    for rows, fields in ((frame, None), (kept, weights)):
        world = World().load(rows, fields=fields).with_reference()
        found = world.evaluate(VALUE, day(40), declared(wrong=-10.0, error=-3.0)).readings
        readings.append({one.metric: one for one in found})
    truth, sampled = (one["value_per_decision"] for one in readings)
    assert sampled.value == pytest.approx(truth.value, rel=0.12)
    assert sampled.n < 0.3 * truth.n, "what is known is rows"

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from analyzers.world import World, day, from_day, made
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.analyzers.data import unit
from watchkeeper.schemas.findings import Severity, Window
from watchkeeper.store.facts.audit import audit
from watchkeeper.store.facts.batch import OUTCOME_COLUMNS, Batch
from watchkeeper.store.facts.units import Level, conversion

UNIT = unit.ANALYZER


def changed(column: str, to: pl.Expr, at: int = 18) -> World:
    frame = made(days=24).with_columns(pl.when(from_day(at)).then(to).otherwise(pl.col(column)).alias(column))
    return World().load(frame).with_reference()


@pytest.mark.parametrize(
    ("column", "to", "between"),
    [
        ("temp", pl.col("temp") * 1.8 + 32, "Celsius and Fahrenheit"),
        ("temp", pl.col("temp") + 273.15, "Celsius and Kelvin"),
        ("distance", pl.col("distance") * 60, "minutes and seconds, or hours and minutes"),
        ("distance", pl.col("distance") / 1000, "thousands"),
    ],
)
def test_another_unit_is_shown_with_what_it_fits(column: str, to: pl.Expr, between: str) -> None:
    world = changed(column, to)
    assert world.findings(UNIT, day(18)) == world.findings(UNIT, day(19)) == (), "one day is no proof"
    (finding,) = world.findings(UNIT, day(20))
    assert (finding.subjects, finding.severity) == ((column,), Severity.NOTICE)
    assert finding.summary.endswith(f"which fits {between}.")
    assert UNIT.recompute(finding.evidence.snapshot) == finding.observed
    assert finding.since == day(18)


def test_what_stays_a_drift_and_one_huge_value_are_no_other_unit() -> None:
    frame = made(days=60).with_columns(
        pl.when(from_day(30)).then(pl.col("temp") * 1.3 + 10).otherwise(pl.col("temp")).alias("temp"),
        pl.when(pl.int_range(pl.len()) % 211 == 0).then(1e6).otherwise(pl.col("distance")).alias("distance"),
    )
    clean = frame.with_columns(pl.when(from_day(20)).then(pl.col("distance")).otherwise(1500 + pl.col("temp") * 30))
    for one in (frame, clean):
        world = World().load(one).with_reference()
        for number in range(16, 61, 5):
            assert world.findings(UNIT, day(number)) == ()


@given(st.floats(-1e3, 1e3), st.floats(0.1, 1e3), st.floats(-2, 2), st.floats(-0.35, 0.35))
def test_a_shift_by_a_spread_or_two_with_a_spread_about_as_wide_is_no_other_unit(
    mean: float, spread: float, shift: float, wider: float
) -> None:
    moved = Level(mean + shift * spread, spread * 2.718281828**wider)
    found = conversion(Level(mean, spread), moved)
    assert found is None or (found.between == "Celsius and Kelvin" and spread > 100)


def test_an_audit_sets_what_came_beside_what_came_before() -> None:
    """A change at day 20: one input in another unit, one half missing, one gone, one new; rows sent twice; lost ids."""
    frame = made(days=26).with_columns(pl.col("temp").alias("wind"))
    frame = frame.with_columns(
        pl.when(from_day(20)).then(pl.col("distance") / 1000).otherwise(pl.col("distance")).alias("distance"),
        pl.when(from_day(20) & (pl.int_range(pl.len()) % 2 == 0)).then(None).otherwise(pl.col("temp")).alias("temp"),
    )
    world = (
        World(now=day(20) - timedelta(hours=1)).load(frame.filter(~from_day(20)).drop("outcome_ts")).with_reference()
    )
    world.now = day(21)
    late = frame.filter(from_day(20)).drop("wind", "outcome_ts").with_columns(pl.lit(1.0).alias("gust"))
    world.load(late)
    world.loads -= 1
    world.load(late)
    lost = pl.DataFrame(
        {"prediction_id": ["nobody", "knows"], "value": ["1", "0"], "service": ["flights"] * 2},
    ).with_columns(
        pl.lit(None, pl.Float64).alias("value_number"),
        pl.lit(day(21).replace(tzinfo=None)).alias("known_at"),
        pl.lit(day(21).replace(tzinfo=None)).alias("received_at"),
    )
    world.loader.load(Batch(outcomes=lost.select(name for name in OUTCOME_COLUMNS if name in lost.columns)))
    rows = audit(world.reader, "flights", "m1", Window(day(20), day(26)))
    found = {(part, subject, measure): (before, after) for part, subject, measure, before, after in rows.rows()}
    assert found["features", "temp", "missing_share"] == (0.0, 0.5)
    assert found["features", "distance", "unit_factor"] == (1.0, pytest.approx(0.001))
    assert found["features", "wind", "missing_share"] == (0.0, 1.0)
    assert found["features", "gust", "rows"] == (None, 1200.0)
    assert found["features", "carrier", "unseen_share"] == (0.0, 0.0)
    assert found["events", "predictions", "loaded"] == (4000.0, 1200.0)
    assert found["events", "predictions", "duplicates"] == (0.0, 1200.0)
    assert found["events", "outcomes", "orphans"] == (0.0, 2.0)
    assert ("features", "temp", "unit_factor") not in found

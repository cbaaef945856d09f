from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from analyzers.world import NOTHING, World, day, from_day, made

from watchkeeper.analyzers.quality import slices
from watchkeeper.analyzers.quality.core.conditions import conditions
from watchkeeper.analyzers.quality.core.slices import Cases, search
from watchkeeper.schemas.declared import Declarations, System
from watchkeeper.schemas.findings import Severity

SLICES = slices.ANALYZER


def failing(days: int = 45, rows: int = 500) -> pl.DataFrame:
    """From day 24 on the model fails where it is hot and the carrier is WN: 3.5 % of the cases."""
    frame = made(days=days, rows=rows)
    hot = (pl.col("temp") > 18.4) & (pl.col("carrier") == "WN")
    flip = from_day(24) & hot & (pl.int_range(pl.len()) % 5 < 4)
    return frame.with_columns(pl.when(flip).then(1 - pl.col("outcome")).otherwise(pl.col("outcome")).alias("outcome"))


def test_what_is_found_by_chance_stays_within_the_budget() -> None:
    """150 searches of some 130 slices in days that have moods, and values that fail at moods of their own."""
    rng = np.random.default_rng(3)
    low = {0.1: 0, 0.02: 0}
    for _ in range(150):
        day = np.repeat(np.arange(35), 250)
        n = len(day)
        site = rng.integers(0, 6, n)
        frame = pl.DataFrame({"site": site.astype(str), "kind": rng.choice(["x", "y", "z"], n), "load": rng.random(n)})
        level = 0.2 + rng.normal(0, 0.03, 35)[day] + rng.normal(0, 0.04, (35, 6))[day, site]
        cases = Cases(rng.random(n) < np.clip(level, 0.01, 0.9), day >= 28, day)
        found = search(conditions(frame, day < 28), cases, 100).found
        best = min((one.p_value for one in found), default=1.0)
        for level_ in low:
            low[level_] += best < level_
    assert low[0.1] <= 150 * 0.1 * 1.4
    assert low[0.02] <= 150 * 0.02 * 2


def test_a_slice_of_two_conditions_is_named() -> None:
    world = World().load(failing()).with_reference()
    (finding,) = world.findings(SLICES, day(36))
    assert finding.severity is Severity.NOTICE
    assert finding.subject.startswith("segment:carrier=WN & temp from 18.")
    assert finding.observed > 0.6
    assert finding.reference == pytest.approx(0.15, abs=0.05)
    assert finding.evidence.p_value is not None
    assert finding.evidence.p_value < 0.01


def test_one_condition_goes_before_two_that_say_no_more() -> None:
    bad = from_day(24) & (pl.col("carrier") == "B6") & (pl.int_range(pl.len()) % 5 < 2)
    frame = made(days=45, rows=300).with_columns(
        pl.when(bad).then(1 - pl.col("outcome")).otherwise(pl.col("outcome")).alias("outcome")
    )
    found = World().load(frame).with_reference().findings(SLICES, day(36))
    assert [one.subject for one in found] == ["segment:carrier=B6"]


def test_planted_slices_are_found_and_named() -> None:
    """Twelve streams, each with another pair that fails in half of its cases: at least eleven are named first."""
    named = 0
    for seed in range(12):
        frame = made(days=36, rows=800, seed=seed + 20)
        rng = np.random.default_rng(seed)
        frame = frame.with_columns(site=pl.Series(rng.choice(list("abcde"), frame.height)))
        carrier, site = ("AA", "UA", "WN")[seed % 3], "abcde"[seed % 5]
        inside = from_day(22) & (pl.col("carrier") == carrier) & (pl.col("site") == site)
        flip = inside & pl.Series(rng.random(frame.height) < 0.5)
        frame = frame.with_columns(
            pl.when(flip).then(1 - pl.col("prediction")).otherwise(pl.col("outcome")).alias("outcome")
        )
        found = World().load(frame).with_reference().findings(SLICES, day(34))
        named += bool(found) and found[0].subject == f"segment:carrier={carrier} & site={site}"
    assert named >= 11


def test_nothing_is_told_of_a_model_that_stays_as_good() -> None:
    world = World().load(made(days=45)).with_reference()
    for number in range(24, 46, 3):
        assert world.findings(SLICES, day(number)) == ()


def test_small_slices_are_refused_and_counted() -> None:
    readings = {
        one.metric: one for one in World().load(made(days=40)).with_reference().evaluate(SLICES, day(30)).readings
    }
    assert readings["slices_searched"].value > 20
    assert readings["slices_refused"].value > 0


def test_a_protected_attribute_is_no_condition() -> None:
    bad = from_day(24) & (pl.col("carrier") == "B6") & (pl.int_range(pl.len()) % 5 < 2)
    frame = made(days=45, rows=300).with_columns(
        pl.when(bad).then(1 - pl.col("outcome")).otherwise(pl.col("outcome")).alias("outcome")
    )
    world = World().load(frame).with_reference()
    hidden = Declarations(systems=(System(name="f", services=["flights"], owner="o", protected=["carrier"]),))
    assert "carrier" in world.findings(SLICES, day(36), NOTHING)[0].subject
    readings = world.evaluate(SLICES, day(36), hidden).readings
    assert not any("carrier" in one.subject for one in readings)


def test_the_search_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "MOST_ROWS", 1500)
    readings = World().load(failing()).with_reference().evaluate(SLICES, day(36)).readings
    assert all((one.n or 0) < 1500 for one in readings)

from __future__ import annotations

import random

import polars as pl
import pytest
from analyzers.world import World, day, from_day, made
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.analyzers.drift import jensen_shannon, psi
from watchkeeper.analyzers.drift_check import Bins, merged
from watchkeeper.analyzers.rows import BinRow
from watchkeeper.schemas.findings import Severity

PSI, JS = psi.ANALYZER, jensen_shannon.ANALYZER
histograms = (
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=1, max_size=30)
    .map(lambda pairs: Bins(tuple(now for now, _ in pairs), tuple(reference for _, reference in pairs)))
    .filter(lambda bins: sum(bins.now) > 0 and sum(bins.reference) > 0)
)
fine_bins = st.lists(
    st.tuples(st.integers(-5, 60), st.integers(0, 500), st.integers(0, 500)), max_size=60, unique_by=lambda row: row[0]
).map(lambda rows: [BinRow("x", "numeric", place, n, reference) for place, n, reference in rows])


@given(histograms)
def test_psi_is_never_negative_and_zero_of_the_same(bins: Bins) -> None:
    assert PSI.distance(bins) >= 0
    assert PSI.distance(Bins(bins.now, bins.now)) == 0


@given(histograms)
def test_the_jensen_shannon_distance_is_symmetric_and_between_0_and_1(bins: Bins) -> None:
    there, back = JS.distance(bins), JS.distance(Bins(bins.reference, bins.now))
    assert 0 <= there <= 1
    assert there == pytest.approx(back, abs=1e-7)
    assert JS.distance(Bins(bins.now, bins.now)) == pytest.approx(0, abs=1e-7)


@given(histograms, st.randoms(use_true_random=False))
def test_neither_depends_on_the_order_of_bins(bins: Bins, shuffler: random.Random) -> None:
    pairs = list(zip(bins.now, bins.reference, strict=True))
    shuffler.shuffle(pairs)
    mixed = Bins(tuple(now for now, _ in pairs), tuple(reference for _, reference in pairs))
    assert PSI.distance(mixed) == pytest.approx(PSI.distance(bins), abs=1e-9)
    assert JS.distance(mixed) == pytest.approx(JS.distance(bins), abs=1e-7)


@given(fine_bins, st.randoms(use_true_random=False))
def test_merging_loses_no_row_and_does_not_depend_on_the_order(rows: list[BinRow], shuffler: random.Random) -> None:
    bins = merged(rows)
    mixed = list(rows)
    shuffler.shuffle(mixed)
    assert sum(bins.now) == sum(row.n for row in rows)
    assert sum(bins.reference) == sum(row.reference_n for row in rows)
    assert merged(mixed) == bins
    assert len(bins.now) <= 10 + sum(row.bin < 0 for row in rows)


@given(fine_bins)
def test_special_bins_are_never_merged(rows: list[BinRow]) -> None:
    special = sorted((row.n, row.reference_n) for row in rows if row.bin < 0)
    bins = merged(rows)
    counts = list(zip(bins.now, bins.reference, strict=True))
    assert sorted(counts[: len(special)]) == special


def test_categories_keep_a_bin_each() -> None:
    assert merged([BinRow("c", "category", place, 1, 1) for place in range(40)]).now == (1,) * 40


def test_a_stable_feature_stays_near_what_chance_gives() -> None:
    world = World().load(made(days=40)).with_reference()
    for number in (22, 30, 40):
        for analyzer in (PSI, JS):
            evaluation = world.evaluate(analyzer, day(number))
            assert evaluation.findings == ()
            assert {reading.subject for reading in evaluation.readings} == {
                "temp", "distance", "carrier", "score", "prediction"
            }  # fmt: skip
            assert all(reading.value < (reading.reference or 0) + 0.05 for reading in evaluation.readings)


@pytest.mark.parametrize("analyzer", [PSI, JS])
def test_a_feature_that_moves_is_a_notice_and_never_an_alert(analyzer: psi.Psi) -> None:
    moved = pl.when(from_day(18)).then(pl.col("temp") + 8).otherwise(pl.col("temp")).alias("temp")
    world = World().load(made(days=30).with_columns(moved)).with_reference()
    findings = world.findings(analyzer, day(27))
    assert [finding.subject for finding in findings] == ["temp"]
    assert findings[0].severity is Severity.NOTICE
    assert findings[0].summary.startswith("temp of flights has moved from the reference: ")


def test_a_week_that_touches_the_reference_is_not_compared_with_it() -> None:
    world = World().load(made(days=30)).with_reference()
    assert world.evaluate(PSI, day(20)).readings == ()
    assert world.evaluate(PSI, day(21)).readings != ()

from __future__ import annotations

import itertools
import random

import numpy as np
import polars as pl
import pytest
from analyzers.world import World, day, from_day, made
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from watchkeeper.analyzers.drift import (
    chi_squared,
    cramers_v,
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    wasserstein,
)
from watchkeeper.analyzers.drift_bins import Bins, Steps, merged, steps
from watchkeeper.analyzers.drift_distance import Distance
from watchkeeper.analyzers.memo import remembering
from watchkeeper.analyzers.rows import BinRow
from watchkeeper.schemas.declared import Declarations, Reference
from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts.histograms import numeric_edges

PSI, JS = psi.ANALYZER, jensen_shannon.ANALYZER
CHI, V, HELLINGER = chi_squared.ANALYZER, cramers_v.ANALYZER, hellinger.ANALYZER
KS, EARTH = kolmogorov_smirnov.ANALYZER, wasserstein.ANALYZER
READERS = [PSI, JS, CHI, V, HELLINGER, KS, EARTH]


def pairs_up_to(most: int) -> st.SearchStrategy[Bins]:
    return (
        st.lists(st.tuples(st.integers(0, most), st.integers(0, most)), min_size=1, max_size=30)
        .map(lambda pairs: Bins(tuple(now for now, _ in pairs), tuple(reference for _, reference in pairs)))
        .filter(lambda bins: sum(bins.now) > 0 and sum(bins.reference) > 0)
    )


histograms, small = pairs_up_to(10_000), pairs_up_to(40)
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


@given(histograms)
def test_the_readings_are_zero_of_the_same_and_have_their_bounds(bins: Bins) -> None:
    same, back = Bins(bins.now, bins.now), Bins(bins.reference, bins.now)
    line = Steps(tuple(float(place) for place in range(len(bins.now))), bins)
    assert CHI.distance(same) == V.distance(same) == 0
    assert HELLINGER.distance(same) == pytest.approx(0, abs=1e-7)
    for measure in (V, HELLINGER):
        assert 0 <= measure.distance(bins) <= 1
        assert measure.distance(bins) == pytest.approx(measure.distance(back), abs=1e-7)
    assert 0 <= KS.distance(line) <= 1
    assert (EARTH.distance(line) is None) == (sum(1 for n in bins.reference if n) == 1)


@given(histograms)
def test_chi_squared_and_v_are_those_of_scipy(bins: Bins) -> None:
    table = np.array([pair for pair in zip(bins.now, bins.reference, strict=True) if any(pair)])
    expected = stats.chi2_contingency(table, correction=False)
    assert CHI.distance(bins) == pytest.approx(expected.statistic, rel=1e-9, abs=1e-9)
    assert CHI.expected(bins) == expected.dof
    if len(table) > 1:
        assert V.distance(bins) == pytest.approx(stats.contingency.association(table), rel=1e-9, abs=1e-9)


@given(small, st.floats(-1e3, 1e3))
def test_distances_along_the_axis_are_those_of_scipy_on_the_bins(bins: Bins, start: float) -> None:
    places = tuple(start + 2.0 * place for place in range(len(bins.now)))
    now, reference = (np.repeat(places, counts) for counts in (bins.now, bins.reference))
    line = Steps(places, bins)
    with np.errstate(divide="ignore", invalid="ignore"):  # of its p-value of very few rows, which nobody asks for
        expected = stats.ks_2samp(now, reference, method="asymp").statistic
    assert KS.distance(line) == pytest.approx(expected, abs=1e-9)
    found = EARTH.distance(line)
    if found is not None:
        assert found == pytest.approx(stats.wasserstein_distance(now, reference) / reference.std(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1.0, 1e300, 1.7e308])
def test_no_scale_overflows(scale: float) -> None:
    line = Steps((-scale, 0.0, scale), Bins((0, 50, 50), (50, 50, 0)))
    assert EARTH.distance(line) == pytest.approx(2.0, rel=1e-3)
    assert 0 < EARTH.expected(line) < 1
    assert steps([BinRow("x", "numeric", 1, 1, 1, lower=1.7e308, upper=float("inf"))]) is not None


def kept(now: np.ndarray, reference: np.ndarray) -> list[BinRow]:
    """Bin both as the store does."""
    edges = numeric_edges(reference)
    counts = [
        np.bincount(np.searchsorted(edges, values, "right"), minlength=edges.size + 1) for values in (now, reference)
    ]
    ends = [None, *edges.tolist(), None]
    return [
        BinRow("x", "numeric", place, int(n), int(m), lower=lower, upper=upper)
        for place, (n, m, (lower, upper)) in enumerate(zip(*counts, itertools.pairwise(ends), strict=True))
    ]


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("shape", ["normal", "exponential", "uniform", "gumbel"])
def test_kept_bins_are_near_the_raw_values(shape: str, shift: float) -> None:
    rng = np.random.default_rng(7)
    reference, now = (getattr(rng, shape)(size=20_000) for _ in range(2))
    now += shift
    line = steps(kept(now, reference))
    assert line is not None
    largest = stats.ks_2samp(now, reference, method="asymp").statistic
    assert largest - 0.0101 <= KS.distance(line) <= largest + 1e-9
    inside = np.clip(now, reference.min(), reference.max())
    exact = stats.wasserstein_distance(inside, reference) / reference.std()
    assert EARTH.distance(line) == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_one_huge_value_neither_hides_nor_fakes_a_drift(shift: float) -> None:
    rng = np.random.default_rng(3)
    reference, now = rng.normal(size=20_000), rng.normal(size=20_000) + shift
    struck = now.copy()
    struck[0] = 1e6
    for values in (now, struck):
        line, bins = steps(kept(values, reference)), merged(kept(values, reference))
        assert line is not None
        for measure, against in ((KS, line), (EARTH, line), (V, bins), (HELLINGER, bins), (JS, bins), (PSI, bins)):
            much = measure.distance(against) > 5 * measure.expected(against)  # type: ignore[arg-type, operator]
            assert much == (shift > 0), measure.name


@pytest.mark.parametrize("measure", READERS, ids=lambda measure: measure.name)
def test_what_chance_gives_is_what_it_says(measure: Distance) -> None:
    rng = np.random.default_rng(11)
    reference = rng.normal(size=4_000)
    ratios = []
    for _ in range(60):
        rows = kept(rng.normal(size=1_000), reference)
        bins, line = merged(rows), steps(rows)
        against = line if measure in (KS, EARTH) else bins
        ratios.append(measure.distance(against) / measure.expected(against))  # type: ignore[attr-defined]
    assert 0.8 < np.mean(ratios) < 1.2


@given(histograms, st.randoms(use_true_random=False))
def test_none_depends_on_the_order_of_bins(bins: Bins, shuffler: random.Random) -> None:
    pairs = list(zip(bins.now, bins.reference, strict=True))
    shuffler.shuffle(pairs)
    mixed = Bins(tuple(now for now, _ in pairs), tuple(reference for _, reference in pairs))
    assert PSI.distance(mixed) == pytest.approx(PSI.distance(bins), abs=1e-9)
    for measure in (JS, CHI, V, HELLINGER):
        assert measure.distance(mixed) == pytest.approx(measure.distance(bins), rel=1e-9, abs=1e-7)


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


def test_a_week_that_touches_the_reference_is_not_compared_with_it() -> None:
    world = World().load(made(days=30)).with_reference()
    assert world.evaluate(PSI, day(20)).readings == ()
    assert world.evaluate(PSI, day(21)).readings != ()


NUMBERS = {"temp", "distance", "score"}


@pytest.mark.parametrize("measure", READERS, ids=lambda measure: measure.name)
def test_a_reader_shows_what_moves_and_says_nothing(measure: Distance) -> None:
    moved = pl.when(from_day(18)).then(pl.col("temp") + 8).otherwise(pl.col("temp")).alias("temp")
    world = World().load(made(days=30).with_columns(moved)).with_reference()
    evaluation = world.evaluate(measure, day(27))
    assert evaluation.findings == ()
    ratio = {reading.subject: reading.value / (reading.reference or 1) for reading in evaluation.readings}
    assert ratio.keys() >= NUMBERS
    assert ("carrier" in ratio) == (measure not in (KS, EARTH))
    assert max(ratio, key=lambda subject: ratio[subject]) == "temp"
    assert ratio["temp"] > 5


def test_all_distances_share_one_read_of_the_histograms(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World().load(made(days=30)).with_reference()
    asked = []
    reader = remembering(world.reader)
    read = type(world.reader).histogram
    monkeypatch.setattr(type(world.reader), "histogram", lambda self, *args: (asked.append(args), read(self, *args))[1])
    for measure in READERS:
        assert measure.evaluate(reader, Declarations(), Window(day(20), day(27)), day(27)).readings
    assert len(asked) == 1


def test_a_number_that_never_varied_has_no_deviation_to_travel_in() -> None:
    frame = made(days=30).with_columns(pl.when(from_day(18)).then(9.0).otherwise(5.0).alias("temp"))
    world = World().load(frame).with_reference()
    assert "temp" not in {reading.subject for reading in world.evaluate(EARTH, day(27)).readings}
    found = {reading.subject: reading.value for reading in world.evaluate(KS, day(27)).readings}
    assert found["temp"] == 1.0


@pytest.mark.parametrize(
    ("kind", "moved"), [(None, True), ("rolling", False), ("seasonal", False)], ids=["first", "rolling", "seasonal"]
)
def test_a_step_of_weeks_ago_is_seen_against_the_first_days_only(kind: str | None, moved: bool) -> None:
    frame = made(days=50).with_columns(pl.when(from_day(18)).then(pl.col("temp") + 8).otherwise("temp").alias("temp"))
    world = World().load(frame).with_reference()
    declared = Declarations(references=(Reference(service="flights", type=kind),) if kind else ())
    [found] = [one for one in world.evaluate(PSI, day(50), declared).readings if one.subject == "temp"]
    assert (found.value > 10 * (found.reference or 1)) == moved
    assert ("take in slow drift" in (found.against or "")) == (not moved)

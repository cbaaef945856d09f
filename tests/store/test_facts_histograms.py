"""Bins: every row falls into exactly one, on edges that the reference fixed."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store.facts_made import PROPERTY

from watchkeeper.store.facts.histograms import (
    INFINITE,
    MAX_CATEGORIES,
    MAX_EDGES,
    MAX_UNSEEN_VALUES,
    MISSING,
    NAN,
    REST,
    UNSEEN,
    Epoch,
    Hours,
    category_bins,
    counts,
    moments,
    numeric_bins,
    numeric_edges,
    unseen_counts,
)

MANY = settings(parent=PROPERTY, max_examples=150)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NO_CATEGORIES = np.array([])


def numeric(values: list[float]) -> Epoch:
    return Epoch(1, "x", "numeric", numeric_edges(np.array(values)), ())


def bins_of(epoch: Epoch, values: list[float | None]) -> list[int]:
    floats = np.array([0.0 if v is None else v for v in values], dtype=float)
    return numeric_bins(epoch, floats, np.array([v is None for v in values], dtype=bool)).tolist()


def category(*names: str) -> Epoch:
    return Epoch(1, "c", "category", NO_CATEGORIES, names)


@MANY
@given(st.lists(FINITE, min_size=1, max_size=300), st.lists(st.none() | st.floats(), max_size=50))
def test_every_row_falls_into_one_bin(reference: list[float], values: list[float | None]) -> None:
    epoch = numeric(reference)
    assert 2 <= epoch.edges.size <= MAX_EDGES + 1
    assert (np.diff(epoch.edges) >= 0).all()
    inside = bins_of(epoch, list(reference))
    assert min(inside) >= 1, "nothing of the reference lies below its first edge"
    assert max(inside) <= epoch.edges.size - 1, "nothing of it lies above its last"
    bins = bins_of(epoch, values)
    assert len(bins) == len(values)
    for value, number in zip(values, bins, strict=True):
        if value is None:
            assert number == MISSING
        elif math.isnan(value):
            assert number == NAN
        elif math.isinf(value):
            assert number == INFINITE
        else:
            assert 0 <= number <= epoch.edges.size
            assert (number == 0) == (value < min(reference))
            assert (number == epoch.edges.size) == (value > max(reference))


def one_hour(rows: int) -> Hours:
    return Hours(np.zeros(1, dtype=np.int64), np.zeros(rows, dtype=np.int64))


@MANY
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(REST, 101)), min_size=1, max_size=100))
def test_counting_keeps_every_row(rows: list[tuple[int, int]]) -> None:
    hours, bins = (np.array(part) for part in zip(*rows, strict=True))
    counted = counts(Hours(*np.unique(hours, return_inverse=True)), bins)
    assert dict(zip(zip(counted.hour, counted.bin, strict=True), counted.n, strict=True)) == {
        key: rows.count(key) for key in rows
    }


def test_counting_hours_far_apart_costs_no_memory() -> None:
    """One event of 1973 beside one of 2198, both allowed times, and the greatest bin."""
    tracemalloc.start()
    try:
        counted = counts(
            Hours(np.array([26_000, 2_000_000]), np.array([0, 1])), np.array([MAX_CATEGORIES, MAX_CATEGORIES])
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert counted.n.tolist() == [1, 1]
    assert peak < 5_000_000


def test_a_value_on_an_edge_belongs_to_the_bin_above_it() -> None:
    epoch = numeric([1.0, 2.0, 3.0])
    assert epoch.edges[:3].tolist() == [1.0, 1.5, 2.5]
    assert bins_of(epoch, [0.999, 1.0, 1.4, 1.5, 2.0, 2.5, 3.0, 3.001]) == [0, 1, 1, 2, 2, 3, 3, 4]


def test_a_feature_of_one_value_has_one_bin_and_two_open_ends() -> None:
    assert bins_of(numeric([5.0, 5.0]), [4.0, 5.0, math.nextafter(5.0, 6.0), 6.0]) == [0, 1, 2, 2]


def test_few_values_have_a_bin_each() -> None:
    values = [float(n) for n in range(MAX_EDGES - 1)]
    assert len(set(bins_of(numeric(values), list(values)))) == MAX_EDGES - 1


def test_many_values_have_bins_of_nearly_equal_share() -> None:
    values = np.random.default_rng(7).lognormal(0, 2, 20_000)
    epoch = Epoch(1, "x", "numeric", numeric_edges(values), ())
    shares = np.bincount(numeric_bins(epoch, values, np.zeros(values.size, dtype=bool)))
    assert epoch.edges.size <= MAX_EDGES + 1
    assert shares[0] == 0
    assert shares[1:].min() > 0.5 * 20_000 / MAX_EDGES
    assert shares[1:].max() < 2 * 20_000 / MAX_EDGES


def test_the_greatest_floats_have_edges() -> None:
    """Their sum is infinite, their middle is not."""
    epoch = numeric([-1.7e308, 1.6e308, 1.7e308])
    assert np.isfinite(epoch.edges).all()
    assert bins_of(epoch, [-1.75e308, -1.7e308, 1.6e308, 1.7e308, 1.75e308]) == [0, 1, 2, 3, 4]


def test_categories_missing_and_unseen() -> None:
    epoch = category("a", "b")
    assert category_bins(epoch, pl.Series(["b", "a", None, "z", ""])).tolist() == [1, 0, MISSING, UNSEEN, UNSEEN]


def test_with_200_categories_the_unknown_is_other_not_unseen() -> None:
    """The reference may have had it: only its 200 most frequent values are kept."""
    few, many = (category(*(f"c{i}" for i in range(n))) for n in (MAX_CATEGORIES - 1, MAX_CATEGORIES))
    values = pl.Series(["c0", "z", None])
    assert category_bins(few, values).tolist() == [0, UNSEEN, MISSING]
    assert category_bins(many, values).tolist() == [0, REST, MISSING]


def test_a_reference_of_nulls_alone_knows_no_category() -> None:
    assert category_bins(category(), pl.Series(["a", None])).tolist() == [UNSEEN, MISSING]


def test_unseen_values_are_named_by_frequency_within_a_limit() -> None:
    values = pl.Series([f"v{i:03}" for i in range(60) for _ in range(1 + (i >= 10))])
    bins = np.full(len(values), UNSEEN)
    named = unseen_counts(category("a"), one_hour(len(values)), values, bins)
    assert named.height == MAX_UNSEEN_VALUES
    assert set(named["value"]) == {f"v{i:03}" for i in range(10, 60)}
    assert named["n"].to_list() == [2] * MAX_UNSEEN_VALUES


@MANY
@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.floats()), min_size=1, max_size=60))
def test_moments_are_those_of_each_hour(rows: list[tuple[int, float | None]]) -> None:
    slots = np.array([slot for slot, _ in rows])
    values = np.array([0.0 if x is None else x for _, x in rows])
    hours = Hours(np.arange(4), slots)
    m = moments(hours, values, np.array([x is None for _, x in rows]))
    for slot in range(4):
        own = [x for at, x in rows if at == slot]
        finite = [x for x in own if x is not None and math.isfinite(x)]
        assert hours.count()[slot] == len(own)
        assert m.nan[slot] == sum(x is not None and math.isnan(x) for x in own)
        assert m.infinite[slot] == sum(x is not None and math.isinf(x) for x in own)
        low, high = (min(finite), max(finite)) if finite else (math.nan, math.nan)
        assert np.array_equal([m.min[slot], m.max[slot]], [low, high], equal_nan=True)
        assert m.sum[slot] == pytest.approx(sum(finite), rel=1e-9, abs=1e-9 * sum(map(abs, finite)), nan_ok=True)

"""The distances of the kept bins are those of scipy, by values that are kept here: a changed rule breaks them."""

from __future__ import annotations

import json

import pytest
from analyzers.pinned_oracle import KEPT, asked, tables

from watchkeeper.analyzers.drift_bins import Bins, Steps
from watchkeeper.analyzers.drift_distance import BinDistance, Distance
from watchkeeper.analyzers.registry import discover

EXPECTED: dict[str, dict[str, float]] = json.loads(KEPT.read_text())
METHODS = {one.metric: one for one in discover().values() if isinstance(one, Distance)}


def test_every_distance_of_the_registry_has_kept_values() -> None:
    assert {*EXPECTED} == {*tables()}
    assert all({*values} == {*METHODS} for values in EXPECTED.values())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", EXPECTED)
def test_it_is_what_is_kept(name: str, method: str) -> None:
    bins = Bins(*tables()[name])
    one = METHODS[method]
    given = bins if isinstance(one, BinDistance) else Steps(tuple(float(at) for at in range(len(bins.now))), bins)
    assert one.distance(given) == pytest.approx(EXPECTED[name][method], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_kept_is_what_scipy_says(name: str) -> None:
    assert asked(*tables()[name]) == pytest.approx(EXPECTED[name], rel=1e-9, abs=1e-12)

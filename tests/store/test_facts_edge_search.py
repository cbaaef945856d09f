from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.store.facts.edge_search import WORTH_IT, bins_of

ANY = st.floats(allow_nan=False, allow_infinity=True)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60), st.lists(ANY, max_size=40))
def test_every_value_is_in_the_bin_of_a_plain_search(edges: list[float], others: list[float]) -> None:
    ascending = np.unique(np.array(edges))
    with np.errstate(over="ignore"):
        near = np.concatenate([ascending, np.nextafter(ascending, np.inf), np.nextafter(ascending, -np.inf), others])
    values = np.resize(near, WORTH_IT + near.size)
    assert (bins_of(ascending, values) == np.searchsorted(ascending, values, side="right")).all()


@pytest.mark.parametrize("shape", ["normal", "lognormal", "integers", "two far points", "one point"])
def test_usual_shapes(shape: str) -> None:
    draw = np.random.default_rng(5)
    values = {
        "normal": draw.normal(size=50_000),
        "lognormal": draw.lognormal(sigma=3.0, size=50_000),
        "integers": draw.integers(0, 40, 50_000).astype(float),
        "two far points": np.where(draw.random(50_000) < 0.5, 1e-300, 1e300),
        "one point": np.full(50_000, 3.0),
    }[shape]
    edges = np.unique(np.quantile(values[:10_000], np.linspace(0, 1, 101)))
    assert (bins_of(edges, values) == np.searchsorted(edges, values, side="right")).all()


def test_no_edges_is_one_bin() -> None:
    assert not bins_of(np.array([]), np.ones(WORTH_IT)).any()

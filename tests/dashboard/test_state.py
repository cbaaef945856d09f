"""Every view is a permalink."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.dashboard import state

KNOWN = {("a", "m1"): "a", ("b", "m1"): "b · m1", ("b", "m2"): "b · m2"}


def test_a_link_leads_back_to_the_model_that_it_was_made_from() -> None:
    for key in KNOWN:
        assert state.model_of(state.parameters(model=key), KNOWN) == key


def test_a_service_alone_means_its_first_model() -> None:
    assert state.model_of({"model": "b"}, KNOWN) == ("b", "m1")
    assert state.model_of({"service": "a"}, KNOWN) == ("a", "m1")
    assert state.model_of({"model": "gone/for-good"}, KNOWN) is None


@given(st.text(max_size=10))
def test_any_window_in_the_address_is_a_window(text: str) -> None:
    assert state.window_of({"window": text}) in {"7d", "28d", "90d", "all"}


def test_only_what_is_not_the_default_stands_in_the_address() -> None:
    assert state.parameters(model=("a", "m1"), window="7d") == {"model": "a/m1"}
    assert state.parameters(model=("a", "m1"), window="all", feature="carrier") == {
        "model": "a/m1", "window": "all", "feature": "carrier",
    }  # fmt: skip

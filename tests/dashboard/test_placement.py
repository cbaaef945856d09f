"""No label covers another, none leaves the plot, and none moves further than it must."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.dashboard.placement import spread

TARGETS = st.lists(st.floats(min_value=-50, max_value=250, allow_nan=False), max_size=20)
GAP, LOW, HIGH = 15.0, 7.5, 172.5
NEAR = 1e-6


@given(targets=TARGETS)
def test_labels_are_apart_inside_and_in_order(targets: list[float]) -> None:
    placed = spread(targets, GAP, LOW, HIGH)
    room = (HIGH - LOW) / (len(targets) - 1) if len(targets) > 1 else GAP
    ordered = sorted(placed)
    assert all(after - before >= min(GAP, room) - NEAR for before, after in pairwise(ordered))
    assert all(LOW - NEAR <= place <= HIGH + NEAR for place in placed)
    by_target = [place for _, place in sorted(zip(targets, placed, strict=True), key=lambda pair: pair)]
    assert by_target == sorted(by_target)


@given(targets=TARGETS)
def test_labels_that_do_not_collide_stay_where_they_are(targets: list[float]) -> None:
    ordered = sorted(targets)
    free = all(after - before >= GAP for before, after in pairwise(ordered))
    if free and all(LOW <= target <= HIGH for target in targets):
        assert all(
            abs(place - target) < NEAR for place, target in zip(spread(targets, GAP, LOW, HIGH), targets, strict=True)
        )


@given(targets=TARGETS, shift=st.floats(min_value=-3, max_value=3))
def test_no_small_move_of_all_labels_is_better(targets: list[float], shift: float) -> None:
    """The moves are least squares: shifting every label that may be shifted cannot lower their sum."""
    placed = spread(targets, GAP, LOW, HIGH)
    moved = [place + shift for place in placed]
    if all(LOW <= place <= HIGH for place in moved):

        def cost(places: list[float]) -> float:
            return sum((place - target) ** 2 for place, target in zip(places, targets, strict=True))

        assert cost(placed) <= cost(moved) + NEAR

"""The split of a change: exact, symmetric, and slow to name a cause."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.store.split import Sums, ranked, split

ROWS, SHARE = st.integers(0, 10_000), st.floats(0, 1)
COUNTS = st.lists(st.tuples(ROWS, SHARE, ROWS, SHARE), min_size=1, max_size=12)


def errors(*pairs: tuple[float, float]) -> Sums:
    return Sums.of_errors([n for n, _ in pairs], [wrong for _, wrong in pairs])


def cut(before: Sums, after: Sums, **more: int):
    names = [str(place) for place in range(before.n.shape[1])]
    found = split("c", names, before, after, **more)
    assert found is not None
    return found


@given(COUNTS)
def test_the_parts_are_the_total(counts: list[tuple[int, float, int, float]]) -> None:
    before = errors(*((n, round(n * share)) for n, share, _, _ in counts))
    after = errors(*((n, round(n * share)) for _, _, n, share in counts))
    if before.n.sum() == 0 or after.n.sum() == 0:
        assert split("c", [str(place) for place in range(len(counts))], before, after) is None
        return
    found = cut(before, after)
    total = after.total.sum() / after.n.sum() - before.total.sum() / before.n.sum()
    assert found.total == pytest.approx(total, abs=1e-12)
    assert found.mix + found.inside == pytest.approx(total, abs=1e-9)
    for one in found.slices:
        for part in (one.mix, one.inside):
            assert part.lower <= part.points <= part.upper
            assert 0 <= part.stands_out <= abs(part.points) + 1e-12


@given(COUNTS)
def test_back_is_the_same_with_the_other_sign(counts: list[tuple[int, float, int, float]]) -> None:
    before = errors(*((n + 1, round(n * share)) for n, share, _, _ in counts))
    after = errors(*((n + 1, round(n * share)) for _, _, n, share in counts))
    there, back = cut(before, after), cut(after, before)
    for one, other in zip(there.slices, back.slices, strict=True):
        assert one.mix.points == pytest.approx(-other.mix.points, abs=1e-12)
        assert one.inside.points == pytest.approx(-other.inside.points, abs=1e-12)


def test_amounts_are_split_as_shares_are() -> None:
    rng = np.random.default_rng(4)
    before = [rng.gamma(2, 1000, 400), rng.gamma(2, 500, 600)]
    after = [rng.gamma(2, 1000, 500), rng.gamma(2, 800, 500)]
    sums = [
        Sums(*(np.array([[part(rows) for rows in window]]) for part in (len, np.sum, lambda r: np.sum(r * r))))
        for window in (before, after)
    ]
    found = cut(*sums)
    assert found.total == pytest.approx(np.concatenate(after).mean() - np.concatenate(before).mean(), abs=1e-9)
    assert found.mix + found.inside == pytest.approx(found.total, abs=1e-9)
    assert ranked([found])[0][1].value == "1"
    assert ranked([found])[0][1].cause == "inside"


def test_a_value_that_only_one_window_has_is_mix() -> None:
    found = cut(errors((1000, 100), (0, 0)), errors((800, 80), (200, 100)))
    new = found.slices[1]
    assert (new.inside.points, new.reference_rate, new.rate) == (0, None, 0.5)
    assert new.cause == "mix"
    assert found.mix == pytest.approx(found.total)


def test_all_worse_alike_names_nobody_not_even_the_largest() -> None:
    found = cut(errors((9400, 940), (600, 60)), errors((9400, 1880), (600, 120)))
    assert found.slices[0].inside.points == pytest.approx(0.094)
    assert [one.cause for one in found.slices] == [None, None]


def test_days_that_differ_widen_the_intervals() -> None:
    steady = [[100.0, 100.0]] * 8
    rates = np.array([0.1, 0.3, 0.1, 0.3, 0.1, 0.3, 0.1, 0.3])
    n = np.array(steady)
    even, moody = np.full((8, 2), 20.0), np.column_stack([rates * 100, np.full(8, 20.0)])
    calm = cut(Sums(n, even, even), Sums(n, even, even))
    wild = cut(Sums(n, moody, moody), Sums(n, moody, moody))
    width = [one.slices[0].inside.upper - one.slices[0].inside.lower for one in (calm, wild)]
    assert width[1] > 1.3 * width[0]


def test_the_more_compete_the_less_stands_out() -> None:
    before, after = errors((900, 90), (100, 10)), errors((900, 90), (100, 35))
    few, many = cut(before, after), cut(before, after, ranked=1000)
    assert 0 < many.slices[1].stands_out < few.slices[1].stands_out


def test_none_of_a_few_wrong_is_no_certainty() -> None:
    found = cut(errors((15, 0), (985, 100)), errors((15, 0), (985, 100)))
    assert found.slices[0].inside.upper > 0 > found.slices[0].inside.lower

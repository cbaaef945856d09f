from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.analyzers.intervals import Count, day_shares, day_wilson, wilson

counts = st.integers(1, 5000).flatmap(lambda rows: st.integers(0, rows).map(lambda affected: Count(affected, rows)))


@given(counts)
def test_the_interval_holds_the_share_and_stays_between_0_and_1(count: Count) -> None:
    lower, upper = wilson(count.affected, count.rows)
    assert 0 <= lower <= count.share + 1e-12
    assert count.share - 1e-12 <= upper <= 1


@given(counts, st.floats(0, 0.9))
def test_rows_that_are_alike_make_the_interval_wider(count: Count, likeness: float) -> None:
    plain, wide = wilson(count.affected, count.rows), day_wilson(count, likeness)
    assert wide[1] - wide[0] >= plain[1] - plain[0] - 1e-12


@given(st.lists(counts, max_size=30))
def test_days_are_summed_up_within_bounds(days: list[Count]) -> None:
    found = day_shares(days)
    assert 0 <= found.mean <= found.worst + 1e-12 <= 1 + 1e-12
    assert 0 <= found.likeness < 1
    assert found.days == len(days)


def test_bursts_make_rows_of_a_day_alike() -> None:
    even = day_shares([Count(10, 1000)] * 28)
    bursts = day_shares([Count(280 * (day == 3), 1000) for day in range(28)])
    assert even.mean == bursts.mean
    assert (even.likeness, bursts.likeness > 0.2) == (0.0, True)


def test_no_rows_is_no_knowledge() -> None:
    assert wilson(0, 0) == (0.0, 1.0)

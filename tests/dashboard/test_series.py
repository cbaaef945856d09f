"""From rows to lines and bars: nothing is lost, nothing is invented."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.dashboard import rows, series

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SPAN = (NOW - 7 * DAY, NOW)


def reading(subject: str, value: float | None, end: datetime = NOW, **rest: object) -> rows.Reading:
    return rows.Reading(metric="psi", service="s", model="m", subject=subject, window_end=end, value=value, **rest)


@given(
    st.lists(st.tuples(st.floats(0.01, 50), st.integers(0, 500), st.integers(0, 500)), min_size=31, max_size=99),
    st.floats(-1000, 1000),
)
def test_bars_of_a_number_keep_all_but_the_outermost_rows(steps: list[tuple[float, int, int]], start: float) -> None:
    bins, lower = [], start
    for place, (width, n, reference) in enumerate(steps, start=1):
        bins.append(
            rows.Bin(
                feature="x", kind="numeric", bin=place, lower=lower, upper=lower + width, n=n, reference_n=reference
            )
        )
        lower += width
    bars, numeric = series.bars(bins)
    assert numeric
    assert len(bars) == series.BARS
    for total, drawn in (
        (sum(n for _, n, _ in steps), sum(bar.now for bar in bars)),
        (sum(n for _, _, n in steps), sum(bar.reference for bar in bars)),
    ):
        if total:
            assert 1 - 2 * series.TAIL - 1e-6 <= drawn <= 1 + 1e-6
    assert all(bar.now >= 0 and bar.reference >= 0 for bar in bars)


def test_a_far_value_does_not_flatten_a_histogram() -> None:
    bins = [
        rows.Bin(feature="x", kind="numeric", bin=n, lower=n, upper=n + 1, n=10, reference_n=100) for n in range(1, 99)
    ]
    bins.append(rows.Bin(feature="x", kind="numeric", bin=99, lower=99, upper=1e6, n=10, reference_n=100))
    bars, _ = series.bars(bins)
    assert bars[-1].upper <= 99


def test_few_distinct_numbers_are_drawn_as_they_are() -> None:
    bins = [
        rows.Bin(feature="x", kind="numeric", bin=n, lower=n - 0.5, upper=n + 0.5, n=n, reference_n=1)
        for n in range(1, 8)
    ]
    bars, _ = series.bars(bins)
    assert [bar.now for bar in bars] == pytest.approx([n / 28 for n in range(1, 8)])


def test_new_values_come_first_by_name_and_small_ones_together() -> None:
    bins = [
        rows.Bin(feature="c", kind="category", bin=n, label=f"v{n}", n=10 - n, reference_n=100 - n) for n in range(10)
    ]
    bins.append(
        rows.Bin(feature="c", kind="category", bin=series.UNSEEN, label="never seen before", n=20, reference_n=0)
    )
    bars, numeric = series.bars(bins, [rows.Unseen(feature="c", value="JBU", n=15)])
    assert not numeric
    assert [bar.label for bar in bars] == ["JBU (new)", "other new", "v0", "v1", "v2", "7 others"]
    assert [bar.unseen for bar in bars] == [True, True, False, False, False, False]
    assert sum(bar.now for bar in bars) == pytest.approx(1)


def test_new_values_without_names_still_show() -> None:
    bins = [
        rows.Bin(feature="c", kind="category", bin=0, label="a", n=5, reference_n=5),
        rows.Bin(feature="c", kind="category", bin=series.UNSEEN, label="never seen before", n=5, reference_n=0),
    ]
    assert series.bars(bins)[0][0].label == "new values"
    named = series.bars(bins, [rows.Unseen(feature="c", value="JBU")])[0]
    assert [(bar.label, bar.now) for bar in named] == [("JBU … (new)", 0.5), ("a", 0.5)]


def test_an_empty_histogram_has_no_bars() -> None:
    assert series.bars([]) == ([], False)
    assert series.bars([rows.Bin(feature="x", kind="numeric", bin=-1, n=4)]) == ([], True)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=400), st.integers(1, 60))
def test_sparklines_are_short_and_within_the_values(values: list[float | None], most: int) -> None:
    thin = series.thinned(values, most)
    known = [value for value in values if value is not None]
    assert len(thin) <= most
    assert bool(thin) == bool(known)
    if known:
        assert min(known) * 0.999 <= min(thin)
        assert max(thin) <= max(known) * 1.001 + 1e-9


def test_the_feature_that_moved_most_speaks_for_its_model() -> None:
    found = series.top_drift([reading("a", 0.1), reading("b", 0.4), reading("c", None), reading("a", 0.2, NOW - DAY)])
    assert [(one.subject, one.value) for one in found["s", "m"]] == [("a", 0.2), ("b", 0.4)]


def test_a_night_does_not_break_a_line_but_a_lost_day_does() -> None:
    night = series.line([(NOW - 10 * HOUR, 1.0), (NOW - 2 * HOUR, 2.0)], HOUR, NOW)
    lost = series.line([(NOW - 40 * HOUR, 1.0), (NOW - 2 * HOUR, 2.0)], HOUR, NOW)
    assert [value for _, value in night] == [1.0, 2.0]
    assert [value for _, value in lost] == [1.0, None, 2.0]


def test_a_bucket_that_has_just_begun_is_not_drawn() -> None:
    traffic = [rows.Traffic(bucket=at, service="s", model="m", requests=1.0) for at in (NOW - 6 * HOUR, NOW - HOUR)]
    assert len(series.traffic_line(traffic, lambda row: row.requests, 6 * HOUR, SPAN)) == 1


def test_the_rate_of_a_running_bucket_counts_the_time_it_has_had() -> None:
    row = rows.Traffic(bucket=NOW - 3 * HOUR, service="s", model="m", requests=30.0)
    assert series.rate_per_hour(row, 6 * HOUR, NOW) == pytest.approx(10)
    assert series.rate_per_hour(row, HOUR, NOW) == pytest.approx(30)


def week(days_ago: int, state: str, wrong: float | None, estimated: float | None = None) -> rows.QualityState:
    return rows.QualityState(window_end=NOW - days_ago * DAY, state=state, wrong_share=wrong, estimated=estimated)


def test_the_states_of_the_error_rate_are_drawn_apart_and_joined_at_the_last_final_point() -> None:
    weeks = [
        *(week(days, "final", 0.2, 0.21) for days in (6, 5, 4)),
        *(week(days, "partial", 0.3, 0.22) for days in (3, 2)),
        week(1, "estimated", 0.23, 0.23),
        week(0, "waiting", None),
    ]
    found = series.quality(list(reversed(weeks)))
    assert [value for _, value in found.final] == [0.2, 0.2, 0.2]
    assert [value for _, value in found.partial] == [0.2, 0.3, 0.3]
    assert [value for _, value in found.estimated] == [0.21, 0.22, 0.22, 0.23]
    assert found.partial[0] == found.final[-1]


def test_no_outcome_no_rate() -> None:
    assert series.quality([week(2, "waiting", None), week(1, "waiting", None)]) == series.Quality((), (), ())


def test_the_delay_of_all_is_said_where_no_source_is_named() -> None:
    curve = [rows.LabelDelay(days=days, share=share) for days, share in ((1, 0.5), (2, 1.0))]
    assert series.delay_words(curve) == ("Outcomes: half within 1 day, nine of ten within 2.",)
    assert series.delay_words([]) == ()


def test_the_strictest_latency_objective_counts() -> None:
    def objective(name: str, ms: float | None, model: str | None = None) -> rows.Objective:
        return rows.Objective(
            name=name, service="s", sli=rows.Sli(measure="latency", max_ms=ms, model=model), target=0.9, days=28
        )

    objectives = [objective("a", 900), objective("b", 300), objective("c", 100, "other"), objective("d", None)]
    assert series.latency_limit(objectives, ("s", "m")) == 300
    assert series.latency_limit(objectives, ("s", "other")) == 100
    assert series.latency_limit(objectives, ("t", "m")) is None

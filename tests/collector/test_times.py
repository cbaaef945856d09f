"""A time is seconds, ms, µs or ns since 1970, or ISO 8601 text; nothing else passes for one."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from watchkeeper.collector import times

MANY = settings(max_examples=300, deadline=None, derandomize=True, database=None)
MOMENT = datetime(2026, 1, 5, 8, 0, 0, 123456, UTC)
STAMP = MOMENT.timestamp()


def read(value: float | str) -> datetime:
    assert times.problem(value) is None
    return times.series("ts", [value]).item().replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        STAMP,
        STAMP * 1e3,
        STAMP * 1e6,
        round(STAMP * 1e6),
        round(STAMP * 1e6) * 1000,
        "2026-01-05T08:00:00.123456Z",
        "2026-01-05T08:00:00.123456+00:00",
        "2026-01-05T13:45:00.123456+05:45",
        "2026-01-04T23:00:00.123456-09:00",
        "2026-01-05T08:00:00.123456",
        "2026-01-05 08:00:00.123456",
        "20260105T080000.123456Z",
    ],
)
def test_one_moment_in_many_writings(written: float | str) -> None:
    assert read(written) == MOMENT


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-01-05t08:00:00z", datetime(2026, 1, 5, 8, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, 999999, UTC)),
        ("2016-12-31T23:59:60.5+00:00", datetime(2016, 12, 31, 23, 59, 59, 999999, UTC)),
        ("2017-01-01T05:29:60+05:30", datetime(2016, 12, 31, 23, 59, 59, 999999, UTC)),
    ],
)
def test_small_letters_and_leap_seconds_are_times_as_rfc_3339_has_them(written: str, meant: datetime) -> None:
    assert read(written) == meant


def test_a_time_without_a_zone_is_utc_wherever_the_server_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        assert read("2026-01-05T08:00:00.123456") == MOMENT
        assert read(STAMP) == MOMENT
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_without_a_zone_is_utc_and_a_day_begins_at_midnight() -> None:
    assert read("2026-01-05T08:00:00") == datetime(2026, 1, 5, 8, tzinfo=UTC)
    assert read("2026-01-05") == datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        *(0, 1, -1, 99_999_999, 7.3e9, 7.3e12, 7.3e15, 7.3e18, 1e20, 1e300, 10**400, -(10**400)),
        *(-STAMP, -STAMP * 1e3, -STAMP * 1e6, -STAMP * 1e9, math.inf, -math.inf, math.nan),
        *("1767600000", "1767600000.5", "1767600000123", "1e9", "inf", "nan", "", " ", "yesterday", "now"),
        *("2026-13-01", "2026-01-05T25:00:00Z", "2026-01-05T08:00:00+99:00", "1969-12-31T23:59:59Z", "1973-01-01"),
        *(
            "2300-01-01T00:00:00Z",
            "9999-12-31T23:59:59-23:59",
            "0001-01-01T00:00:00+23:59",
            "2026-01-05\0",
            "2026-01-05T08:00:60Z",
            "2026-01-05T08:60:00Z",
            "２０２６-01-05",
        ),
    ],
)
def test_what_is_no_time_is_named_so_alone_and_among_good_ones(value: float | str) -> None:
    said = times.problem(value)
    assert said is not None
    assert len(said) < 200
    for values in ([value], [STAMP, value, STAMP], [STAMP] * 50 + [value], ["2026-01-05", value]):
        assert not times.plausible(values)


def test_what_was_not_sent_is_no_problem() -> None:
    assert times.problem(None) is None
    assert times.series("ts", [None, STAMP]).to_list() == [None, MOMENT.replace(tzinfo=None)]


@MANY
@given(st.lists(st.integers() | st.floats() | st.text(max_size=12), min_size=1, max_size=5))
@example(["1767600000"])
@example([10**400])
@example([-1767600000])
def test_the_quick_look_passes_nothing_that_the_slow_one_stops(values: list[float | str]) -> None:
    """The quick look decides whether rows are looked at one by one; what it passes is stored as it is."""
    if times.plausible(values):
        assert [times.problem(value) for value in values] == [None] * len(values)
        assert times.series("ts", values).null_count() == 0


@MANY
@given(
    st.datetimes(datetime(1973, 6, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - the zone is drawn beside it
    st.integers(-840, 840),
    st.sampled_from([1, 10**3, 10**6]),
)
def test_every_time_of_this_century_comes_back_to_the_microsecond(naive: datetime, minutes: int, unit: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert read(moment.isoformat()) == moment
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert read(micros) == moment
    assert abs(read(micros * 1000) - moment) <= timedelta(microseconds=1)
    assert read(micros // (10**6 // unit)) == datetime.fromtimestamp(0, UTC) + timedelta(
        microseconds=micros // (10**6 // unit) * (10**6 // unit)
    )


def test_texts_and_numbers_may_be_mixed() -> None:
    values = [STAMP, "2026-01-05T08:00:00.123456Z", None, round(STAMP * 1e9)]
    assert times.plausible([value for value in values if value is not None])
    naive = MOMENT.replace(tzinfo=None)
    assert times.series("ts", values).dt.truncate("1ms").to_list() == [
        None if value is None else naive.replace(microsecond=123000) for value in values
    ]

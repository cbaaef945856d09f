"""Time intervals: ranges as Alertmanager reads them, in their own zone, over both changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from watchkeeper.alerts.routing.intervals import contains, problems
from watchkeeper.schemas.declared import TimeInterval, parse


def interval(*entries: dict[str, Any]) -> TimeInterval:
    spec = {"time_intervals": list(entries)}
    _, declared = parse(
        {"apiVersion": "watchkeeper/v1", "kind": "TimeInterval", "metadata": {"name": "x"}, "spec": spec}, "x"
    )
    assert isinstance(declared, TimeInterval)
    return declared


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NINE = {"times": [{"start_time": "09:00", "end_time": "10:00"}], "location": "Europe/Oslo"}
NIGHT = {"times": [{"start_time": "02:00", "end_time": "03:00"}], "location": "Europe/Oslo"}


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-03-28T08:00", True),  # winter: 09:00 is 08:00 UTC
        ("2026-03-28T07:59", False),
        ("2026-03-29T07:00", True),  # summer time since this night
        ("2026-03-29T08:00", False),
        ("2026-10-24T07:30", True),
        ("2026-10-25T07:30", False),
        ("2026-10-25T08:30", True),
    ],
)
def test_nine_stays_nine_over_a_change_of_the_clock(moment: str, inside: bool) -> None:
    assert contains(interval(NINE), at(moment)) is inside


def test_an_hour_that_is_left_out_is_never_met_and_one_that_comes_twice_is_met_twice() -> None:
    def hours(day: str) -> list[int]:
        return [hour for hour in range(5) if contains(interval(NIGHT), at(f"{day}T{hour:02}:30"))]

    assert hours("2026-03-29") == []
    assert hours("2026-10-25") == [0, 1]


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ({"weekdays": ["monday:friday"]}, "2026-06-05T12:00", "2026-06-06T12:00"),
        ({"weekdays": ["Sunday"]}, "2026-06-07T12:00", "2026-06-08T12:00"),
        ({"days_of_month": ["-3:-1"]}, "2026-02-26T12:00", "2026-02-25T12:00"),
        ({"days_of_month": ["1:5", "20"]}, "2026-02-20T12:00", "2026-02-19T12:00"),
        ({"months": ["june:august"]}, "2026-08-31T12:00", "2026-09-01T12:00"),
        ({"months": ["12"]}, "2026-12-01T12:00", "2026-11-01T12:00"),
        ({"years": ["2026:2027"]}, "2027-12-31T12:00", "2028-01-01T12:00"),
        ({"times": [{"start_time": "22:00", "end_time": "24:00"}]}, "2026-01-01T23:59", "2026-01-01T00:00"),
        ({"weekdays": ["monday"], "months": ["may"]}, "2026-05-04T12:00", "2026-06-01T12:00"),
    ],
)
def test_every_field_that_is_given_must_be_met(entry: dict[str, Any], inside: str, outside: str) -> None:
    assert contains(interval(entry), at(inside))
    assert not contains(interval(entry), at(outside))
    assert contains(interval({"years": ["1999"]}, entry), at(inside)), "one entry is enough"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"location": "Oslo"}, "time zone"),
        ({"weekdays": ["funday"]}, "'funday'"),
        ({"weekdays": ["friday:monday"]}, "ends before it begins"),
        ({"days_of_month": ["0"]}, "day '0'"),
        ({"months": ["13"]}, "'13'"),
        ({"times": [{"start_time": "9", "end_time": "10:00"}]}, "is not like 09:30"),
        ({"years": ["soon"]}, "year 'soon'"),
    ],
)
def test_what_cannot_be_read_is_said(entry: dict[str, Any], said: str) -> None:
    (problem,) = problems(interval(entry))
    assert said in problem

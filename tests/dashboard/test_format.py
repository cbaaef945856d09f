"""How numbers are written: what a reader or Streamlit would misread must not happen."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.dashboard import format as fmt

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
FINITE = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False)


@given(change=st.floats(min_value=-50, max_value=50, allow_nan=False))
def test_a_fall_in_points_begins_with_an_ascii_minus(change: float) -> None:
    words = fmt.points(change)
    assert "−" not in words
    assert words.startswith("-") == (round(change * 100, 0 if abs(change) >= 0.02 else 1) < 0)


@given(new=FINITE, old=FINITE)
def test_a_relative_fall_begins_with_an_ascii_minus(new: float, old: float) -> None:
    words = fmt.relative(new, old)
    if words is None:
        assert old == 0
    else:
        assert "−" not in words
        assert words[0] in "+-0"
        assert (words[0] == "-") <= (new < old)


@given(value=FINITE)
def test_numbers_have_no_exponent_and_keep_their_sign(value: float) -> None:
    words = fmt.number(value)
    assert "e" not in words
    assert words.startswith("-") <= (value < 0)


@given(share=st.floats(min_value=0, max_value=1, exclude_max=True, allow_nan=False))
def test_completeness_is_100_percent_only_if_nothing_is_missing(share: float) -> None:
    assert not fmt.completeness(share).startswith("100")
    assert fmt.completeness(1.0).startswith("100")


@given(text=st.text(max_size=60))
def test_foreign_text_carries_no_markdown(text: str) -> None:
    escaped = fmt.literal(text)
    bare = re.sub(r"\\(.)", "", escaped)
    assert not re.search(r"[\[\]$:`*_<#|~]", bare)
    assert "\n" not in escaped


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (fmt.percent(0.0), f"0{fmt.THIN}%"),
        (fmt.percent(0.0004), f"0.04{fmt.THIN}%"),
        (fmt.percent(1.534), f"153{fmt.THIN}%"),
        (fmt.milliseconds(None), fmt.UNKNOWN),
        (fmt.milliseconds(9.87), f"9.9{fmt.THIN}ms"),
        (fmt.money(0), "$0.00"),
        (fmt.money(1234567, "EUR"), f"€1{fmt.THIN}234{fmt.THIN}567"),
        (fmt.number(1_234_567), f"1.23{fmt.THIN}M"),
        (fmt.number(0.00001234), "0.0000123"),
        (fmt.number(-42.123), "-42.1"),
        (fmt.points(0.0), f"0{fmt.THIN}pt"),
        (fmt.plural(0, "incident"), "0 incidents"),
        (fmt.duration(timedelta(0)), f"0{fmt.THIN}s"),
        (fmt.duration(timedelta(hours=3)), f"3{fmt.THIN}h"),
        (fmt.days(datetime(2025, 12, 30, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)), "30 Dec 2025 to 6 Jan 2026"),
    ],
)
def test_units(words: str, expected: str) -> None:
    assert words == expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (NOW, "09:00"),
        (NOW.replace(hour=0), "00:00"),
        (NOW - timedelta(days=1), "Fri 09:00"),
        (NOW - timedelta(days=7), "14 Nov 09:00"),
        (NOW - timedelta(days=400), "17 Oct 2025 09:00"),
        (NOW + timedelta(days=1), "22 Nov 09:00"),
    ],
)
def test_a_moment_is_as_short_as_it_stays_clear(moment: datetime, expected: str) -> None:
    assert fmt.clock(moment, NOW) == expected


def test_times_are_utc_whatever_the_zone_they_came_in() -> None:
    berlin = datetime.fromisoformat("2026-11-21T09:30:00+01:00")
    assert fmt.clock(berlin, NOW) == "08:30"
    assert fmt.epoch_ms(berlin) == fmt.epoch_ms(NOW) - 30 * 60_000

"""One holder at a time, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from watchkeeper.store.control import leases
from watchkeeper.store.control.connection import Control

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def take(control: Control, holder: str, now: datetime) -> int | None:
    with control.transaction() as tx:
        return leases.take(tx, "schedule", holder, now, MINUTE)


def test_one_holds_it_until_it_runs_out_or_lets_go(either_control: Control) -> None:
    assert take(either_control, "a", NOW)
    assert not take(either_control, "b", NOW + MINUTE / 2)
    assert take(either_control, "a", NOW + MINUTE / 2)
    assert not take(either_control, "b", NOW + MINUTE)
    assert take(either_control, "b", NOW + 2 * MINUTE)
    with either_control.snapshot() as tx:
        assert leases.holder_of(tx, "schedule", NOW + 2 * MINUTE) == "b"
    with either_control.transaction() as tx:
        leases.release(tx, "schedule", "a", NOW)
        leases.release(tx, "schedule", "b", NOW + 2 * MINUTE)
    assert take(either_control, "a", NOW + 2 * MINUTE)


def test_one_whose_clock_was_ahead_and_is_gone_holds_up_nobody(either_control: Control) -> None:
    take(either_control, "a", NOW + 60 * MINUTE)
    assert take(either_control, "b", NOW)


def test_clocks_that_differ_by_minutes_do_not_take_it_from_each_other(either_control: Control) -> None:
    assert take(either_control, "a", NOW + 4 * MINUTE) == 1
    assert take(either_control, "b", NOW) is None
    assert take(either_control, "a", NOW + 4 * MINUTE) == 1


def test_who_had_it_before_another_one_learns_that_from_the_term(either_control: Control) -> None:
    assert take(either_control, "a", NOW) == take(either_control, "a", NOW + 2 * MINUTE) == 1
    assert take(either_control, "b", NOW + 4 * MINUTE) == 2
    assert take(either_control, "a", NOW + 6 * MINUTE) == 3
    with pytest.raises(leases.LeaseLost), either_control.transaction() as tx:
        leases.renew(tx, "schedule", "a", 1, NOW + 6 * MINUTE, MINUTE)


def test_who_has_lost_it_stores_nothing(either_control: Control) -> None:
    take(either_control, "a", NOW)
    take(either_control, "b", NOW + 2 * MINUTE)
    with pytest.raises(leases.LeaseLost, match="a does not hold it any more"), either_control.transaction() as tx:
        leases.renew(tx, "schedule", "a", 1, NOW, MINUTE)
    with either_control.transaction() as tx:
        leases.renew(tx, "schedule", "b", 2, NOW + 2 * MINUTE, MINUTE)

"""Planned work: kept with author and reason, ended early, found by what it touches."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from watchkeeper.schemas.errors import InputError, NotFound
from watchkeeper.schemas.matchers import Matcher, read_matchers
from watchkeeper.store.control import audit, maintenance
from watchkeeper.store.control.connection import Control, open_control

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    opened = open_control(f"sqlite:///{tmp_path / 'control.db'}")
    yield opened
    opened.close()


def added(control: Control, written: str, start: datetime = NOON, end: datetime = NOON + HOUR) -> str:
    with control.transaction() as tx:
        return maintenance.add(tx, read_matchers([written]), start, end, "ada", "new disks", NOON).id


def found(control: Control, service: str, model: str | None = None, start: datetime = NOON) -> list[str]:
    with control.snapshot() as tx:
        return [one.id for one in maintenance.overlapping(tx, service, model, start, start + timedelta(minutes=10))]


def test_a_window_is_found_by_the_service_and_the_model_that_it_is_on(control: Control) -> None:
    whole = added(control, 'service="delays"')
    one_model = added(control, 'service=~"delays|chat", model="arrival"')
    added(control, 'service="delays", site="oslo"')
    assert set(found(control, "delays", "arrival")) == {whole, one_model}
    assert found(control, "delays") == [whole]
    assert found(control, "chat", "arrival") == [one_model]
    assert found(control, "other", "arrival") == []


def test_a_window_is_half_open(control: Control) -> None:
    window = added(control, 'service="delays"')
    assert found(control, "delays", start=NOON - timedelta(minutes=9)) == [window]
    assert found(control, "delays", start=NOON - timedelta(minutes=10)) == []
    assert found(control, "delays", start=NOON + HOUR) == []


def test_a_window_that_is_ended_early_ends_then_and_the_audit_log_says_so(control: Control) -> None:
    window, later = added(control, 'service="delays"'), NOON + timedelta(minutes=5)
    with control.transaction() as tx:
        maintenance.end(tx, window, later, "bob")
        again = maintenance.end(tx, window, later + HOUR, "bob")
        said = [(entry.actor, entry.action, entry.subject) for entry in audit.entries(tx)]
    assert again.ends_at == later
    assert said == [("bob", "maintenance.ended", window), ("ada", "maintenance.added", window)]
    assert found(control, "delays", start=later) == []


def test_a_window_that_never_began_touches_nothing(control: Control) -> None:
    window = added(control, 'service="delays"', NOON + HOUR, NOON + 2 * HOUR)
    with control.transaction() as tx:
        maintenance.end(tx, window, NOON, "bob")
    assert found(control, "delays", start=NOON + HOUR) == []


def test_what_cannot_be_a_window_is_refused(control: Control) -> None:
    with pytest.raises(InputError, match="cannot end"):
        added(control, 'service="delays"', NOON, NOON)
    with control.transaction() as tx, pytest.raises(InputError, match="a reason"):
        maintenance.add(tx, (Matcher("service", "x"),), NOON, NOON + HOUR, "ada", " ", NOON)
    with control.transaction() as tx, pytest.raises(NotFound):
        maintenance.end(tx, "none", NOON, "ada")


@pytest.mark.parametrize("written", ["service", "service=~(", 'service="a" model="b"', '=""'])
def test_what_is_no_matcher_is_refused(written: str) -> None:
    with pytest.raises(InputError):
        read_matchers([written])


def test_matchers_are_read_as_they_are_written() -> None:
    written = r'a="b, \"c\"\n", d!="", e=~"x.*", f!~y'
    read = read_matchers([written])
    assert [(one.name, one.value, one.regex, one.equal) for one in read] == [
        ("a", 'b, "c"\n', False, True),
        ("d", "", False, False),
        ("e", "x.*", True, True),
        ("f", "y", True, False),
    ]
    assert read_matchers([str(one) for one in read]) == read

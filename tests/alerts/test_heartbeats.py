"""The sign of life: it goes out while everything moves, and stays away when anything stands still."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alerts.declaring import declare, receiver
from alerts.samples import day
from alerts.sink import Answer, Sink, sink

from watchkeeper.alerts.delivery.heartbeats import Heartbeats, check_heartbeats
from watchkeeper.app.rooms import Rooms, open_stores
from watchkeeper.schemas.declared import Declarations, Heartbeat
from watchkeeper.schemas.settings import load
from watchkeeper.store.control.connection import Control

SECOND = timedelta(seconds=1)


def moving(_longest: timedelta) -> str | None:
    return None


@pytest.fixture
def hook() -> Iterator[Sink]:
    with sink() as running:
        yield running


def declared(control: Control, hook: Sink, type_: str = "webhook", **settings: object) -> None:
    declare(
        control,
        receiver("watcher", type_, url=hook.url, settings=settings),
        Heartbeat(name="chain", receiver="watcher"),
    )


def test_every_so_often_and_to_every_member(control: Control, hook: Sink) -> None:
    with sink() as other:
        declare(
            control,
            receiver("pair", "alertmanager", urls=[hook.url, other.url]),
            Heartbeat(name="chain", receiver="pair"),
        )
        beats = Heartbeats(control, moving)
        for second in range(0, 181, 2):
            beats.run_once(day(0) + second * SECOND)
        assert (len(hook.received), len(other.received)) == (4, 4)
    (alert,) = hook.received[0].body
    assert alert["labels"] == {"alertname": "Watchdog", "heartbeat": "chain", "severity": "none"}  # type: ignore[index, call-overload]
    assert alert["endsAt"] == "2026-03-01T10:04:00Z"  # type: ignore[index, call-overload]


def test_it_stays_away_while_something_stands_still(
    control: Control, hook: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    declared(control, hook)
    reasons: list[str | None] = [None]
    asked: list[timedelta] = []

    def stuck(longest: timedelta) -> str | None:
        asked.append(longest)
        return reasons[0]

    beats = Heartbeats(control, stuck)
    assert beats.run_once(day(0)) == 1
    reasons[0] = "the loader is behind"
    for minute in range(1, 30):
        assert beats.run_once(day(0) + minute * 60 * SECOND) == 0
    assert len(hook.received) == 1
    assert caplog.text.count("heartbeat chain is withheld: the loader is behind") == 1, "said once"
    reasons[0] = None
    assert beats.run_once(day(0) + 1800 * SECOND) == 1
    assert set(asked) == {timedelta(minutes=10)}


def test_one_that_does_not_arrive_is_sent_again_soon(control: Control, hook: Sink) -> None:
    declared(control, hook)
    hook.answers = [Answer(500)]
    beats = Heartbeats(control, moving)
    assert beats.run_once(day(0)) == 0
    assert beats.run_once(day(0) + 10 * SECOND) == 1


def test_a_clock_that_goes_back_does_not_silence_it(control: Control, hook: Sink) -> None:
    declared(control, hook)
    beats = Heartbeats(control, moving)
    assert beats.run_once(day(2)) == 1
    assert beats.run_once(day(0)) == 1


def test_some_watchers_want_a_get(control: Control, hook: Sink) -> None:
    declared(control, hook, heartbeatMethod="GET")
    assert Heartbeats(control, moving).run_once(day(0)) == 1
    assert (hook.received[0].method, hook.received[0].body) == ("GET", {})


def test_what_cannot_go_out_is_refused_when_declared() -> None:
    wrong = Declarations(
        receivers=(receiver("log", "log"),),
        heartbeats=(
            Heartbeat(name="a", receiver="nobody"),
            Heartbeat(name="b", receiver="log"),
            Heartbeat(name="c", receiver="log", every="soon"),
        ),
    )
    assert [problem.split(":")[0] for problem in check_heartbeats(wrong)] == [
        f"Heartbeat {n}" for n in ("a", "b", "c", "c")
    ]


def test_the_server_says_what_stands_still(tmp_path: Path) -> None:
    """Real rooms: the loader that is not running, then the analyzers that have not come to an end."""
    settings, _ = load(None, {"WATCHKEEPER_SERVER_DATA_DIR": str(tmp_path / "data")})
    rooms = Rooms(settings, open_stores(settings))
    assert rooms.stuck(timedelta(minutes=10)) == "the loader has stopped"
    rooms.start()
    try:
        assert rooms.stuck(timedelta(minutes=10)) is None
        rooms._clockwork.stop()
        rooms._evaluated_at = time.monotonic() - 3600
        assert str(rooms.stuck(timedelta(minutes=10))).startswith("the analyzers have not come to an end for 36")
    finally:
        rooms.stop()

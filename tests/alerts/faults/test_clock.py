"""The clock of the server jumps by an hour, ahead and back: nothing is lost, told twice, or frozen for an hour."""

from __future__ import annotations

from datetime import timedelta

import pytest
from alerts.declaring import declare, receiver, stored
from alerts.faults.played import HOUR, SECOND, Server, told
from alerts.samples import LINKS, START, finding
from alerts.sink import Answer, Sink

from watchkeeper.alerts.delivery.heartbeats import Heartbeats
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.schemas.declared import Heartbeat
from watchkeeper.schemas.findings import Severity
from watchkeeper.schemas.matchers import read_matchers
from watchkeeper.store.control import silences
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Sending


@pytest.fixture
def server(control: Control, hook: Sink) -> Server:
    return Server(control, hook)


FIRING = ("team", "shop", "firing")


@pytest.mark.parametrize("restarted", [False, True])
def test_a_page_that_waits_for_its_group_is_not_put_off_by_an_hour(
    server: Server, hook: Sink, *, restarted: bool
) -> None:
    server.wrong = HOUR
    server.post("shop")
    server.pass_time(10)
    server.jump(-HOUR, restarted=restarted)
    server.pass_time(30)
    assert told(hook) == [FIRING]


@pytest.mark.parametrize("restarted", [False, True])
def test_what_ends_after_a_step_back_is_over(server: Server, hook: Sink, *, restarted: bool) -> None:
    server.wrong = HOUR
    server.post("shop")
    server.pass_time(60)
    server.jump(-HOUR, restarted=restarted)
    server.post("shop", ends=timedelta(0))
    server.pass_time(700)
    assert told(hook) == [FIRING, ("team", "shop", "resolved")]


@pytest.mark.parametrize("restarted", [False, True])
def test_what_begins_again_after_a_step_back_is_told(server: Server, hook: Sink, *, restarted: bool) -> None:
    server.wrong = HOUR
    server.post("shop")
    server.pass_time(60)
    server.post("shop", ends=timedelta(0))
    server.pass_time(700)
    server.jump(-HOUR, restarted=restarted)
    server.post("shop")
    server.pass_time(60)
    assert told(hook) == [FIRING, ("team", "shop", "resolved"), FIRING]


@pytest.mark.parametrize("restarted", [False, True])
def test_what_an_analyzer_finds_after_a_step_back_is_told(server: Server, hook: Sink, *, restarted: bool) -> None:
    """A ticket became known while the clock was an hour ahead; what is found now is older than that, by the clock."""

    def found(**more: object) -> None:
        record(server.control, [finding(at=server.now, **more)], server.declared, server.now, LINKS, waits=True)  # type: ignore[arg-type]

    server.wrong = HOUR
    found()
    server.pass_time(60)
    server.jump(-HOUR, restarted=restarted)
    server.pass_time(5)
    found(severity=Severity.PAGE)
    server.pass_time(60)
    assert [one.body["commonLabels"]["severity"] for one in hook.received] == ["ticket", "page"]  # type: ignore[index, call-overload]


@pytest.mark.parametrize("restarted", [False, True])
def test_escalation_comes_in_time(server: Server, hook: Sink, *, restarted: bool) -> None:
    server.wrong = HOUR
    server.post("shop")
    server.pass_time(60)
    server.jump(-HOUR, restarted=restarted)
    server.pass_time(16 * 60)
    assert told(hook) == [FIRING, ("boss", "shop", "firing")]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_retry_is_not_frozen(server: Server, hook: Sink, *, restarted: bool) -> None:
    hook.answers = [Answer(503)] * 3
    server.wrong = HOUR
    server.post("shop")
    server.pass_time(40)
    assert stored(server.control)[0].state is Sending.WAITING
    server.jump(-HOUR + 5 * timedelta(minutes=1), restarted=restarted)
    server.pass_time(60)
    (message,) = stored(server.control)
    assert message.state is Sending.DELIVERED
    assert hook.keys == [message.key] * 4


def test_there_and_back_again_tells_each_once(server: Server, hook: Sink) -> None:
    server.post("shop")
    server.pass_time(10)
    for by in (HOUR, -HOUR, -HOUR, HOUR):
        server.jump(by)
        server.pass_time(40)
    assert told(hook).count(FIRING) == 1
    assert len(set(hook.keys)) == len(hook.keys)


def test_a_silence_ends_when_the_clock_says_so(server: Server, hook: Sink) -> None:
    """A jump ahead ends it, and the way back makes it hold again: what was told then is told once."""
    wish = silences.Wish(read_matchers(["service=shop"]), START, START + 2 * HOUR, "ada", "known")
    with server.control.transaction() as tx:
        silences.put(tx, wish, START)
    server.post("shop")
    server.pass_time(120)
    assert told(hook) == []
    server.jump(HOUR)
    server.pass_time(120)
    assert told(hook) == [], "it has an hour left"
    server.jump(-HOUR)
    server.pass_time(120)
    assert told(hook) == []
    server.true += 2 * HOUR
    server.pass_time(120)
    assert told(hook)[:1] == [FIRING]


def test_a_heartbeat_goes_on(control: Control, hook: Sink) -> None:
    beat = Heartbeat(name="alive", receiver="watcher", every="1m")
    declare(control, receiver("watcher", "webhook", url=hook.url), beat)
    beats = Heartbeats(control, lambda _: None)
    assert beats.run_once(START + HOUR) == 1
    assert beats.run_once(START) == 1
    assert beats.run_once(START + 30 * SECOND) == 0
    assert beats.run_once(START + 60 * SECOND) == 1

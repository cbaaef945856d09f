"""F4 to F8 of the faults under which peers lose alerts or tell them twice; F1 to F3 are among the tests of delivery."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from alerts.declaring import declare, stored, tell
from alerts.faults.played import HOUR, Server, told
from alerts.samples import day, finding, webhook
from alerts.sink import Answer, Sink

from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.store.control.connection import Control, open_control
from watchkeeper.store.control.records import Sending

FIRING = ("team", "shop", "firing")


def test_f4_after_one_400_the_next_message_goes_out(control: Control, hook: Sink) -> None:
    """The refused one is kept and shown; what comes later about the same incident does not wait behind it."""
    server = Server(control, hook)
    hook.answers = [Answer(400)]
    server.post("shop")
    server.pass_time(60)
    server.post("shop", ends=timedelta(0))
    server.pass_time(700)
    assert [one.state for one in stored(control)] == [Sending.DEAD, Sending.DELIVERED]
    assert told(hook) == [FIRING, ("team", "shop", "resolved")]


def test_f5_what_comes_and_goes_within_the_wait_is_told_as_over(control: Control, hook: Sink) -> None:
    server = Server(control, hook)
    server.post("shop")
    server.pass_time(5)
    server.post("shop", ends=timedelta(0))
    server.pass_time(700)
    assert told(hook) == [("team", "shop", "resolved")]


def test_f6_a_sender_whose_clock_is_ahead_fires_now_and_ends_when_it_says_so(control: Control, hook: Sink) -> None:
    server = Server(control, hook)
    server.post("shop", sender_ahead=HOUR)
    server.pass_time(60)
    assert told(hook) == [FIRING]
    assert hook.received[0].body["alerts"][0]["startsAt"] <= server.now.isoformat()  # type: ignore[index]


def test_f7_a_sender_whose_clock_is_behind_is_named(
    control: Control, hook: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    """Its alerts are over when they come, so nobody can be told; that is not passed over in silence."""
    server = Server(control, hook)
    server.post("shop", ends=timedelta(minutes=4), sender_ahead=-HOUR)
    server.pass_time(60)
    assert told(hook) == []
    assert "Is the clock of their sender behind?" in caplog.text
    assert "'service': 'shop'" in caplog.text


def test_f8_two_senders_and_a_receiver_that_fails_tell_each_group_once(either: Control, url: str, hook: Sink) -> None:
    """Twenty groups; a pair of Alertmanagers delivers up to 35."""
    routes = declare(either, webhook(hook.url))
    tell(either, routes, *(finding(service=f"service {number}") for number in range(20)))
    hook.answers = [Answer(500)] * 7
    pair = [open_control(url) for _ in range(2)]
    senders = [Sender(control, name, jitter=lambda: 0.5) for control, name in zip(pair, ("one", "two"), strict=True)]
    for half_minute in range(8):  # each failure ends a run: after seven all goes through
        now = day(0) + timedelta(seconds=30 * half_minute)
        threads = [threading.Thread(target=one.run_once, args=(now,)) for one in senders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for control in pair:
        control.close()
    assert {message.state for message in stored(either)} == {Sending.DELIVERED}
    assert len(hook.keys) == 20 + 7
    assert len(set(hook.keys)) == 20

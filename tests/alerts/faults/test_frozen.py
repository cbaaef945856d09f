"""SIGSTOP for ten minutes (the clock is moved): whoever wakes up finds that another one has its work."""

from __future__ import annotations

import time
from datetime import timedelta
from threading import Event

from alerts.declaring import declare, stored, tell
from alerts.faults.evaluating import Evaluator, minute
from alerts.faults.frozen import STOP_MYSELF, running
from alerts.samples import day, finding, webhook
from alerts.sink import Answer, Sink

from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Sending

TEN_MINUTES = timedelta(minutes=10)
SENDER = """
import signal, sys
from alerts.samples import day
from watchkeeper.alerts.delivery import sender
from watchkeeper.store.control.connection import open_control

if sys.argv[2] == "before sending":
    written = sender.applied
    def applied(*given):
        %s
        return written(*given)
    sender.applied = applied
print("attempts:", sender.Sender(open_control(sys.argv[1]), "frozen").run_once(day(1)))
"""
SENDER %= STOP_MYSELF

EVALUATOR = """
import signal
import sys
from alerts.faults.evaluating import Evaluator, minute

now = minute(2)

def looks(at):
    global now
    if at == minute(2):
        %s
        now = minute(12)

one = Evaluator(sys.argv[1], "frozen", lambda: now, looks)
print(one.tick(), one.stored)
print(one.tick(), one.stored)
"""
EVALUATOR %= STOP_MYSELF


def other(control: Control) -> Sender:
    return Sender(control, "other", jitter=lambda: 0.5)


def test_a_sender_that_wakes_up_without_its_lease_does_not_send(either: Control, url: str, hook: Sink) -> None:
    tell(either, declare(either, webhook(hook.url)), finding())
    with running(SENDER, url, "before sending") as frozen:
        frozen.wait_until_stopped()
        assert other(either).run_once(day(1)) == 0, "the lease holds"
        assert other(either).run_once(day(1) + TEN_MINUTES) == 1
        frozen.go_on_to_the_end()
    assert "its lease ended while this sender stood still" in frozen.said
    (message,) = stored(either)
    assert hook.keys == [message.key]
    assert (message.state, [one.outcome for one in message.deliveries]) == (Sending.DELIVERED, ["delivered"])


def test_a_late_answer_does_not_undo_what_another_sender_did(either: Control, url: str, hook: Sink) -> None:
    """Frozen with the request on its way: the key goes twice, and the first one's 503 counts no more."""
    tell(either, declare(either, webhook(hook.url)), finding())
    answer = Event()
    hook.answers = [Answer(503, when=answer)]
    with running(SENDER, url, "while it waits for the answer") as frozen:
        deadline = time.monotonic() + 30
        while not hook.received:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        frozen.stop()
        assert other(either).run_once(day(1) + TEN_MINUTES) == 1
        answer.set()
        frozen.go_on_to_the_end()
    (message,) = stored(either)
    assert hook.keys == [message.key] * 2
    assert message.state is Sending.DELIVERED
    said = [(one.outcome, one.detail) for one in message.deliveries]
    assert said == [("delivered", ""), ("retry", "after its lease had ended. 127.0.0.1 answered 503")]
    assert other(either).run_once(day(2)) == 0


def test_an_evaluator_that_wakes_up_stores_nothing_and_what_was_missed_is_evaluated_once(url: str) -> None:
    now = minute(2)
    with running(EVALUATOR, url) as frozen:
        frozen.wait_until_stopped()
        second = Evaluator(url, "other", lambda: now, lambda _: None)
        assert second.tick() == "stands by"
        now = minute(12)
        assert second.tick() == "evaluated"
        frozen.go_on_to_the_end()
    assert frozen.said.splitlines() == ["lost its lease [1]", "stands by [1]"]
    now = minute(13)
    assert second.tick() == "evaluated"
    assert second.stored == [*range(2, 14)]
    assert len(stored(second.control)) == 1, "told once"
    second.control.close()

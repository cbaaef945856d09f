from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from alerts.declaring import declare, stored, tell
from alerts.samples import START, day, finding, webhook
from alerts.sink import Answer, Sink, sink

from watchkeeper.alerts.delivery import registry
from watchkeeper.alerts.delivery.sender import LEASE, Sender
from watchkeeper.alerts.delivery.sender_loop import SenderLoop
from watchkeeper.alerts.messages.notification import Notification
from watchkeeper.schemas.declared import Declarations
from watchkeeper.store.control import declared, outbox
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Sending


@pytest.fixture
def hook() -> Iterator[Sink]:
    with sink() as running:
        yield running


def sender(control: Control, holder: str = "one") -> Sender:
    return Sender(control, holder, jitter=lambda: 0.5)


def test_delivered_once_with_its_key(control: Control, hook: Sink) -> None:
    tell(control, declare(control, webhook(hook.url)), finding())
    assert sender(control).run_once(day(1)) == 1
    assert sender(control).run_once(day(2)) == 0
    (message,) = stored(control)
    assert hook.keys == [message.key]
    assert message.state is Sending.DELIVERED
    assert [(one.at, one.outcome) for one in message.deliveries] == [(day(1), "delivered")]


def test_a_receiver_that_fails_first_gets_the_same_key_again(control: Control, hook: Sink) -> None:
    hook.answers = [Answer(503), Answer(503, body="still down")]
    tell(control, declare(control, webhook(hook.url)), finding())
    now = day(1)
    assert sender(control).run_once(now) == 1
    (message,) = stored(control)
    assert message.state is Sending.WAITING
    assert message.next_attempt_at == now + timedelta(seconds=2.5)
    assert sender(control).run_once(now + timedelta(seconds=2)) == 0
    assert sender(control).run_once(now + timedelta(seconds=3)) == 1
    assert sender(control).run_once(now + timedelta(seconds=9)) == 1
    (message,) = stored(control)
    assert message.state is Sending.DELIVERED
    assert hook.keys == [message.key] * 3
    assert [one.outcome for one in message.deliveries] == ["retry", "retry", "delivered"]
    assert message.deliveries[1].detail == "127.0.0.1 answered 503 still down"


def test_waits_grow_to_five_minutes_and_nothing_is_given_up(control: Control, hook: Sink) -> None:
    hook.answers = [Answer(500)] * 12
    tell(control, declare(control, webhook(hook.url)), finding())
    now, waits = day(1), []
    for _ in range(12):
        assert sender(control).run_once(now) == 1
        (message,) = stored(control)
        assert message.next_attempt_at is not None
        waits.append((message.next_attempt_at - now).total_seconds())
        now = message.next_attempt_at
    assert waits == [2.5, 5, 10, 20, 40, 80, 150, 150, 150, 150, 150, 150]
    sender(control).run_once(now)
    assert stored(control)[0].state is Sending.DELIVERED


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "1"}, 2.5),
        ({"Retry-After": "999999"}, 3600),
        ({"Retry-After": "soon"}, 2.5),
    ],
)
def test_retry_after(control: Control, hook: Sink, headers: dict[str, str], seconds: float) -> None:
    hook.answers = [Answer(429, headers)]
    tell(control, declare(control, webhook(hook.url)), finding())
    sender(control).run_once(day(1))
    assert stored(control)[0].next_attempt_at == day(1) + timedelta(seconds=seconds)


def test_retry_after_as_a_date_is_read_by_the_receivers_clock(control: Control, hook: Sink) -> None:
    """The sink sends its own Date; a date far in the past asks for no wait of its own."""
    hook.answers = [Answer(503, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"})]
    tell(control, declare(control, webhook(hook.url)), finding())
    sender(control).run_once(day(1))
    assert stored(control)[0].next_attempt_at == day(1) + timedelta(seconds=2.5)


@pytest.mark.parametrize("status", [400, 404, 301])
def test_refused_is_dead_and_shown(control: Control, hook: Sink, status: int, caplog: pytest.LogCaptureFixture) -> None:
    hook.answers = [Answer(status, body="no such channel")]
    tell(control, declare(control, webhook(hook.url)), finding())
    sender(control).run_once(day(1))
    assert sender(control).run_once(day(9)) == 0
    (message,) = stored(control)
    assert message.state is Sending.DEAD
    assert message.deliveries[0].detail == f"127.0.0.1 answered {status} no such channel"
    assert "refused for good" in caplog.text
    with control.snapshot() as tx:
        assert outbox.backlog(tx).dead == 1


def test_messages_about_one_incident_arrive_in_order(control: Control, hook: Sink) -> None:
    """The first message fails; what follows it waits, another incident's message does not."""
    routes = declare(control, webhook(hook.url))
    tell(control, routes, finding(), now=day(1))
    hook.answers = [Answer(503)]
    sender(control).run_once(day(1))
    tell(control, routes, finding("origin", at=day(1)))
    tell(control, routes, finding(service="chat", at=day(1)))
    now = day(1) + timedelta(seconds=1)
    assert sender(control).run_once(now) == 1
    assert hook.received[-1].body["groupLabels"] == {"model": "arrival", "service": "chat"}
    assert sender(control).run_once(day(1) + timedelta(minutes=4)) == 2
    assert [key.split(":")[2] for key in hook.keys] == ["fired", "fired", "fired", "updated"]


def test_a_dead_message_does_not_block_the_next(control: Control, hook: Sink) -> None:
    routes = declare(control, webhook(hook.url))
    tell(control, routes, finding(), now=day(1))
    tell(control, routes, finding("origin", at=day(1)))
    hook.answers = [Answer(400)]
    assert sender(control).run_once(day(1)) == 2
    assert [message.state for message in stored(control)] == [Sending.DEAD, Sending.DELIVERED]


def test_a_receiver_that_is_down_does_not_stop_another(control: Control, hook: Sink) -> None:
    with sink() as gone:
        closed = gone.url
    routes = declare(control, webhook(closed, "a"), webhook(hook.url, "b"))
    tell(control, routes, finding())
    sender(control).run_once(day(1))
    states = {message.receiver: message for message in stored(control)}
    assert states["b"].state is Sending.DELIVERED
    assert states["a"].state is Sending.WAITING
    assert states["a"].deliveries[0].detail.startswith("127.0.0.1: ConnectError")


def test_a_corrected_url_is_used_for_what_waits(control: Control, hook: Sink) -> None:
    with sink() as gone:
        closed = gone.url
    tell(control, declare(control, webhook(closed)), finding())
    sender(control).run_once(day(1))
    declare(control, webhook(hook.url))
    sender(control).run_once(day(2))
    assert stored(control)[0].state is Sending.DELIVERED


def test_a_message_of_a_removed_route_is_dead(control: Control) -> None:
    tell(control, declare(control, webhook("http://127.0.0.1:1/")), finding())
    with control.transaction() as tx:
        declared.put(tx, ("Route", "on-call"), None, START, "test")
    sender(control).run_once(day(1))
    message, instead = stored(control)
    assert (message.state, message.deliveries[0].detail) == (Sending.DEAD, "receiver 'on-call' is no longer declared")
    assert instead.receiver == "default", "the log is told what nobody else can be"


def test_a_lease_is_respected_and_ends(control: Control, hook: Sink) -> None:
    tell(control, declare(control, webhook(hook.url)), finding())
    with control.transaction() as tx:
        assert outbox.lease(tx, "on-call", day(1), "another", LEASE) is not None
        assert outbox.lease(tx, "on-call", day(1), "one", LEASE) is None
    assert sender(control).run_once(day(1)) == 0
    assert sender(control).take_back() == 0
    assert sender(control).run_once(day(1) + LEASE) == 1


def test_two_senders_at_once_send_each_message_once(control: Control, hook: Sink) -> None:
    routes = declare(control, webhook(hook.url, "a"), webhook(hook.url + "2", "b"))
    for number in range(15):
        tell(control, routes, finding(service=f"service {number}"))
    senders = [sender(control, "one"), sender(control, "two")]
    threads = [threading.Thread(target=one.run_once, args=(day(1),)) for one in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hook.keys) == 30
    assert len(set(hook.keys)) == 30
    assert {message.state for message in stored(control)} == {Sending.DELIVERED}


KILLED = """
import os, signal, sys
from datetime import datetime
from alerts.samples import day
from watchkeeper.alerts.delivery import sender
from watchkeeper.alerts.notifiers.webhook import Webhook
from watchkeeper.store.control.connection import open_control

when = sys.argv[2]
send = Webhook.notify
def notify(self, notification):
    if when == "after":
        send(self, notification)
    os.kill(os.getpid(), signal.SIGKILL)
Webhook.notify = notify
sender.Sender(open_control(sys.argv[1])).run_once(day(1))
"""


@pytest.mark.parametrize(("when", "received"), [("before", 1), ("after", 2)])
def test_killed_between_lease_and_record(
    control: Control, hook: Sink, tmp_path: Path, when: str, received: int
) -> None:
    """Nothing is lost; what was on the way already arrives again under the same key."""
    tell(control, declare(control, webhook(hook.url)), finding())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    url = f"sqlite:///{tmp_path / 'control.db'}"
    killed = subprocess.run([sys.executable, "-c", KILLED, url, when], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    after = Sender(control)
    assert after.run_once(day(1)) == 0
    assert after.take_back() == 1
    assert after.run_once(day(1)) == 1
    assert len(hook.keys) == received
    assert len(set(hook.keys)) == 1


class Broken:
    def notify(self, notification: Notification) -> None:
        raise RuntimeError("boom")


def test_a_notifiers_own_fault_is_recorded_and_tried_again(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "build", lambda receiver: Broken())
    tell(control, declare(control, webhook("http://127.0.0.1:1/")), finding())
    sender(control).run_once(day(1))
    (message,) = stored(control)
    assert message.state is Sending.WAITING
    assert message.deliveries[0].detail == "the notifier failed: RuntimeError('boom')"


def test_without_a_route_it_is_logged(control: Control, caplog: pytest.LogCaptureFixture) -> None:
    tell(control, Declarations(), finding(), now=day(1))
    with caplog.at_level(logging.INFO, "watchkeeper.alerts"):
        assert sender(control).run_once(day(1)) == 1
    (record_,) = [one for one in caplog.records if one.name == "watchkeeper.alerts"]
    line, _, text = record_.getMessage().partition("\n")
    assert line.startswith('incident="')
    assert 'transition="fired" severity="ticket" service="delays" model="arrival" subjects="carrier"' in line
    assert text.startswith("TICKET delays: 31 % of carrier values were never seen before\nService delays")


def test_the_loop_sends_and_stops(control: Control, hook: Sink) -> None:
    routes = declare(control, webhook(hook.url))
    tell(control, routes, finding())
    arrived = threading.Event()

    def clock() -> datetime:
        if hook.received:
            arrived.set()
        return day(1)

    loop = SenderLoop(sender(control), clock, interval=0.01)
    loop.start()
    assert arrived.wait(20)
    loop.stop()
    assert stored(control)[0].state is Sending.DELIVERED

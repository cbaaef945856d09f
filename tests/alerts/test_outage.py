"""What waits through a long outage, is refused, or goes out while the clock jumps."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alerts.declaring import declare, receiver, stored, tell
from alerts.samples import AT_ONCE, LINKS, day, finding, webhook
from alerts.sink import Answer, Sink, sink
from sqlalchemy import event

from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.schemas.declared import Route
from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.schemas.findings import Finding
from watchkeeper.store.control import outbox
from watchkeeper.store.control.connection import Control, open_control
from watchkeeper.store.control.records import Message, Sending

MINUTE = timedelta(minutes=1)


@pytest.fixture
def hook() -> Iterator[Sink]:
    with sink() as running:
        yield running


def sender(control: Control) -> Sender:
    return Sender(control, "one", jitter=lambda: 0.5)


def texts(hook: Sink) -> list[str]:
    return [one.body["commonAnnotations"]["message"] for one in hook.received]  # type: ignore[index]


def over(at: Finding) -> Finding:
    return finding(at=at.as_of + timedelta(minutes=39), active=False)


def test_an_outage_ends_in_one_message_that_says_all(control: Control, hook: Sink) -> None:
    """Fired 10:02, resolved 10:41, the receiver is back at 11:00."""
    routes = declare(control, webhook(hook.url))
    fired = finding(at=day(0) + 2 * MINUTE)
    tell(control, routes, fired)
    hook.answers = [Answer(503)] * 3
    for minute in (2, 3, 4):
        sender(control).run_once(day(0) + minute * MINUTE)
    record(control, [over(fired)], routes, day(0) + 41 * MINUTE, LINKS, timing=AT_ONCE)
    hook.received.clear()
    assert sender(control).run_once(day(0) + 60 * MINUTE) == 1
    (text,) = texts(hook)
    title, second = text.splitlines()[:2]
    assert title.startswith("[late 58 min] RESOLVED delays")
    assert second == "Fired 10:02, resolved 10:41, delivered late: 58 minutes after the first."
    first, last = stored(control)
    assert (first.state, last.state) == (Sending.DELIVERED, Sending.DELIVERED)
    assert first.deliveries[-1].detail == f"with {last.key}"
    assert hook.keys == [last.key]
    assert sender(control).run_once(day(1)) == 0


def test_what_may_have_arrived_goes_again_by_itself(control: Control, hook: Sink) -> None:
    """A killed sender: the receiver may hold the first message, so its key must come again, not be folded away."""
    routes = declare(control, webhook(hook.url))
    fired = finding()
    tell(control, routes, fired)
    lost_with_the_sender(control)
    record(control, [over(fired)], routes, day(0) + 41 * MINUTE, LINKS, timing=AT_ONCE)
    after = Sender(control, "killed", jitter=lambda: 0.5)
    after.take_back()
    after.run_once(day(0) + 60 * MINUTE)
    assert hook.keys == [message.key for message in stored(control)]


def lost_with_the_sender(control: Control) -> None:
    with control.transaction() as tx:
        assert outbox.lease(tx, "on-call", day(0), "killed", timedelta(minutes=5)) is not None


def test_a_newer_message_takes_over_from_the_one_that_carries(control: Control, hook: Sink) -> None:
    routes = declare(control, webhook(hook.url))
    tell(control, routes, finding())
    tell(control, routes, finding("origin", at=day(0) + MINUTE))
    hook.answers = [Answer(503)]
    sender(control).run_once(day(0) + 10 * MINUTE)
    tell(control, routes, finding("weather", at=day(0) + 11 * MINUTE))
    sender(control).run_once(day(0) + 20 * MINUTE)
    assert [message.state for message in stored(control)] == [Sending.DELIVERED] * 3
    assert len(hook.received) == 2
    assert "Fired 10:00, updated 10:01, updated 10:11, delivered late" in texts(hook)[-1]


def test_what_is_refused_goes_to_the_fallback(control: Control, hook: Sink) -> None:
    with sink() as other:
        routes = declare(
            control,
            receiver("second", "webhook", url=other.url),
            receiver("first", "webhook", url=hook.url, fallback="second"),
            Route(name="all", receiver="first"),
        )
        tell(control, routes, finding())
        hook.answers = [Answer(400, body="unknown field")]
        assert sender(control).run_once(day(0)) == 1
        assert sender(control).run_once(day(0)) == 1
        refused, instead = stored(control)
        assert (refused.state, instead.state) == (Sending.DEAD, Sending.DELIVERED)
        assert (instead.receiver, instead.key) == ("second", f"{refused.key}:instead:second")
        (text,) = texts(other)
        assert "This was for the receiver first, which refused it: 127.0.0.1 answered 400 unknown field" in text
        record(control, [over(finding())], routes, day(0) + 39 * MINUTE, LINKS, timing=AT_ONCE)
        sender(control).run_once(day(0) + 39 * MINUTE)
        assert [one.body["status"] for one in other.received] == ["firing", "resolved"], "who was told hears the end"


def test_a_refused_message_that_carries_others_takes_them_along(control: Control, hook: Sink) -> None:
    routes = declare(control, webhook(hook.url))
    tell(control, routes, finding())
    tell(control, routes, finding("origin", at=day(0) + MINUTE))
    hook.answers = [Answer(404)]
    sender(control).run_once(day(0) + 10 * MINUTE)
    assert [message.state for message in stored(control)] == [Sending.DEAD] * 2


def test_a_receiver_that_takes_it_and_says_nothing_gets_the_same_key_again(control: Control, hook: Sink) -> None:
    """The true duplicate: what came after waits, and is not folded into what may be there already."""
    routes = declare(control, webhook(hook.url))
    tell(control, routes, finding())
    hook.answers = [Answer(silent=True)]
    assert sender(control).run_once(day(0)) == 1
    assert stored(control)[0].unsure
    tell(control, routes, finding("origin", at=day(0) + 10 * MINUTE))
    hook.answers = [Answer(503)]
    sender(control).run_once(day(0) + 20 * MINUTE)
    sender(control).run_once(day(0) + 30 * MINUTE)
    first, second = (message.key for message in stored(control))
    assert hook.keys == [first, first, first, second]


def test_a_backup_that_is_put_back_sends_again_under_the_same_key(control: Control, hook: Sink, tmp_path: Path) -> None:
    tell(control, declare(control, webhook(hook.url)), finding())
    backup = tmp_path / "backup.db"
    with sqlite3.connect(tmp_path / "control.db") as source, sqlite3.connect(backup) as copy:
        source.backup(copy)
    copy.close()
    source.close()
    sender(control).run_once(day(0))
    restored = open_control(f"sqlite:///{backup}")
    sender(restored).run_once(day(0) + MINUTE)
    restored.close()
    assert len(hook.keys) == 2
    assert len(set(hook.keys)) == 1


def test_a_locked_database_loses_nothing(control: Control, hook: Sink, tmp_path: Path) -> None:
    """Another program holds the file while the answer is to be noted: the same key goes again."""
    tell(control, declare(control, webhook(hook.url)), finding())
    lock = sqlite3.connect(tmp_path / "control.db", isolation_level=None)
    locked_out = open_control(f"sqlite:///{tmp_path / 'control.db'}")
    event.listen(locked_out._engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout=50"))
    locked_out._engine.dispose()
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        sender(locked_out).run_once(day(0))
    lock.execute("ROLLBACK")
    lock.close()
    assert sender(locked_out).run_once(day(0)) == 1
    locked_out.close()
    assert len(set(hook.keys)) == 1


def test_each_url_is_told_and_tracked_by_itself(control: Control, hook: Sink) -> None:
    with sink() as gone:
        closed = gone.url
    routes = declare(control, receiver("pair", "webhook", urls=[closed, hook.url]), Route(name="all", receiver="pair"))
    tell(control, routes, finding())
    assert sender(control).run_once(day(0)) == 2
    states: dict[str, Message] = {message.receiver: message for message in stored(control)}
    assert (states["pair@1"].state, states["pair@2"].state) == (Sending.WAITING, Sending.DELIVERED)


def test_retry_after_holds_for_all_that_waits_there(control: Control, hook: Sink) -> None:
    routes = declare(control, webhook(hook.url))
    tell(control, routes, finding())
    tell(control, routes, finding(service="chat"))
    hook.answers = [Answer(429, {"Retry-After": "60"})]
    one = sender(control)
    assert one.run_once(day(0)) == 1
    assert one.run_once(day(0) + timedelta(seconds=30)) == 0
    assert one.run_once(day(0) + timedelta(seconds=61)) == 2


@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_that_goes_back_puts_nothing_off(control: Control, hook: Sink, restarted: bool) -> None:
    routes = declare(control, webhook(hook.url))
    ahead = day(0) + timedelta(hours=1, minutes=2)
    tell(control, routes, finding(), now=ahead)
    hook.answers = [Answer(503)]
    one = sender(control)
    assert one.run_once(ahead) == 1
    assert (sender(control) if restarted else one).run_once(day(0) + timedelta(minutes=1)) == 1
    assert stored(control)[0].state is Sending.DELIVERED


def test_a_clock_that_goes_ahead_sends_at_once_and_once(control: Control, hook: Sink) -> None:
    tell(control, declare(control, webhook(hook.url)), finding())
    hook.answers = [Answer(503)]
    one = sender(control)
    assert one.run_once(day(0)) == 1
    assert one.run_once(day(0) + timedelta(hours=1)) == 1
    assert one.run_once(day(0)) == 0
    assert len(hook.keys) == 2


def test_the_wait_survives_the_sender(control: Control, hook: Sink) -> None:
    tell(control, declare(control, webhook(hook.url)), finding())
    hook.answers = [Answer(503, {"Retry-After": "120"})]
    sender(control).run_once(day(0))
    again = sender(control)
    again.take_back()
    assert again.run_once(day(0) + timedelta(seconds=119)) == 0
    assert again.run_once(day(0) + timedelta(seconds=120)) == 1

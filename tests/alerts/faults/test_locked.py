"""Another program holds the control database for longer than a writer waits."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alerts.declaring import declare, stored, tell
from alerts.samples import LINKS, day, finding, webhook
from alerts.sink import Answer, Sink
from sqlalchemy import event

from watchkeeper.alerts.alertmanager.inlet import AlertInlet
from watchkeeper.alerts.alertmanager.posted import read
from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.delivery.sender_loop import SenderLoop
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.incidents.rounds import Rounds, RoundsLoop
from watchkeeper.alerts.routing.dispatch import no_change_known
from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.control import alert_journal, watermarks
from watchkeeper.store.control.connection import Control, open_control
from watchkeeper.store.control.records import Sending

LOCK = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
held.execute("ROLLBACK")
"""


@pytest.fixture
def impatient(tmp_path: Path, control: Control) -> Iterator[Control]:
    """The same database, by writers who wait for a moment instead of ten seconds."""
    opened = open_control(f"sqlite:///{tmp_path / 'control.db'}")
    event.listen(opened._engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout=20"))
    opened._engine.dispose()
    yield opened
    opened.close()


@contextmanager
def locked(tmp_path: Path) -> Iterator[None]:
    """Held by another process for as long as this takes."""
    command = [sys.executable, "-c", LOCK, str(tmp_path / "control.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_evaluation_waits_and_is_stored_once(control: Control, impatient: Control, tmp_path: Path) -> None:
    def evaluate() -> list[str]:
        done = record(impatient, [finding()], routes, day(0), LINKS, watermarks={"drift": day(0)})
        return [change.kind for change in done]

    routes = declare(control, webhook("http://127.0.0.1:1/"))
    with locked(tmp_path):
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="database is locked"):
                evaluate()
        with impatient.snapshot() as tx:
            assert watermarks.get(tx, "drift") is None, "reading goes on, and nothing was stored"
    assert evaluate() == ["opened", "fired"]
    assert evaluate() == []
    assert len(stored(control)) == 1


def test_a_posted_alert_is_refused_and_kept_once_when_it_comes_again(impatient: Control, tmp_path: Path) -> None:
    posts, _ = read(b'[{"labels": {"alertname": "Down"}}]', day(0))
    inlet = AlertInlet(impatient, lambda: None)
    with locked(tmp_path), pytest.raises(StoreUnavailable, match="database is locked"):
        inlet.append(posts).result(20)
    inlet.append(posts).result(20)
    inlet.close()
    with impatient.snapshot() as tx:
        assert alert_journal.backlog(tx).alerts == 1


def test_what_was_sent_while_nothing_could_be_noted_is_not_sent_again(
    control: Control, impatient: Control, tmp_path: Path, hook: Sink
) -> None:
    tell(control, declare(control, webhook(hook.url)), finding())
    answer = threading.Event()
    hook.answers = [Answer(200, when=answer)]
    loop = SenderLoop(Sender(impatient, "one"), lambda: day(0), interval=0.01)
    loop.start()
    until(lambda: hook.received)
    with locked(tmp_path):
        answer.set()
        time.sleep(0.3)
        assert stored(control)[0].state is Sending.WAITING
    until(lambda: stored(control)[0].state is Sending.DELIVERED)
    loop.stop()
    assert len(hook.keys) == 1
    assert stored(control)[0].attempts == 1


def test_the_loops_say_so_and_go_on_by_themselves(
    control: Control, impatient: Control, tmp_path: Path, hook: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    """One message waits, a second piece of news is not told to its group yet: both arrive, each once."""
    routes = declare(control, webhook(hook.url))
    tell(control, routes, finding())
    record(control, [finding(service="chat")], routes, day(0), LINKS, waits=True)
    sender = SenderLoop(Sender(impatient, "one"), lambda: day(1), interval=0.02)
    rounds = Rounds(impatient, lambda: routes, LINKS, no_change_known)
    loop = RoundsLoop(rounds, lambda: day(1), sender.wake, interval=0.02)
    with caplog.at_level(logging.WARNING), locked(tmp_path):
        sender.start()
        loop.start()
        until(lambda: "a round stopped" in caplog.text and "sending stopped" in caplog.text)
        assert hook.received == []
    until(lambda: len(hook.received) == 2)
    until(lambda: {one.state for one in stored(control)} == {Sending.DELIVERED})
    loop.stop()
    sender.stop()
    assert len(set(hook.keys)) == len(hook.keys) == 2
    assert "database is locked; try again, then look at the disk or the server" in caplog.text

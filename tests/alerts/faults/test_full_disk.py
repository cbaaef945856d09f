"""The disk of the control data is full: an evaluation is stored whole or not at all, a message is told once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alerts.sink import Sink
from store.disks import SPACE, small_disk

__all__ = ["small_disk"]
CONTROL = (
    SPACE
    + """
import contextlib, dataclasses, os, sqlite3
from alerts.declaring import declare, stored
from alerts.samples import LINKS, day, finding, sqlite_control, webhook
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.control import incidents, watermarks

filler = folder / "filler"

def fill():
    "Take all room there is; what a log kept for later writes as well."
    with contextlib.closing(sqlite3.connect(folder / "control.db")) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if mode == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        return
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))

def empty():
    filler.unlink(missing_ok=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

def refused(work, *given, **named):
    try:
        work(*given, **named)
    except StoreUnavailable as error:
        print(error)
    else:
        raise SystemExit("stored on a full disk")

space(4)
control = sqlite_control(folder)
routes = declare(control, webhook(sys.argv[3]))
sender = Sender(control, "one")
"""
)
EVALUATOR = (
    CONTROL
    + """
def evaluate():
    return record(control, [finding()], routes, day(0), LINKS, watermarks={"drift": day(0)})

fill()
for _ in range(2):
    refused(evaluate)
    with control.snapshot() as tx:
        assert incidents.listed(tx) == []
        assert watermarks.get(tx, "drift") is None, "the window is not evaluated: it is looked at again"
assert sender.run_once(day(0)) == 0
empty()
assert [change.kind for change in evaluate()] == ["opened", "fired"]
assert evaluate() == []
assert sender.run_once(day(0)) == 1
(message,) = stored(control)
assert message.state.value == "delivered", message
"""
)
SENDER = (
    CONTROL
    + """
from watchkeeper.alerts.notifiers.webhook import Webhook

record(control, [finding()], routes, day(0), LINKS)
send = Webhook.notify
def notify(self, notification):
    send(self, notification)
    if sys.argv[4] == "once it is sent":
        fill()
Webhook.notify = notify
if sys.argv[4] == "before it is sent":
    fill()
refused(sender.run_once, day(0))
if sys.argv[4] == "once it is sent":
    refused(sender.take_back)
(message,) = stored(control)
assert message.state.value == "waiting", message
empty()
sys.argv[4] = "there is room"
sender.take_back()
sender.run_once(day(0))
(message,) = stored(control)
assert (message.state.value, message.attempts) == ("delivered", 1), message
"""
)


@pytest.mark.parametrize("small_disk", ["tmpfs"], indirect=True)
@pytest.mark.parametrize(
    ("program", "moment"),
    [(EVALUATOR, ""), (SENDER, "before it is sent"), (SENDER, "once it is sent")],
    ids=["evaluator", "sender-before", "sender-after"],
)
def test_what_could_not_be_stored_is_done_when_there_is_room_and_told_once(
    small_disk: tuple[str, Path], hook: Sink, program: str, moment: str
) -> None:
    mode, folder = small_disk
    done = subprocess.run(
        [sys.executable, "-c", program, mode, str(folder), hook.url, moment],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "then look at the disk" in done.stdout
    assert len(hook.keys) == 1

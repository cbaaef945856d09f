"""A backup of yesterday is put back: no storm, and nothing new looks like something old."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from alerts.declaring import stored
from alerts.faults.played import Server, told
from alerts.samples import START
from alerts.sink import Answer, Sink

from watchkeeper.app.restoring import restore
from watchkeeper.schemas.settings import Settings
from watchkeeper.store import backup
from watchkeeper.store.control.connection import Control, open_control
from watchkeeper.store.control.records import Sending
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.sealed import SealedDays

DAY = timedelta(days=1)


def taken(folder: Path) -> None:
    """Take a backup; of its stores only the control data hold anything."""
    facts = FactStore(folder / "facts.duckdb")
    with closing(sqlite3.connect(folder / "inbox.db")) as inbox:
        inbox.execute("CREATE TABLE t (x)")
    inbox, control = (partial(backup.copy_sqlite, folder / name) for name in ("inbox.db", "control.db"))
    sources = backup.Sources(facts, inbox, control, SealedDays(folder / "sealed"))
    backup.take(sources, folder / "copy", "0.1", START)
    facts.close()


@pytest.fixture
def restored(control: Control, hook: Sink, tmp_path: Path) -> Iterator[tuple[Server, list[str]]]:
    """A server on a day-old copy, and the keys that the lost one used since."""
    old = Server(control, hook)
    old.post("ended")
    old.post("told")
    old.pass_time(60)
    old.post("ended", ends=timedelta(0))
    old.pass_time(700)
    hook.answers = [Answer(503)]
    old.post("waiting")
    old.pass_time(36)
    assert [one.state for one in stored(control)].count(Sending.WAITING) == 1
    taken(tmp_path)
    before = len(hook.keys)
    old.pass_time(60)
    for service in ("ended", "later"):
        old.post(service)
    old.pass_time(60)
    since = hook.keys[before:]
    assert len(since) == 3
    restore(Settings(), tmp_path / "copy", tmp_path / "new")
    opened = open_control(f"sqlite:///{tmp_path / 'new' / 'control.db'}")
    again = Server(opened, hook)
    again.true = old.true + DAY
    hook.received.clear()
    yield again, since
    opened.close()


def test_what_waited_goes_again_under_its_key_and_nobody_is_told_twice_of_the_rest(
    restored: tuple[Server, list[str]], hook: Sink
) -> None:
    """What fired in the backup is repeated, passed on and ended once, as after any outage of a day."""
    server, since = restored
    server.pass_time(1200)
    assert len(set(told(hook))) == len(told(hook)), "no message twice"
    assert {service for _, service, _ in told(hook)} == {"waiting", "told"}, "what was over stays so"
    assert set(hook.keys) & set(since) == {since[0]}, "the receiver may know it by its key"
    assert hook.received[hook.keys.index(since[0])].body["commonAnnotations"]["message"].startswith("[late ")  # type: ignore[index, call-overload, union-attr]
    assert {one.state for one in stored(server.control)} == {Sending.DELIVERED}


def test_what_is_new_bears_no_key_that_was_used_since_the_backup(
    restored: tuple[Server, list[str]], hook: Sink
) -> None:
    """A receiver that honours keys would take it for what the lost server told, and drop it."""
    server, since = restored
    server.post("ended")
    server.post("later")
    server.pass_time(60)
    fresh = [one for one in hook.received if one.body["groupLabels"]["service"] in {"ended", "later"}]  # type: ignore[index, call-overload]
    assert len(fresh) == 2
    assert not {one.headers["idempotency-key"] for one in fresh} & set(since)

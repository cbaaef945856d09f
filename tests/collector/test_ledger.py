"""The ledger of telemetry: a client's book against what arrived."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector.sent import incoming, kept, opened
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from watchkeeper.collector import ledger
from watchkeeper.collector.ledger import FORMER_US, OFFLINE_US, ClientBook, Group, groups, note, note_again, retire

NOW = 1_800_000_000_000_000
MINUTE = 60 * 1_000_000


@pytest.fixture
def table() -> Iterator[sqlite3.Connection]:
    connection = empty()
    yield connection
    connection.close()


def empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript(ledger.SCHEMA)
    return connection


def said(logged: int, pending: int, dropped: int = 0, client: str = "a", **more: str) -> ClientBook:
    return ClientBook(client, logged, dropped, pending, **({"service": "shop"} | more))


def only(table: sqlite3.Connection, at: int = NOW) -> Group:
    (group,) = groups(table, at)
    return group


def test_nothing_is_missing_of_what_is_under_way(table):
    note(table, said(300, 300), 100, 0, NOW)
    note(table, said(300, 300), 100, 0, NOW)
    group = only(table)
    assert (group.logged, group.accepted, group.pending, group.missing, group.lost_us) == (300, 200, 200, 0, 0)
    note(table, said(300, 100), 99, 1, NOW)
    assert (only(table).pending, only(table).missing, only(table).rejected) == (0, 0, 1)


def test_what_was_answered_and_is_not_here_is_missing(table):
    note(table, said(100, 100), 100, 0, NOW)
    note(table, said(350, 50), 50, 0, NOW + MINUTE)
    group = only(table)
    assert (group.missing, group.lost_us) == (200, NOW + MINUTE)
    note(table, said(400, 50), 50, 0, NOW + 2 * MINUTE)
    assert (only(table).missing, only(table).lost_us) == (200, NOW + MINUTE)


def test_a_repeated_request_brings_nothing_and_leaves_nothing_pending(table):
    note(table, said(100, 100), 100, 0, NOW)
    note_again(table, said(100, 100), 100, NOW)
    assert (only(table).accepted, only(table).pending, only(table).missing) == (100, 0, 0)


def test_a_client_that_is_met_in_the_middle_of_its_life_is_believed(table):
    note_again(table, said(1000, 10, 5), 10, NOW)
    assert (only(table).accepted, only(table).missing, only(table).dropped) == (0, 0, 5)
    note(table, said(1020, 20, 5), 20, 0, NOW)
    assert (only(table).accepted, only(table).missing) == (20, 0)


def test_an_older_book_that_comes_late_changes_no_count(table):
    note(table, said(30, 10, 2), 5, 0, NOW + MINUTE)
    note(table, said(20, 15, 1), 5, 0, NOW)
    group = only(table)
    assert (group.logged, group.dropped, group.pending, group.seen_us) == (30, 2, 5, NOW + MINUTE)


def test_who_is_away_holds_what_is_overdue_until_it_comes(table):
    note(table, said(100, 100), 40, 0, NOW)
    near, far = only(table, NOW + OFFLINE_US), only(table, NOW + OFFLINE_US + 1)
    assert (near.pending, near.overdue, near.online, near.waiting_since_us) == (60, 0, 1, NOW)
    assert (far.pending, far.overdue, far.online, far.waiting_since_us) == (0, 60, 0, None)
    note(table, said(100, 60), 60, 0, NOW + 9 * OFFLINE_US)
    assert (only(table, NOW + 9 * OFFLINE_US).overdue, only(table).missing) == (0, 0)


def test_groups_are_by_service_site_and_version(table):
    for client, more in {"a": {"site": "ams"}, "b": {"site": "ams"}, "c": {"site": "bru", "version": "2"}}.items():
        note(table, said(10, 10, client=client, **more), 10, 0, NOW)
    found = [(one.site, one.version, one.clients, one.logged) for one in groups(table, NOW)]
    assert found == [("ams", "", 2, 20), ("bru", "2", 1, 10)]


def test_former_clients_are_summed_up_and_what_they_held_is_missing(table):
    for number in range(5):
        note(table, said(10, 10, client=str(number)), 8, 0, NOW)
    note(table, said(10, 10, client="young"), 10, 0, NOW + FORMER_US)
    before = only(table)
    retire(table, NOW + FORMER_US + 1)
    retire(table, NOW + FORMER_US + 1)
    after = only(table, NOW + FORMER_US + 1)
    assert (
        (after.logged, after.accepted, after.clients) == (before.logged, before.accepted, before.clients) == (60, 50, 6)
    )
    assert (after.missing, after.overdue, after.pending) == (10, 0, 0)
    assert table.execute("SELECT count(*) FROM clients").fetchone() == (1,)


def test_book_and_events_are_kept_together_or_not_at_all(tmp_path: Path):
    """What a repeated key brings is nothing, also across a restart; the book is in the inbox's own transaction."""
    inbox = opened(tmp_path)
    row = b'{"id":"a","service":"shop"}'
    for _ in range(2):
        kept(inbox.append(incoming(row, b"{}", key="k", client=said(2, 2))))
    inbox.close()
    inbox = opened(tmp_path)
    kept(inbox.append(incoming(row, key="k2", client=said(3, 1))))
    (group,) = inbox.clients()
    inbox.close()
    assert (group.accepted, group.rejected, group.missing, group.pending) == (2, 1, 0, 0)


def test_after_a_restore_from_an_older_backup_what_came_since_is_missing_and_what_is_sent_again_is_not(tmp_path: Path):
    row = b'{"id":"a","service":"shop"}'
    inbox = opened(tmp_path)
    kept(inbox.append(incoming(*[row] * 2, key="k1", client=said(2, 2))))
    inbox.close()
    backup = tmp_path / "backup"
    shutil.copytree(tmp_path, backup)

    inbox = opened(tmp_path)
    kept(inbox.append(incoming(*[row] * 3, key="k2", client=said(5, 3))))
    kept(inbox.append(incoming(row, key="k3", client=said(6, 1))))
    inbox.close()

    inbox = opened(backup)
    kept(inbox.append(incoming(row, key="k3", client=said(6, 1))))  # its answer was lost on the way
    (group,) = inbox.clients()
    assert (group.logged, group.accepted, group.pending, group.missing) == (6, 3, 0, 3)
    kept(inbox.append(incoming(*[row] * 3, key="k2", client=said(6, 0))))  # an older copy of its spool
    (group,) = inbox.clients()
    inbox.close()
    assert (group.logged, group.accepted, group.missing) == (6, 6, 0)


class Client(RuleBasedStateMachine):
    """One process that logs, drops, sends several requests at once, loses answers and sends again."""

    def __init__(self) -> None:
        super().__init__()
        self.table = empty()
        self.logged = self.dropped = self.settled = self.stolen = 0
        self.queue = 0
        self.flying: list[tuple[int, ClientBook, bool]] = []
        self.now = NOW

    @rule(count=st.integers(1, 50))
    def log(self, count: int) -> None:
        self.logged += count
        self.queue += count

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, self.queue))
        self.queue -= count
        self.dropped += count

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        rows = data.draw(st.integers(1, self.queue))
        self.queue -= rows
        self.flying.append((rows, self.book(), False))

    def book(self) -> ClientBook:
        return said(self.logged, self.logged - self.settled - self.dropped, self.dropped)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), answered=st.booleans())
    def arrive(self, data: st.DataObject, answered: bool) -> None:
        """One of the requests arrives, in any order; its answer may be lost on the way back."""
        index = data.draw(st.integers(0, len(self.flying) - 1))
        rows, book, stored = self.flying.pop(index)
        self.now += 1
        if stored:
            note_again(self.table, book, rows, self.now)
        else:
            note(self.table, book, rows, 0, self.now)
        if answered:
            self.settled += rows
        else:
            self.flying.append((rows, self.book(), True))

    @precondition(lambda self: self.flying and not self.flying[0][2] and groups(self.table, NOW))
    @rule()
    def answered_elsewhere(self) -> None:
        """A proxy answers 200 by itself."""
        rows, _, _ = self.flying.pop(0)
        self.settled += rows
        self.stolen += rows

    @invariant()
    def never_more_is_missing_than_is(self) -> None:
        assert sum(one.missing for one in groups(self.table, NOW)) <= self.stolen

    def teardown(self) -> None:
        """Once all is quiet, and one more event has come, the book balances."""
        while self.flying:
            rows, _, stored = self.flying.pop()
            (note_again if stored else note)(self.table, self.book(), *([rows] if stored else [rows, 0]), self.now)
            self.settled += rows
        if groups(self.table, NOW):
            self.logged += 1
            last = said(self.logged, self.queue + 1, self.dropped)
            note(self.table, last, 1, 0, self.now)
            group = only(self.table)
            assert group.missing == self.stolen
            assert group.pending == self.queue
            assert group.logged == group.accepted + group.dropped + group.pending + group.missing
        self.table.close()


TestClient = Client.TestCase
TestClient.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

"""The audit log: a chain that does not fork, that nobody can change unseen, on both engines."""

from __future__ import annotations

import math
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from alerts.samples import START, day
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.control import audit, migrations
from watchkeeper.store.control.audit_chain import START as BEFORE_THE_FIRST
from watchkeeper.store.control.connection import Control, open_control
from watchkeeper.store.control.records import AuditEntry

RICH = AuditEntry(
    START.replace(microsecond=123456),
    "zoë\x00😀",
    "declared.added",
    "System 'x\";--",
    {"list": [1, 2.5, -0.0, None, True, 1e300], "inf": math.inf, "nan": math.nan, "big": 2**60, "$float": "no"},
    "dashboard (a1)",
)


def entry(number: int) -> AuditEntry:
    return AuditEntry(day(number), "ada", "test.done", str(number), {"number": number})


def fill(control: Control, count: int = 5) -> None:
    for number in range(count):
        with control.transaction() as tx:
            audit.add(tx, entry(number))


def verified(control: Control, head: str | None = None) -> audit.Chain:
    with control.snapshot() as tx:
        return audit.verify(tx, head)


def test_an_empty_log_holds(either_control: Control) -> None:
    assert verified(either_control) == audit.Chain(0, BEFORE_THE_FIRST)


def test_any_entry_comes_back_as_it_was_hashed(either_control: Control) -> None:
    with either_control.transaction() as tx:
        audit.add(tx, entry(0))
        audit.add(tx, RICH)
    with either_control.snapshot() as tx:
        newest, first = audit.links(tx)
    assert (newest.entry.actor, newest.entry.key, newest.entry.at) == ("zoë\ufffd😀", RICH.key, RICH.at)
    assert repr(newest.entry.detail) == repr(RICH.detail)
    assert (first.previous, newest.previous) == (BEFORE_THE_FIRST, first.hash)
    assert verified(either_control) == audit.Chain(2, newest.hash)


def test_writers_at_once_make_one_chain(either_control: Control) -> None:
    gate = threading.Barrier(6)

    def write(number: int) -> None:
        gate.wait()
        for step in range(5):
            with either_control.transaction() as tx:
                audit.add(tx, entry(number * 100 + step))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with either_control.snapshot() as tx:
        links = audit.links(tx)
    assert sorted(int(one.entry.subject) for one in links) == sorted(n * 100 + s for n in range(6) for s in range(5))
    assert len({one.previous for one in links}) == 30
    assert verified(either_control) == audit.Chain(30, links[0].hash)


def test_what_is_rolled_back_leaves_no_gap(either_control: Control) -> None:
    fill(either_control, 2)

    def stopped_half_way() -> None:
        with either_control.transaction() as tx:
            audit.add(tx, entry(7))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stopped_half_way()
    fill(either_control, 1)
    assert verified(either_control).entries == 3
    assert verified(either_control).broken is None


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'eve' WHERE id = 2", "DELETE FROM audit WHERE id = 2"])
def test_the_database_itself_refuses_changes(either_control: Control, statement: str) -> None:
    fill(either_control)
    with pytest.raises((StoreUnavailable, DBAPIError), match="only ever added to"), either_control.transaction() as tx:
        tx._connection.execute(text(statement))
    assert verified(either_control).broken is None


def forged(folder: Path, *statements: str) -> Control:
    """Change the file as someone would who may write it, past the triggers."""
    control = open_control(f"sqlite:///{folder / 'control.db'}")
    fill(control)
    with control.snapshot() as tx:
        (fifth,) = audit.links(tx, 1)
    file = sqlite3.connect(folder / "control.db")
    file.executescript("DROP TRIGGER audit_no_UPDATE; DROP TRIGGER audit_no_DELETE;")
    for statement in statements:
        file.execute(statement.replace("{fifth}", fifth.hash))
    file.commit()
    file.close()
    return control


COPIED = """INSERT INTO audit (id, at, actor, action, subject, detail, previous, hash)
            SELECT 6, at, actor, action, subject, detail, '{fifth}', hash FROM audit WHERE id = 2"""


@pytest.mark.parametrize(
    ("statement", "broken", "reason"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE id = 2", 2, "content"),
        ("UPDATE audit SET at = '2020-01-01 00:00:00.000000' WHERE id = 1", 1, "content"),
        ("UPDATE audit SET detail = '{\"number\": 9}' WHERE id = 5", 5, "content"),
        ("UPDATE audit SET key = 'other' WHERE id = 3", 3, "content"),
        ("DELETE FROM audit WHERE id = 3", 4, "the entry before"),
        ("DELETE FROM audit WHERE id = 1", 2, "the entry before"),
        ("UPDATE audit SET id = 9 WHERE id = 2", 3, "the entry before"),
        (COPIED, 6, "content"),
    ],
)
def test_the_first_entry_that_was_tampered_with_is_named(tmp_path, statement, broken, reason) -> None:
    control = forged(tmp_path, statement)
    found = verified(control)
    control.close()
    assert found.broken == broken
    assert reason in found.reason


def test_a_log_that_was_cut_off_is_seen_by_whoever_kept_the_newest_hash(tmp_path: Path) -> None:
    control = open_control(f"sqlite:///{tmp_path / 'control.db'}")
    fill(control)
    kept = verified(control).head
    control.close()
    cut = forged(tmp_path, "DELETE FROM audit WHERE id > 4")
    assert verified(cut).broken is None
    found = verified(cut, kept)
    cut.close()
    assert (found.broken, found.entries) == (5, 4)
    assert kept in found.reason


def test_entries_of_an_older_release_are_chained(either_control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same database taken back to the first step, filled as that release did, and brought up to date again."""
    url = either_control._engine.url
    engine = create_engine(url)
    postgres = engine.dialect.name == "postgresql"
    with engine.begin() as connection:
        for table in connection.execute(text(_TABLES[postgres])).scalars().all():
            connection.exec_driver_sql(f'DROP TABLE "{table}" CASCADE' if postgres else f"DROP TABLE {table}")
        if postgres:
            connection.exec_driver_sql("DROP FUNCTION audit_is_append_only CASCADE")
    text_url = url.render_as_string(hide_password=False)
    with monkeypatch.context() as older:
        older.setattr(migrations, "HEAD", "0001")
        open_control(text_url).close()
    at = "2026-03-01 10:00:00.123456" + ("+00" if postgres else "")
    with engine.begin() as connection:
        for number in (1, 4):  # an engine may leave gaps
            connection.exec_driver_sql(
                f"""INSERT INTO audit
                    VALUES ({number}, '{at}', 'ada', 'declared.added', 'System x', '{{"version": 1}}')"""
            )
    engine.dispose()
    renewed = open_control(text_url)
    assert verified(renewed).entries == 2
    with renewed.transaction() as tx:
        audit.add(tx, entry(1))
    with renewed.snapshot() as tx:
        newest, old, _ = audit.links(tx)
    renewed.close()
    assert newest.number == 5
    assert old.entry == AuditEntry(
        START + timedelta(microseconds=123456), "ada", "declared.added", "System x", {"version": 1}
    )


_TABLES = {
    False: "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid DESC",
    True: "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}

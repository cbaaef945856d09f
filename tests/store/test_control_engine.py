"""What holds for the SQLite file: migrations, durability settings, errors in plain words."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alerts.samples import START, sqlite_control
from sqlalchemy import create_engine, text

from watchkeeper.schemas.errors import SettingsError, StoreUnavailable
from watchkeeper.store.control import connection, migrations, watermarks
from watchkeeper.store.control.connection import open_control
from watchkeeper.store.control.tables import metadata


def test_the_steps_make_exactly_the_tables(tmp_path: Path) -> None:
    sqlite_control(tmp_path).close()
    engine = create_engine(f"sqlite:///{tmp_path / 'control.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_head_is_the_newest_step() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_heads() == [migrations.HEAD]


FAST = """
import sys
from watchkeeper.store.control.connection import open_control
open_control(sys.argv[1]).close()
print("alembic" in sys.modules)
"""


def test_alembic_is_imported_only_where_there_is_something_to_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'control.db'}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", FAST, url], env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["True", "False"]


def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    sqlite_control(tmp_path).close()
    file = sqlite3.connect(tmp_path / "control.db")
    file.execute("UPDATE alembic_version SET version_num = '9999'")
    file.commit()
    file.close()
    with pytest.raises(SettingsError, match=r"'9999', which this Watchkeeper .* does not know: a newer one wrote it"):
        sqlite_control(tmp_path)


def test_an_upgrade_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = sqlite3.connect(tmp_path / "control.db")
    file.execute("CREATE TABLE outbox (x)")
    file.commit()
    with pytest.raises(StoreUnavailable, match="outbox already exists"):
        sqlite_control(tmp_path)
    assert [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")] == ["outbox"]
    file.close()


def test_durability_settings(tmp_path: Path) -> None:
    control = sqlite_control(tmp_path)
    with control.transaction() as tx:
        pragmas = {
            name: tx._connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    control.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10000}


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    control = sqlite_control(tmp_path)

    def stopped_half_way() -> None:
        with control.transaction() as tx:
            watermarks.put(tx, "drift", START)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stopped_half_way()
    with control.snapshot() as tx:
        assert watermarks.every(tx) == {}
    control.close()


KILLED = """
import os, signal, sys
from alerts.samples import START
from watchkeeper.store.control import watermarks
from watchkeeper.store.control.connection import open_control
control = open_control(sys.argv[1])
with control.transaction() as tx:
    watermarks.put(tx, "kept", START)
with control.transaction() as tx:
    watermarks.put(tx, "lost", START)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_inside_a_transaction(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'control.db'}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", KILLED, url], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    control = open_control(url)
    with control.snapshot() as tx:
        assert list(watermarks.every(tx)) == [("kept", "")]
    control.close()


def test_readers_see_one_state_and_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    control = sqlite_control(tmp_path)
    with control.snapshot() as reading:
        assert watermarks.every(reading) == {}
        with control.transaction() as writing:
            watermarks.put(writing, "drift", START)
            with control.snapshot() as other:
                assert watermarks.every(other) == {}
        assert watermarks.every(reading) == {}
    with control.snapshot() as after:
        assert watermarks.get(after, "drift") == START
    control.close()


def test_writers_in_many_threads_take_turns(tmp_path: Path) -> None:
    control = sqlite_control(tmp_path)

    def write(number: int) -> None:
        for step in range(5):
            with control.transaction() as tx:
                seen = len(watermarks.every(tx))
                watermarks.put(tx, f"{number}-{step}", START)
                assert len(watermarks.every(tx)) == seen + 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with control.snapshot() as tx:
        assert len(watermarks.every(tx)) == 40
    control.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "is not a URL"),
        ("mysql://x/y", "'mysql' is not supported"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        open_control(url)


def test_a_file_that_cannot_be_opened_is_said_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"missing/control\.db: unable to open database file"):
        open_control(f"sqlite:///{tmp_path / 'missing' / 'control.db'}")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "control.db").write_text("no database at all, but text of some length" * 40, encoding="utf-8")
    with pytest.raises(StoreUnavailable, match="file is not a database"):
        sqlite_control(tmp_path)


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    control = sqlite_control(tmp_path)
    with pytest.raises(Exception, match="has no time zone"), control.transaction() as tx:
        watermarks.put(tx, "drift", START.replace(tzinfo=None))
    with control.transaction() as tx:
        assert tx.rows(text("SELECT count(*) FROM watermark")).scalar() == 0  # type: ignore[arg-type]
    control.close()


def test_writers_of_one_process_go_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    control = sqlite_control(tmp_path)
    order: list[int] = []

    def write(number: int) -> None:
        with control.transaction() as tx:
            watermarks.put(tx, "drift", START)
            order.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
    with control.transaction():
        for came, thread in enumerate(threads, 1):
            thread.start()
            while len(control._turns._waiting) < came:  # type: ignore[union-attr]
                thread.join(0.001)
    for thread in threads:
        thread.join()
    assert order == [*range(20)]
    control.close()


def test_a_writer_whose_turn_does_not_come_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    control = sqlite_control(tmp_path)
    failures: list[StoreUnavailable] = []

    def write() -> None:
        try:
            with control.transaction():
                pass
        except StoreUnavailable as error:
            failures.append(error)

    with control.transaction():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert [str(error).partition(": ")[2] for error in failures] == ["others have written for 0 s; try again"]
    write()
    assert len(failures) == 1
    control.close()

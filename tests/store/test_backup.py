"""A backup is whole or none, and a restore checks it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from store.facts_made import START, Made, event

from watchkeeper.schemas.errors import InputError, NotFound, SettingsError, StoreUnavailable
from watchkeeper.store import backup
from watchkeeper.store.facts import compaction
from watchkeeper.store.facts.connection import FactStore, FileSize
from watchkeeper.store.sealed import SealedDays

NOW = datetime(2026, 1, 6, tzinfo=UTC)


class Folder:
    """A data folder in use: facts with a log that is not folded in yet, an inbox, control data and a sealed day."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.made = Made(path / "facts.duckdb")
        self.made.load(*(event(extra={"n": n}, features={"x": float(n)}) for n in range(500)), watermark=41)
        self.databases = [sqlite3.connect(path / name) for name in ("inbox.db", "control.db")]
        for database in self.databases:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE t (seq INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT)")
            database.executemany("INSERT INTO t (x) VALUES (?)", [("a",), ("gone",)])
            database.execute("DELETE FROM t WHERE x = 'gone'")
            database.commit()
        day = path / "sealed" / "day=2026-01-01"
        day.mkdir(parents=True)
        (day / "predictions-0001.parquet").write_bytes(b"PAR1")
        (day / "_manifest.json").write_text('{"day": "2026-01-01", "files": []}')
        (day / ".writing.parquet").write_bytes(b"half")

    @property
    def sources(self) -> backup.Sources:
        return backup.Sources(
            self.made.facts,
            partial(backup.copy_sqlite, self.path / "inbox.db"),
            partial(backup.copy_sqlite, self.path / "control.db"),
            SealedDays(self.path / "sealed"),
        )

    def take(self, to: Path) -> backup.Backup:
        return backup.take(self.sources, to, "0.1", NOW)

    def close(self) -> None:
        for database in self.databases:
            database.close()
        self.made.facts.close()


@pytest.fixture
def folder(tmp_path: Path):
    made = Folder(tmp_path / "data")
    yield made
    made.close()


def rows(path: Path) -> list[tuple]:
    with closing(sqlite3.connect(path)) as database:
        return (
            database.execute("SELECT * FROM t").fetchall()
            + database.execute("SELECT seq FROM sqlite_sequence").fetchall()
        )


def test_all_of_it_comes_back(folder: Folder, tmp_path: Path) -> None:
    taken = folder.take(tmp_path / "copy")
    folder.made.load(event(), watermark=42)
    assert taken.watermark == 41
    restored = backup.restore(tmp_path / "copy", tmp_path / "new")
    assert restored == taken
    assert sorted(file.path for file in taken.files) == [
        "control.db",
        "facts.duckdb",
        "inbox.db",
        "sealed/day=2026-01-01/_manifest.json",
        "sealed/day=2026-01-01/predictions-0001.parquet",
    ]
    again = Made(tmp_path / "new" / "facts.duckdb")
    assert again.value("SELECT count(*) FROM predictions") == 500
    assert again.value("SELECT count(*) FROM features_1 WHERE f_x = 7") == 1
    assert again.loader.watermark() == 41
    again.facts.close()
    for name in ("inbox.db", "control.db"):
        assert rows(tmp_path / "new" / name) == [(1, "a"), (2,)], "numbers are not used again either"
        assert b"gone" not in (tmp_path / "new" / name).read_bytes()


def test_the_facts_stay_locked_by_the_process_that_has_them_open(folder: Folder, tmp_path: Path) -> None:
    """Closing a file gives up all locks on it: so the copy is another process's."""
    folder.take(tmp_path / "copy")
    script = (
        "import duckdb, sys\ntry:\n    duckdb.connect(sys.argv[1])\nexcept duckdb.Error as e:\n    print('locked', e)"
    )
    argv = [sys.executable, "-c", script, str(folder.path / "facts.duckdb")]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.startswith("locked")


def test_a_folder_that_is_used_is_refused(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    for path, reason in [
        (tmp_path / "used", "not empty"),
        (Path("relative"), "absolute"),
        (tmp_path / "no" / "parent", "cannot be a folder"),
        (tmp_path / "used" / "file", "cannot be a folder"),
    ]:
        with pytest.raises(SettingsError, match=reason):
            folder.take(path)
    folder.take(tmp_path / "copy")
    with pytest.raises(SettingsError, match="not empty"):
        backup.restore(tmp_path / "copy", tmp_path / "used")
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["file"]
    (tmp_path / "empty").mkdir()
    backup.restore(tmp_path / "copy", tmp_path / "empty")


@pytest.mark.parametrize("name", ["facts.duckdb", "inbox.db", "sealed/day=2026-01-01/predictions-0001.parquet"])
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_backup_is_not_restored(folder: Folder, tmp_path: Path, name: str, damage: str) -> None:
    folder.take(tmp_path / "copy")
    path = tmp_path / "copy" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()  # it may be a link to the sealed file itself
    if damage == "changed":
        path.write_bytes(data)
    with pytest.raises(InputError, match=path.name):
        backup.restore(tmp_path / "copy", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_is_not_whole_is_no_backup(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no whole backup"):
        backup.restore(tmp_path, tmp_path / "new")
    folder.take(tmp_path / "copy")
    manifest = json.loads((tmp_path / "copy" / backup.MANIFEST).read_text())
    (tmp_path / "copy" / backup.MANIFEST).write_text(json.dumps(manifest | {"facts_schema": 99, "version": "9.0"}))
    with pytest.raises(SettingsError, match=r"watchkeeper 9\.0, which is newer"):
        backup.restore(tmp_path / "copy", tmp_path / "new")
    (tmp_path / "copy" / backup.MANIFEST).write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        backup.restore(tmp_path / "copy", tmp_path / "new")


def test_what_cannot_be_copied_leaves_no_manifest(folder: Folder, tmp_path: Path) -> None:
    (folder.path / "inbox.db").unlink()
    (folder.path / "inbox.db").mkdir()
    with pytest.raises(StoreUnavailable, match="is not whole"):
        folder.take(tmp_path / "copy")
    assert not (tmp_path / "copy" / backup.MANIFEST).exists()


def test_compacting_keeps_every_row_and_gives_room_back(tmp_path: Path) -> None:
    made = Made(tmp_path / "facts.duckdb")
    for hour in range(10):
        ts = START + timedelta(hours=hour)
        made.load(*(event(ts=ts, extra={"n": n, "text": os.urandom(200).hex()}) for n in range(1000)), watermark=hour)
        made.facts.checkpoint()
    with made.facts.transaction() as connection:
        connection.execute("DELETE FROM prediction_rows WHERE ts > ?", [START])
    made.facts.checkpoint()
    size = made.facts.size()
    assert size.total > size.free > 0
    before = {
        name: made.value(f"SELECT count(*) FROM {name}") for name in ("predictions", "features_1", "traffic_hour")
    }
    with pytest.raises(StoreUnavailable, match="Stop the server first"):
        compact_elsewhere(tmp_path / "facts.duckdb")
    made.facts.close()
    old, new = compaction.compact(tmp_path / "facts.duckdb")
    assert new < old / 2
    again = Made(tmp_path / "facts.duckdb")
    assert {name: again.value(f"SELECT count(*) FROM {name}") for name in before} == before
    assert again.loader.watermark() == 9
    assert again.load(event(extra={"k": 1})).loaded == 1
    again.facts.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["facts.duckdb"]


def compact_elsewhere(path: Path) -> None:
    """As another process would: within one, DuckDB opens a file twice."""
    script = f"""
from pathlib import Path
from watchkeeper.store.facts.compaction import compact
compact(Path({str(path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StoreUnavailable(done.stderr)


def test_compacting_is_worth_it_for_a_gibibyte_and_half_of_the_file() -> None:
    gib = 2**30
    assert FileSize(2 * gib, gib).worth_compacting
    assert not FileSize(3 * gib, gib).worth_compacting
    assert not FileSize(gib, gib // 2).worth_compacting


def test_a_store_in_memory_has_a_size(tmp_path: Path) -> None:
    facts = FactStore()
    assert facts.size().free >= 0
    facts.close()

"""The schema of facts.duckdb: made once, kept, never guessed."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from store.facts_made import Made, event

from watchkeeper.schemas.errors import SettingsError, StoreUnavailable
from watchkeeper.store.facts import tables
from watchkeeper.store.facts.connection import FactStore


def test_a_new_file_gets_every_step(tmp_path: Path) -> None:
    made = Made(tmp_path / "facts.duckdb")
    assert made.rows("SELECT version FROM schema_version") == [(n + 1,) for n in range(len(tables.STEPS))]
    assert made.loader.watermark() == 0
    made.facts.close()


def test_opening_it_again_changes_nothing(tmp_path: Path) -> None:
    made = Made(tmp_path / "facts.duckdb")
    made.load(event(), event(), watermark=7)
    made.facts.close()
    again = Made(tmp_path / "facts.duckdb")
    assert again.value("SELECT count(*) FROM predictions") == 2
    assert again.loader.watermark() == 7
    assert again.value("SELECT count(*) FROM schema_version") == len(tables.STEPS)
    again.facts.close()


def test_a_later_step_runs_alone_on_an_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(tmp_path / "facts.duckdb")
    made.load(event())
    made.facts.close()
    monkeypatch.setattr(
        tables, "STEPS", (*tables.STEPS, ("CREATE TABLE later AS SELECT count(*) AS n FROM predictions",))
    )
    newer = FactStore(tmp_path / "facts.duckdb")
    assert newer.read("SELECT n FROM later").item() == 1
    assert newer.read("SELECT max(version) FROM schema_version").item() == len(tables.STEPS)
    newer.close()


def test_a_step_that_fails_leaves_the_older_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Made(tmp_path / "facts.duckdb").facts.close()
    known = len(tables.STEPS)
    monkeypatch.setattr(tables, "STEPS", (*tables.STEPS, ("CREATE TABLE half (x INT)", "CREATE TABLE models (x INT)")))
    with pytest.raises(duckdb.CatalogException):
        FactStore(tmp_path / "facts.duckdb")
    monkeypatch.undo()
    older = FactStore(tmp_path / "facts.duckdb")
    assert older.read("SELECT max(version) FROM schema_version").item() == known
    assert older.read("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'half'").item() == 0
    older.close()


def test_a_file_of_a_newer_release_is_refused_in_words(tmp_path: Path) -> None:
    made = Made(tmp_path / "facts.duckdb")
    with made.facts.transaction() as connection:
        connection.execute("INSERT INTO schema_version VALUES (99)")
    made.facts.close()
    with pytest.raises(SettingsError, match=r"schema 99, this release knows \d+: start the release that wrote it"):
        FactStore(tmp_path / "facts.duckdb")


def test_what_is_no_database_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "facts.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreUnavailable, match=r"cannot open .*facts\.duckdb"):
        FactStore(tmp_path / "facts.duckdb")

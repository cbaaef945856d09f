"""Folding the log into the file, while others read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from watchkeeper.store.facts import connection, retention
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.erasure import erase
from watchkeeper.store.facts.kept import Keep, Policy
from watchkeeper.store.sealed import SealedDays
from watchkeeper.store.subjects import parse


@pytest.fixture
def facts(tmp_path: Path) -> Iterator[FactStore]:
    opened = FactStore(tmp_path / "facts.duckdb")
    yield opened
    opened.close()


class Reader:
    """Reads as analyzers do; what is replaced meanwhile stays for it."""

    def __init__(self, facts: FactStore) -> None:
        self._cursor = facts._connection.cursor()
        self._cursor.execute("BEGIN")
        self._cursor.execute("SELECT count(*) FROM predictions").fetchall()
        with facts.transaction() as connection:  # after this, DuckDB refuses a checkpoint until the reader has ended
            connection.execute("CREATE TABLE one_more (x INTEGER)")

    def end(self) -> None:
        self._cursor.execute("COMMIT")


def test_a_reader_is_waited_for(facts: FactStore) -> None:
    reader = Reader(facts)
    assert not facts.checkpoint(patience=0.0)
    threading.Timer(0.3, reader.end).start()
    assert facts.checkpoint()


def test_one_that_reads_for_long_stops_neither_erasure_nor_retention(
    facts: FactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Both do more after it: sealed files, the audit log."""
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 0.2)
    reader = Reader(facts)
    sealed = SealedDays(tmp_path / "sealed")
    assert erase(facts, sealed, [parse("user_id=u-17")]).rows == 0
    retention.run(
        facts, sealed, Policy(Keep(90, 400, 30, 14), {}), datetime(2026, 1, 5, tzinfo=UTC).replace(tzinfo=None)
    )
    assert caplog.text.count("is not folded into the file now") == 2
    reader.end()
    assert facts.checkpoint()

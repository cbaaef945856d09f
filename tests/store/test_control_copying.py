"""Control data from one engine into the other and back: every table, every value, and numbers that go on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, select

from watchkeeper.schemas.errors import SettingsError
from watchkeeper.store.control import audit, copying
from watchkeeper.store.control.column_types import Document, Utc
from watchkeeper.store.control.connection import Control, Transaction, open_control
from watchkeeper.store.control.records import AuditEntry
from watchkeeper.store.control.tables import metadata

NOW = datetime(2026, 1, 6, 8, 30, 0, 123_456, UTC)
ROWS = 3
_names = count()


def value(column: Column, number: int) -> object:
    if isinstance(column.type, Utc):
        return NOW + timedelta(seconds=number)
    if isinstance(column.type, Document):
        return {"n": number, "x": [math.inf, "ä\u2028", 1e-300, None]}
    if isinstance(column.type, Boolean):
        return number % 2 == 0
    if isinstance(column.type, Float):
        return number + 0.1
    if isinstance(column.type, Integer):
        return number + 7
    if isinstance(column.type, LargeBinary):
        return bytes(range(number, number + 5))
    return f"v{number}"


def filled(control: Control) -> None:
    """Rows in every table but the audit log, whose entries are chained: those as they are written."""
    with control.transaction() as tx:
        for table in metadata.sorted_tables:
            if table.name == "audit":
                continue
            rows = [{column.name: value(column, number) for column in table.columns} for number in range(ROWS)]
            tx.write(table.insert(), rows)
        for number in range(ROWS):
            audit.add(tx, AuditEntry(NOW, f"user:{number}", "apply", "x", {"n": number}))


def everything(control: Control) -> dict[str, list[dict]]:
    with control.snapshot() as tx:
        return {
            table.name: [dict(row) for row in tx.rows(select(table).order_by(*table.primary_key)).mappings()]
            for table in metadata.sorted_tables
        }


def verified(tx: Transaction) -> bool:
    return audit.verify(tx).broken is None


@pytest.fixture
def another(either_control: Control, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Control]:
    """A second, empty database on the same engine."""
    if either_control.file is not None:
        opened = open_control(f"sqlite:///{tmp_path / 'another.db'}")
    else:
        psycopg = pytest.importorskip("psycopg")
        cluster: str = request.getfixturevalue("cluster")
        name = f"another_{next(_names)}"
        with psycopg.connect(cluster.format(name="postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        opened = open_control(cluster.format(name=name))
    yield opened
    opened.close()


def test_everything_comes_back_and_numbers_go_on(either_control: Control, another: Control, tmp_path: Path) -> None:
    filled(either_control)
    before = everything(either_control)
    assert all(len(rows) == ROWS for rows in before.values())
    copying.dump(either_control, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "copy.db-wal").exists()
    copy = open_control(f"sqlite:///{tmp_path / 'copy.db'}")
    assert everything(copy) == before
    copy.close()
    copying.fill(another, tmp_path / "copy.db")
    assert everything(another) == before
    for control in (either_control, another):
        with control.transaction() as tx:
            assert verified(tx)
            audit.add(tx, AuditEntry(NOW, "user:new", "apply", "y", {}))
            assert verified(tx)
    with pytest.raises(SettingsError, match="holds data already"):
        copying.fill(another, tmp_path / "copy.db")
    assert [len(rows) for rows in everything(another).values()] == [
        ROWS + (table.name == "audit") for table in metadata.sorted_tables
    ]


def test_a_copy_is_one_moment(either_control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written between two tables is in none of the copy: each write adds one entry to the log and one key."""
    numbers = count(100)
    first, last = metadata.sorted_tables[0], metadata.tables["audit"]
    filled(either_control)
    before = everything(either_control)
    real = Transaction.number_on

    def meanwhile(self: Transaction, table: object) -> None:
        if either_control.file is None or table is first:
            with either_control.transaction() as tx:
                audit.add(tx, AuditEntry(NOW, f"user:{next(numbers)}", "apply", "z", {}))
        real(self, table)

    monkeypatch.setattr(Transaction, "number_on", meanwhile)
    copying.dump(either_control, tmp_path / "copy.db")
    copy = open_control(f"sqlite:///{tmp_path / 'copy.db'}")
    assert everything(copy) == before
    copy.close()
    assert len(everything(either_control)[last.name]) > ROWS

"""Control data from one engine into the other: a backup of a server's is a SQLite file, as that of a file is.

All tables are read in one snapshot and written in one transaction, so a copy is whole or none. Values go through the
column types, which give back the same on both engines; the audit chain therefore verifies in the copy too.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import func, select

from watchkeeper.schemas.errors import SettingsError
from watchkeeper.store.control.connection import Control, Transaction, open_control
from watchkeeper.store.control.tables import metadata

PART = 1_000


def dump(control: Control, to: Path) -> None:
    """Write the control data as they are at one moment into a new SQLite file."""
    copy = open_control(f"sqlite:///{to}")
    try:
        with control.snapshot() as source, copy.transaction() as target:
            _copy(source, target)
    finally:
        copy.close()
    to.chmod(0o600)


def fill(control: Control, source: Path) -> None:
    """Put the control data of a SQLite file into a database that has none.

    Raises:
        SettingsError: it has some; nothing was changed.

    """
    copy = open_control(f"sqlite:///{source}")
    try:
        with copy.snapshot() as read, control.transaction() as target:
            target.serialize("restore")
            refuse_unless_empty(target)
            _copy(read, target)
    finally:
        copy.close()


def refuse_unless_empty(tx: Transaction) -> None:
    """Raise SettingsError where any table has a row."""
    for table in metadata.sorted_tables:
        rows = tx.rows(select(func.count()).select_from(table)).scalar_one()
        if rows:
            raise SettingsError(
                f"the control database (control.url) holds data already ({rows} rows of {table.name}): "
                "restore into an empty one"
            )


def _copy(source: Transaction, target: Transaction) -> None:
    for table in metadata.sorted_tables:
        found = source.rows(select(table).execution_options(yield_per=PART))
        for part in found.mappings().partitions(PART):
            target.write(table.insert(), [dict(row) for row in part])
        target.number_on(table)

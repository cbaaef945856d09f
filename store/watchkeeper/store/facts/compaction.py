"""Gives back the room that deleted rows left in the facts' file; only while no server runs.

DuckDB uses that room again before the file grows, so this is for when much went for good. It is also what removes the
last bytes of erased rows from the file.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.facts.connection import first
from watchkeeper.store.sealed import flushed
from watchkeeper.store.sql import literal, quoted


def compact(path: Path) -> tuple[int, int]:
    """Write everything into a new file that takes the place of the old one; give the bytes before and after.

    Raises StoreUnavailable where a server has the file open, where the disk has no room for a second file, or where a
    row would be missing; the file stays as it was then.
    """
    before = path.stat().st_size
    written = path.with_name(f".{path.name}.compacting")
    _remove(written)
    try:
        connection = duckdb.connect(str(path))
    except duckdb.Error as error:
        raise StoreUnavailable(f"cannot open {path}: {error}. Stop the server first") from None
    try:
        connection.execute("CHECKPOINT")
        name = quoted(str(first(connection, "SELECT current_database()")[0]))
        connection.execute(f"ATTACH {literal(str(written))} AS compacted")
        connection.execute(f"COPY FROM DATABASE {name} TO compacted")
        _check(connection, name)
        connection.execute("DETACH compacted")
        flushed(written)
        written.replace(path)  # while the old file is still locked: nobody may begin to write to it
        flushed(path.parent)
    except (duckdb.Error, OSError) as error:
        raise StoreUnavailable(f"{path} was not compacted and stays as it was: {error}") from None
    finally:
        connection.close()
        _remove(written)
    return before, path.stat().st_size


def _check(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name <> 'compacted'").fetchall()
    for (table,) in tables:
        old, new = (
            first(connection, f"SELECT count(*) FROM {where}.main.{quoted(table)}")[0] for where in (name, "compacted")
        )
        if old != new:
            raise StoreUnavailable(f"{table}: {new} of {old} rows were copied; the file stays as it was")


def _remove(written: Path) -> None:
    written.unlink(missing_ok=True)
    written.with_name(written.name + ".wal").unlink(missing_ok=True)

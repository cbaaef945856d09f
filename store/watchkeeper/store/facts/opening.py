"""Opening the facts, at the start and again after DuckDB gave the database up; the room that a checkpoint needs."""

from __future__ import annotations

import resource
import shutil
import time
from pathlib import Path

import duckdb

from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.facts import prediction_rows, tables

MEMORY = ":memory:"
REOPEN_SECONDS = 2.0
"""So long may the last cursors of a database that was given up stay, until it is opened anew."""
SPARE_BYTES = 16 * 2**20
"""Beside the log: tables that were changed have their descriptions written anew."""


def opened(path: Path | str, threads: int) -> duckdb.DuckDBPyConnection:
    """Open the file and bring it to the newest schema.

    Raises:
        StoreUnavailable: another process has it, it is no database, or the disk is full.
    """
    try:
        connection = _connected(path, threads)
    except duckdb.Error as error:
        raise StoreUnavailable(
            f"cannot open {path}: {error}. Is another watchkeeper server running on this data directory?"
        ) from None
    try:
        return _brought_up(connection)
    except duckdb.FatalException as error:
        connection.close()
        raise StoreUnavailable(f"cannot open {path}: {reason(error)}. Free disk or memory") from None


def reopened(old: duckdb.DuckDBPyConnection, path: Path | str, threads: int) -> duckdb.DuckDBPyConnection:
    """Close a database that was given up and open its file anew; waits for those who still read, for some seconds.

    As long as one cursor of it lives, DuckDB hands out the same database again, and that refuses everything.

    Raises:
        StoreUnavailable: it cannot be opened now, or somebody still reads.
    """
    if path == MEMORY:
        raise StoreUnavailable("the facts were in memory only and cannot be opened again: start anew")
    end = time.monotonic() + REOPEN_SECONDS
    while True:
        connection = None
        try:
            old.close()  # and every cursor of it; refused while one of them is at work
            connection = _connected(path, threads)
            return _brought_up(connection)
        except duckdb.Error as error:
            if connection is not None:
                connection.close()
            busy = connection is None or isinstance(error, duckdb.FatalException)
            if not busy or time.monotonic() >= end:
                raise StoreUnavailable(f"{path} cannot be opened anew: {reason(error)}. Free disk or memory") from None
        time.sleep(0.02)


def _connected(path: Path | str, threads: int) -> duckdb.DuckDBPyConnection:
    config: dict[str, str | bool | int | float | list[str]] = {"threads": threads, "preserve_insertion_order": False}
    if path != MEMORY:
        config["checkpoint_threshold"] = "256MB"
    return duckdb.connect(str(path), config=config)


def _brought_up(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    connection.execute("SET enable_progress_bar = false")  # in a child process DuckDB draws it on our stdout
    tables.migrate(connection)
    if connection.execute("SELECT 1 FROM duckdb_views() WHERE view_name = 'predictions'").fetchone() is None:
        prediction_rows.show(connection)
    return connection


def reason(error: duckdb.Error) -> str:
    """Give the first reason why a database was given up, on one line.

    >>> reason(duckdb.FatalException('FATAL Error: Failed: invalidated.\\nOriginal error: "Could not write file"'))
    'Could not write file'
    """
    said = str(error).rpartition("Original error: ")[2].strip()
    return said.splitlines()[0].removeprefix("FATAL Error: ").removeprefix('"').removesuffix('"')


def missing_room(path: Path, free_in_file: int) -> int:
    """Say how many bytes more a checkpoint would need, roughly, for it brings the database down where they lack.

    What the log holds may be written twice, and tables that changed have their descriptions written anew. Room is what
    the disk has, or the limit on the size of files, and what the file itself has free. Quotas are not seen.
    """
    log = path.with_name(f"{path.name}.wal")
    size = path.stat().st_size
    room = shutil.disk_usage(path.parent).free
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY:
        room = min(room, limit - size)
    needed = 2 * (log.stat().st_size if log.exists() else 0) + size // 50 + SPARE_BYTES
    return max(0, needed - room - free_in_file)

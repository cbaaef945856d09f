"""The one owner of facts.duckdb: a single writer, and a cursor for every read."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import duckdb
import polars as pl

from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.arrow_stream import ArrowStream
from watchkeeper.store.facts import prediction_rows, tables
from watchkeeper.store.sql import literal

MEMORY = ":memory:"
PATIENCE_SECONDS = 10.0
"""How long a checkpoint waits for readers of what was replaced."""
log = logging.getLogger("watchkeeper.server")


_COPY = """
import os, shutil, sys
for end in ("", ".wal"):
    if os.path.exists(sys.argv[1] + end):
        shutil.copyfile(sys.argv[1] + end, sys.argv[2] + end)
        with open(sys.argv[2] + end, "rb") as copied:
            os.fsync(copied.fileno())
"""


@dataclass(frozen=True, slots=True)
class FileSize:
    """Bytes of the facts' file, and how many of them hold nothing: they are used again before the file grows."""

    total: int
    free: int

    @property
    def worth_compacting(self) -> bool:
        """Whether compacting would give back at least a GiB and half of the file."""
        return self.free >= 2**30 and self.free * 2 >= self.total


class FactStore:
    """The facts of one data directory (or of none: ``FactStore(MEMORY)``).

    DuckDB refuses every second process while this one has the file open. Writers take turns; a reader never waits.
    """

    def __init__(self, path: Path | str = MEMORY, *, threads: int = 2) -> None:
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "preserve_insertion_order": False,
        }
        if path != MEMORY:
            config["checkpoint_threshold"] = "256MB"
        try:
            self._connection = duckdb.connect(str(path), config=config)
        except duckdb.Error as error:
            raise StoreUnavailable(
                f"cannot open {path}: {error}. Is another watchkeeper server running on this data directory?"
            ) from None
        self._connection.execute("SET enable_progress_bar = false")  # in a child process DuckDB draws it on our stdout
        self._path = path
        self._write = threading.RLock()
        self.generation = 0
        """Counts aborted transactions: what was cached inside one may not be true any more."""
        tables.migrate(self._connection)
        if not first(self._connection, "SELECT count(*) FROM duckdb_views() WHERE view_name = 'predictions'")[0]:
            prediction_rows.show(self._connection)

    @contextmanager
    def transaction(self) -> Generator[duckdb.DuckDBPyConnection]:
        """Write alone and all or nothing."""
        with self._write:
            try:
                self._connection.execute("BEGIN")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                self.generation += 1
                with contextlib.suppress(duckdb.Error):
                    self._connection.execute("ROLLBACK")
                if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException | duckdb.TransactionException):
                    raise StoreUnavailable(f"the facts cannot be written: {error}. Free disk or memory") from error
                raise

    def read(self, sql: str, parameters: object = None) -> pl.DataFrame:
        """Answer one query on its own cursor (results stream, so that no two readers may share one)."""
        with self._connection.cursor() as cursor:
            return frame_of(cursor.sql(sql, params=parameters))

    def copy(self, sql: str, parameters: object, path: Path) -> None:
        """Write the rows of a query to a Parquet file, in the order of the query, on a cursor of its own."""
        with self._connection.cursor() as cursor:
            cursor.execute(
                f"COPY ({sql}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)", parameters
            ).fetchall()

    def copy_file(self, to: Path) -> None:
        """Copy the file and its log as they are now; writers wait, readers do not.

        Another process copies: closing a file gives up every lock that a process holds on it, and a second server
        could open the facts.
        """
        with self._write:
            done = subprocess.run(  # noqa: S603
                [sys.executable, "-I", "-c", _COPY, str(self._path), str(to)],
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise StoreUnavailable(f"{self._path} cannot be copied: {done.stderr.strip().splitlines()[-1]}")

    def size(self) -> FileSize:
        """Say how big the file is, and how much of it holds nothing."""
        row = first(
            self._connection.cursor(), "SELECT block_size, total_blocks, free_blocks FROM pragma_database_size()"
        )
        block, total, free = (int(str(number)) for number in row)
        return FileSize(block * total, block * free)

    def checkpoint(self, patience: float | None = None) -> bool:
        """Fold the log into the file: for idle moments, it takes up to a second. False where it could not be done.

        While somebody still reads what an update or a change of the schema replaced, DuckDB folds nothing; that is
        waited for, ``patience`` seconds (10) at most. Nothing is lost then: the log holds it until the next one.

        Raises:
            StoreUnavailable: the disk is full, or gone.
        """
        end = time.monotonic() + (PATIENCE_SECONDS if patience is None else patience)
        while True:
            try:
                with self._write:
                    self._connection.execute("CHECKPOINT")
            except duckdb.TransactionException as error:
                if time.monotonic() >= end:
                    log.warning("the log of %s is not folded into the file now: %s", self._path, error)
                    return False
                time.sleep(0.1)
            except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
                raise StoreUnavailable(f"the facts cannot be written: {error}. Free disk or memory") from error
            else:
                return True

    def close(self) -> None:
        """Checkpoint and let the file go."""
        with self._write:
            self._connection.close()


def insert(connection: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame) -> None:
    """Append a frame to a table by column names."""
    if frame.height == 0:
        return
    _incoming = ArrowStream(frame)  # DuckDB finds it by its name: half as dear as a view
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM _incoming")


def frame_of(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """Take the rows of a query."""
    return pl.DataFrame(ArrowStream(relation))


@contextmanager
def registered(connection: duckdb.DuckDBPyConnection, name: str, frame: pl.DataFrame) -> Generator[None]:
    """Let SQL see a frame under a name, as an Arrow stream."""
    connection.register(name, cast("object", ArrowStream(frame)))
    try:
        yield
    finally:
        with contextlib.suppress(duckdb.Error):  # in an aborted transaction; the error that aborted it is what matters
            connection.unregister(name)


def first(connection: duckdb.DuckDBPyConnection, sql: str, parameters: object = None) -> tuple[object, ...]:
    """Answer with the first row, and take the rest too: an unread result would block the connection."""
    rows = connection.execute(sql, parameters).fetchall()
    return rows[0] if rows else ()

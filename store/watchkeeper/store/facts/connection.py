"""The one owner of facts.duckdb: a single writer, and a cursor for every read."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import duckdb
import polars as pl

from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.arrow_stream import ArrowStream
from watchkeeper.store.facts.opening import MEMORY, REOPEN_SECONDS, missing_room, opened, reason, reopened
from watchkeeper.store.sql import literal

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

    Where DuckDB gives the database up (a checkpoint on a full disk), every use is refused in words, and the next one
    opens the file anew: there was a log of everything.
    """

    def __init__(self, path: Path | str = MEMORY, *, threads: int = 2) -> None:
        self._path = path
        self._threads = threads
        self._write = threading.RLock()
        self.generation = 0
        """Counts aborted transactions: what was cached inside one may not be true any more."""
        self._connection = opened(path, threads)
        self._fallen = False
        self._openings = 0

    def _alive(self) -> duckdb.DuckDBPyConnection:
        """Give the connection; opens the file anew where the database was given up."""
        if self._fallen:
            before = self._openings
            if not self._write.acquire(timeout=REOPEN_SECONDS):
                raise self._not_yet()
            try:
                if self._fallen and before != self._openings:  # whoever came first has just tried
                    raise self._not_yet()
                if self._fallen:
                    self._reopen()
            finally:
                self._write.release()
        return self._connection

    def _not_yet(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self._path} is not opened anew yet. Free disk or memory; try again later")

    def _reopen(self) -> None:
        self.generation += 1
        try:
            self._connection = reopened(self._connection, self._path, self._threads)
        finally:
            self._openings += 1
        self._fallen = False
        log.warning("%s was opened anew and goes on", self._path)

    @contextmanager
    def _used(self) -> Generator[duckdb.DuckDBPyConnection]:
        """Give the connection; says in words that the database was given up meanwhile, whoever it was that did it."""
        connection = self._alive()
        try:
            yield connection
        except (duckdb.Error, pl.exceptions.PolarsError) as error:
            if isinstance(error, duckdb.FatalException) and connection is self._connection:
                self._fallen = True
            elif connection is self._connection and not self._fallen:
                raise
            traceback.clear_frames(error.__traceback__)  # what they hold of the old database would keep it there
            why = reason(error) if isinstance(error, duckdb.Error) else error
            raise StoreUnavailable(
                f"the facts in {self._path} cannot be used: {why}. Nothing is lost: free disk or memory, "
                "they are opened anew at the next use"
            ) from error

    @contextmanager
    def transaction(self) -> Generator[duckdb.DuckDBPyConnection]:
        """Write alone and all or nothing."""
        with self._write:
            try:
                with self._used() as connection:
                    connection.execute("BEGIN")
                    yield connection
                    connection.execute("COMMIT")
            except BaseException as error:
                self.generation += 1
                with contextlib.suppress(duckdb.Error):
                    self._connection.execute("ROLLBACK")
                if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException | duckdb.TransactionException):
                    raise StoreUnavailable(f"the facts cannot be written: {error}. Free disk or memory") from error
                raise

    def read(self, sql: str, parameters: object = None) -> pl.DataFrame:
        """Answer one query on its own cursor (results stream, so that no two readers may share one)."""
        with self._used() as connection, connection.cursor() as cursor:
            return frame_of(cursor.sql(sql, params=parameters))

    def copy(self, sql: str, parameters: object, path: Path) -> None:
        """Write the rows of a query to a Parquet file, in the order of the query, on a cursor of its own."""
        with self._used() as connection, connection.cursor() as cursor:
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
        with self._used() as connection, connection.cursor() as cursor:
            row = first(cursor, "SELECT block_size, total_blocks, free_blocks FROM pragma_database_size()")
        block, total, free = (int(str(number)) for number in row)
        return FileSize(block * total, block * free)

    def checkpoint(self, patience: float | None = None) -> bool:
        """Fold the log into the file: for idle moments, it takes up to a second. False where it could not be done.

        While somebody still reads what an update or a change of the schema replaced, DuckDB folds nothing; that is
        waited for, ``patience`` seconds (10) at most. Nothing is lost then: the log holds it until the next one.

        Raises:
            StoreUnavailable: the disk is full, or gone. It is not begun where there is too little room for it.
        """
        if self._path != MEMORY and (missing := missing_room(Path(self._path), self.size().free)):
            raise StoreUnavailable(
                f"the log of {self._path} is not folded into the file: {missing / 2**20:.0f} MiB more are needed for "
                "that. Nothing is lost; free disk"
            )
        end = time.monotonic() + (PATIENCE_SECONDS if patience is None else patience)
        while True:
            try:
                with self._write, self._used() as connection:
                    connection.execute("CHECKPOINT")
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

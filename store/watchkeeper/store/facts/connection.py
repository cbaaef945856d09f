"""The one owner of facts.duckdb: a single writer, and a cursor for every read."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import duckdb
import polars as pl

from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.arrow_stream import ArrowStream
from watchkeeper.store.facts import tables

MEMORY = ":memory:"


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
        self._write = threading.RLock()
        self.generation = 0
        """Counts aborted transactions: what was cached inside one may not be true any more."""
        tables.migrate(self._connection)

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
        target = str(path).replace("'", "''")
        with self._connection.cursor() as cursor:
            cursor.execute(f"COPY ({sql}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)", parameters).fetchall()

    def checkpoint(self) -> None:
        """Fold the log into the file: for idle moments, it takes up to a second."""
        with self._write:
            self._connection.execute("CHECKPOINT")

    def close(self) -> None:
        """Checkpoint and let the file go."""
        with self._write:
            self._connection.close()


def insert(connection: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame) -> None:
    """Append a frame to a table by column names."""
    if frame.height == 0:
        return
    with registered(connection, "incoming_rows", frame):
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming_rows")


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

"""Opens the control database and gives out transactions; the only place that knows which engine answers."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import msgspec
from sqlalchemy import (
    URL,
    Connection,
    CursorResult,
    Engine,
    Result,
    RowMapping,
    Select,
    Table,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy import exc as failures
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.sql.dml import UpdateBase

from watchkeeper.schemas.errors import SettingsError, StoreUnavailable
from watchkeeper.store.control import migrations

Columns = TypeVarTuple("Columns")
Record = TypeVar("Record")

BUSY_SECONDS = 10.0
"""How long a writer waits for another one before it gives up."""


class Transaction:
    """One open transaction. What the modules of this package take as their first argument."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, statement: Select[*Columns]) -> Result[*Columns]:
        """Run a query."""
        return self._connection.execute(statement)

    def write(self, statement: UpdateBase, values: list[dict[str, Any]] | None = None) -> int:
        """Insert, update or delete; give the number of rows that it touched."""
        result: CursorResult[*tuple[Any, ...]] = self._connection.execute(statement, values or None)
        return result.rowcount

    def insert(self, table: Table[Any]) -> sqlite.Insert | postgresql.Insert:
        """Give an INSERT that can be told what to do where a row is there already."""
        return (sqlite if self._connection.dialect.name == "sqlite" else postgresql).insert(table)

    def insert_if_absent(self, table: Table[Any], values: Mapping[str, object]) -> bool:
        """Insert a row unless its key is there already; tell whether it was inserted."""
        insert = self.insert(table).values(**values).on_conflict_do_nothing()
        # SQLAlchemy adds RETURNING on PostgreSQL and then forgets the count, unless told.
        return self.write(insert.execution_options(preserve_rowcount=True)) == 1

    def number_on(self, table: Table[Any]) -> None:
        """Let new rows be numbered after the highest there is, where rows came with their numbers.

        SQLite does so by itself.
        """
        column = table.autoincrement_column
        if column is None or self._connection.dialect.name != "postgresql":
            return
        highest = self._connection.execute(select(func.max(column))).scalar()
        if highest is not None:
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            self._connection.execute(select(func.setval(sequence, highest)))

    def serialize(self, name: str) -> None:
        """Let one transaction of that name run at a time, in all processes, until it ends.

        On SQLite every writing transaction is alone already.
        """
        if self._connection.dialect.name == "postgresql":
            self._connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (zlib.crc32(name.encode()),))


def as_record(kind: type[Record], row: RowMapping) -> Record:
    """Give a row as the record whose fields are named like the columns; other columns are left out."""
    return msgspec.convert({str(name): value for name, value in row.items()}, kind)


class Turns:
    """Lets the writers of one process go one after the other, in the order in which they came.

    SQLite's own lock knows no order: who waits for it looks every so often, and under load may find it taken for
    seconds while others come and go.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    @contextmanager
    def one(self, seconds: float) -> Generator[None]:
        """Wait for the turn, and have it until the end; TimeoutError where it does not come."""
        self._take(seconds)
        try:
            yield
        finally:
            self._pass_on()

    def _take(self, seconds: float) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            self._waiting.append(mine)
        if mine.wait(seconds):
            return
        with self._lock:
            if mine not in self._waiting:
                return  # it came at the last moment
            self._waiting.remove(mine)
        raise TimeoutError

    def _pass_on(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False


class Control:
    """The open control database. Safe to share between threads: each transaction has its own connection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turns = Turns() if engine.dialect.name == "sqlite" else None

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        """Write: all of it or nothing. Keep it short, on SQLite no other writer gets in."""
        with self._turn(), _told_plainly(self._engine), self._engine.begin() as connection:
            yield Transaction(connection)

    @contextmanager
    def _turn(self) -> Generator[None]:
        if self._turns is None:
            yield
            return
        with ExitStack() as turn:
            try:
                turn.enter_context(self._turns.one(BUSY_SECONDS))
            except TimeoutError:
                raise StoreUnavailable(
                    f"control database {self._engine.url}: others have written for {BUSY_SECONDS:.0f} s; try again"
                ) from None
            yield

    @contextmanager
    def snapshot(self) -> Generator[Transaction]:
        """Read one consistent state; it never waits for a writer."""
        with _told_plainly(self._engine), self._engine.connect() as plain:
            yield Transaction(plain.execution_options(**_READING[plain.dialect.name]))

    @property
    def file(self) -> Path | None:
        """The file of the database; None where it is on a server."""
        url = self._engine.url
        return Path(url.database) if url.drivername == "sqlite" and url.database else None

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


_READING: dict[str, dict[str, Any]] = {
    "sqlite": {"watchkeeper_reading": True},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}


def open_control(url: str) -> Control:
    """Open the control database, make it where it is missing, and bring an older one up to date.

    ``url`` is ``sqlite:///path/control.db`` or ``postgresql://user:password@host/name``.

    Raises:
        SettingsError: the URL cannot be read, or a newer Watchkeeper wrote the database.
        StoreUnavailable: the file or the server cannot be reached now.

    """
    engine = _engine(_read(url))
    try:
        with _told_plainly(engine), engine.begin() as connection:
            Transaction(connection).serialize("migrations")
            migrations.bring_up_to_date(connection)
    except BaseException:
        engine.dispose()
        raise
    return Control(engine)


def _read(text: str) -> URL:
    try:
        url = make_url(text)
    except failures.ArgumentError:
        raise SettingsError(f"control database: {text!r} is not a URL like sqlite:///data/control.db") from None
    if url.drivername in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in {"sqlite", "postgresql+psycopg"}:
        raise SettingsError(f"control database: {url.drivername!r} is not supported; take sqlite or postgresql")
    if url.drivername == "sqlite" and url.database in {None, "", ":memory:"}:
        raise SettingsError("control database: SQLite needs a file, as in sqlite:///data/control.db")
    return url


def _engine(url: URL) -> Engine:
    if url.drivername == "sqlite":
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"control database on PostgreSQL: {error}; install it: pip install 'psycopg[binary]'"
        ) from None


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own BEGIN comes late and is never IMMEDIATE: _begin_sqlite says it instead.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A writer that began as a reader fails at its first write when another one wrote meanwhile: take the lock at once.
    reading = connection.get_execution_options().get("watchkeeper_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


_OUR_FAULT = (failures.IntegrityError, failures.ProgrammingError, failures.DataError, failures.NotSupportedError)
"""What a wrong statement raises; everything else comes from the file, the disk or the server."""


@contextmanager
def _told_plainly(engine: Engine) -> Generator[None]:
    try:
        yield
    except _OUR_FAULT:
        raise
    except (failures.DBAPIError, failures.TimeoutError) as error:
        reason = getattr(error, "orig", None) or error
        where = engine.url.render_as_string(hide_password=True)
        raise StoreUnavailable(
            f"control database {where}: {str(reason).strip()}; try again, then look at the disk or the server"
        ) from error

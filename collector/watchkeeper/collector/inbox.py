"""The inbox: what was answered with 200 is on disk here, until the loader has stored it.

SQLite in WAL mode with synchronous=FULL; one writer thread commits everything that waits in one transaction (group
commit), so that an ack costs one fsync however many clients there are, and one more where bodies are large: those lie
beside it (see ``bodies``). The position is AUTOINCREMENT: a number is never used twice, or the loader's watermark would
skip rows.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from watchkeeper.collector import ledger
from watchkeeper.collector.bodies import LARGE, Bodies, Place
from watchkeeper.collector.decoding import Rejected
from watchkeeper.collector.ledger import ClientBook, Group
from watchkeeper.schemas.errors import Overloaded, StoreUnavailable
from watchkeeper.store.backup import copy_sqlite
from watchkeeper.store.sealed import flushed

log = logging.getLogger("watchkeeper.inbox")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, encoding TEXT NOT NULL, received_us INTEGER NOT NULL,
    batch_key TEXT, rows INTEGER NOT NULL, body BLOB NOT NULL, services TEXT);
CREATE TABLE IF NOT EXISTS beside (
    seq INTEGER PRIMARY KEY, file INTEGER NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rejects (
    seq INTEGER NOT NULL, row_index INTEGER NOT NULL, field TEXT NOT NULL, reason TEXT NOT NULL, raw BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS rejects_by_seq ON rejects (seq);
CREATE TABLE IF NOT EXISTS batch_keys (batch_key TEXT PRIMARY KEY, received_us INTEGER NOT NULL, reply BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT OR IGNORE INTO totals VALUES ('accepted', 0), ('rejected', 0), ('repeated_batches', 0);
"""
KEYS_KEPT_US = 24 * 3600 * 1_000_000
BUSY_SECONDS = 30
MAX_READ_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Incoming:
    """One request to be kept: its good events as bytes, its rejects, and the reply that it will get."""

    kind: str
    encoding: str
    received_us: int
    body: bytes
    rows: int
    rejected: Sequence[Rejected]
    reply: bytes
    batch_key: str | None = None
    client: ClientBook | None = None
    services: frozenset[str] | None = None
    """Where the sender's key is for some services only: these."""

    @property
    def size(self) -> int:
        """Bytes that it holds in the queue."""
        return len(self.body) + sum(len(reject.raw) for reject in self.rejected)


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """One request as the loader reads it back."""

    seq: int
    kind: str
    encoding: str
    received_us: int
    batch_key: str | None
    rows: int
    body: bytes
    rejected: Sequence[Rejected]
    services: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """The reply of a stored request; ``repeated`` where its key was stored before (the first reply is given again)."""

    reply: bytes
    repeated: bool


@dataclass(frozen=True, slots=True)
class InboxStatus:
    """How full the inbox is, and what it counted since the data directory was made."""

    accepted: int
    rejected: int
    repeated_batches: int
    backlog_rows: int
    backlog_bytes: int
    oldest_us: int | None


@dataclass(slots=True)
class _Waiting:
    incoming: Incoming
    done: Future[Ack] = field(default_factory=Future[Ack])


@dataclass(frozen=True, slots=True)
class _Turn:
    """Asks the writer to begin a new file for bodies."""

    done: threading.Event


class Inbox:
    """Keeps requests in order; ``append`` gives a future that is done when the request is on disk."""

    def __init__(self, path: Path, *, queue_bytes: int, queue_requests: int, backlog_bytes: int) -> None:
        self._path = path
        self._limits = (queue_bytes, queue_requests, backlog_bytes)
        self._queue: queue.SimpleQueue[_Waiting | _Turn | None] = queue.SimpleQueue()
        self._counter = threading.Lock()
        self._waiting_bytes = self._waiting = 0
        self._closed = False
        self.arrived = threading.Event()
        """Set after each commit: the loader waits for it."""
        with contextlib.closing(self._connect()) as connection:
            connection.executescript(_SCHEMA + ledger.SCHEMA)
            self._backlog_bytes, self._backlog_rows = _up_to(connection, 2**62)
            [last] = connection.execute("SELECT max(file) FROM beside").fetchone()
        self._bodies = Bodies(path.with_suffix(".bodies"), last or 0)
        self._remove_bodies()
        self._thread = threading.Thread(target=self._write, name="inbox", daemon=True)
        self._thread.start()

    @property
    def waiting_rows(self) -> int:
        """How many rows are kept and not let go yet."""
        return self._backlog_rows

    def number_after(self, watermark: int) -> None:
        """Never give a number again that the facts count as loaded, even if inbox.db was lost or is an older copy."""
        with contextlib.closing(self._connect()) as connection, connection:
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batches'").fetchone()
            if row is None:
                connection.execute("INSERT INTO sqlite_sequence VALUES ('batches', ?)", (watermark,))
            elif row[0] < watermark:
                connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'batches'", (watermark,))

    def newest(self) -> int:
        """Give the last number that was given."""
        with contextlib.closing(self._connect()) as connection:
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batches'").fetchone()
        return int(row[0]) if row else 0

    def waits(self, seq: int) -> bool:
        """Say whether anything up to a position waits to be loaded."""
        with contextlib.closing(self._connect()) as connection:
            found = connection.execute("SELECT EXISTS (SELECT 1 FROM batches WHERE seq <= ?)", (seq,)).fetchone()
        return bool(found[0])

    def scrub(self) -> None:
        """Leave no byte of what was let go on the disk; requests wait meanwhile, for what is loaded is short."""
        with contextlib.closing(self._connect()) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        turn = _Turn(threading.Event())
        self._queue.put(turn)
        if not turn.done.wait(BUSY_SECONDS):
            raise StoreUnavailable("the inbox is busy: what was let go may still be on the disk. Try again later")
        self._remove_bodies()

    def copy(self, to: Path) -> None:
        """Write what waits at one moment into a new file, every body in it.

        Where a body's file has gone in the meantime the facts hold it, and nobody will read its row again; where it is
        lost, whoever reads the row will say so.
        """
        copy_sqlite(self._path, to)
        with contextlib.closing(sqlite3.connect(to)) as connection, connection:
            for seq, *place in connection.execute("SELECT seq, file, start, size FROM beside").fetchall():
                with contextlib.suppress(FileNotFoundError, EOFError):
                    body = self._bodies.read(Place(*place))
                    connection.execute("UPDATE batches SET body = ? WHERE seq = ?", (body, seq))
            connection.execute("DELETE FROM beside")
        flushed(to)

    def append(self, incoming: Incoming) -> Future[Ack]:
        """Queue one request; refuse it at once where the queue or the backlog is full."""
        max_bytes, max_requests, max_backlog = self._limits
        waiting = _Waiting(incoming)
        with self._counter:
            if self._closed:
                raise StoreUnavailable("the inbox is closed: the server is stopping")
            if self._backlog_bytes > max_backlog:
                raise StoreUnavailable(
                    f"{self._backlog_bytes} bytes wait to be loaded (ingest.backlog_bytes): the loader is behind"
                )
            too_big = self._waiting and self._waiting_bytes + incoming.size > max_bytes  # alone, any size may pass
            if self._waiting >= max_requests or too_big:
                raise Overloaded("the ingest queue is full (ingest.queue_bytes, ingest.queue_requests)")
            self._waiting += 1
            self._waiting_bytes += incoming.size
            self._queue.put(waiting)
        return waiting.done

    def after(self, seq: int, max_rows: int) -> list[StoredBatch]:
        """Read the batches after a position, in order, until they have ``max_rows`` rows or 64 MiB."""
        batches: list[StoredBatch] = []
        rows = size = 0
        with contextlib.closing(self._connect()) as connection:
            cursor = connection.execute(
                """SELECT seq, kind, encoding, received_us, batch_key, rows, body, services, file, start, size
                   FROM batches LEFT JOIN beside USING (seq) WHERE seq > ? ORDER BY seq""",
                (seq,),
            )
            for number, kind, encoding, received_us, batch_key, count, inside, services, *place in cursor:
                if batches and (rows >= max_rows or size > MAX_READ_BYTES):
                    break
                body = inside if place[0] is None else self._beside(Place(*place))
                rejects = connection.execute(
                    "SELECT row_index, field, reason, raw FROM rejects WHERE seq = ? ORDER BY row_index", (number,)
                )
                rejected = [Rejected(*row) for row in rejects]
                only = None if services is None else frozenset[str](json.loads(services))
                batches.append(StoredBatch(number, kind, encoding, received_us, batch_key, count, body, rejected, only))
                rows += count
                size += len(body) + sum(len(reject.raw) for reject in rejected)
        return batches

    def trim(self, seq: int) -> None:
        """Let go of what the facts hold up to a position, and of keys older than a day."""
        try:
            with contextlib.closing(self._connect()) as connection, connection:
                freed, rows = _up_to(connection, seq)
                for table in ("rejects", "batches", "beside"):
                    connection.execute(f"DELETE FROM {table} WHERE seq <= ?", (seq,))
                oldest = int(time.time() * 1e6) - KEYS_KEPT_US
                connection.execute("DELETE FROM batch_keys WHERE received_us < ?", (oldest,))
                ledger.retire(connection, int(time.time() * 1e6))
        except sqlite3.Error as reason:
            raise _unwritable(reason) from None
        with self._counter:
            self._backlog_bytes = max(0, self._backlog_bytes - freed)
            self._backlog_rows = max(0, self._backlog_rows - rows)
        self._remove_bodies()

    def _remove_bodies(self) -> None:
        number = self._bodies.current  # asked first: a row that is committed from now on is of this file or a later one
        with contextlib.closing(self._connect()) as connection:
            [first] = connection.execute("SELECT min(file) FROM beside").fetchone()
        self._bodies.remove_before(min(number, first or number))

    def _beside(self, place: Place) -> bytes:
        try:
            return self._bodies.read(place)
        except (FileNotFoundError, EOFError) as reason:
            log.error("a body is lost, its batch will be a reject: %s", reason)  # noqa: TRY400 - no trace is needed
            return b""
        except OSError as reason:
            raise StoreUnavailable(
                f"the inbox cannot be read: {reason}. Check the disk of the data directory"
            ) from None

    def status(self) -> InboxStatus:
        """Count what is kept and what was ever taken."""
        with contextlib.closing(self._connect()) as connection:
            totals: dict[str, int] = dict(connection.execute("SELECT name, value FROM totals").fetchall())
            rows, size, oldest = connection.execute(
                """SELECT coalesce(sum(rows), 0), coalesce(sum(coalesce(size, length(body))), 0), min(received_us)
                   FROM batches LEFT JOIN beside USING (seq)"""
            ).fetchone()
        return InboxStatus(
            accepted=totals["accepted"],
            rejected=totals["rejected"],
            repeated_batches=totals["repeated_batches"],
            backlog_rows=rows,
            backlog_bytes=size,
            oldest_us=oldest,
        )

    def clients(self) -> list[Group]:
        """Sum up what clients say of themselves, and what arrived of it, by service, site and version."""
        with contextlib.closing(self._connect()) as connection:
            return ledger.groups(connection, time.time_ns() // 1000)

    def close(self) -> None:
        """Take no more, commit what waits, then stop."""
        with self._counter:
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _write(self) -> None:
        connection = self._connect()
        running = True
        while running:
            group = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    group.append(self._queue.get_nowait())
            running = None not in group
            self._commit(connection, [waiting for waiting in group if isinstance(waiting, _Waiting)])
            for turn in group:
                if isinstance(turn, _Turn):
                    self._bodies.turn()
                    turn.done.set()
        connection.close()
        self._bodies.close()

    def _commit(self, connection: sqlite3.Connection, group: list[_Waiting]) -> None:
        for waiting in group:
            waiting.done.set_running_or_notify_cancel()  # from here on nobody can cancel it, and it can be answered
        acks: list[Ack] = []
        error: StoreUnavailable | None = None
        try:
            large = [waiting.incoming for waiting in group if len(waiting.incoming.body) >= LARGE]
            places = dict(zip(map(id, large), self._bodies.keep([one.body for one in large]), strict=True))
            with connection:
                acks = [_store(connection, one.incoming, places.get(id(one.incoming))) for one in group]
        except (sqlite3.Error, OSError) as reason:
            error = _unwritable(reason)
        except Exception as reason:  # whatever it was: this thread must answer, and go on
            log.exception("a group of requests could not be stored")
            error = StoreUnavailable(f"the inbox cannot be written: {type(reason).__name__}: {reason}")
        with self._counter:
            self._waiting -= len(group)
            self._waiting_bytes -= sum(waiting.incoming.size for waiting in group)
            if error is None:
                fresh = zip(group, acks, strict=True)
                stored = [waiting.incoming for waiting, ack in fresh if not ack.repeated]
                self._backlog_bytes += sum(incoming.size for incoming in stored)
                self._backlog_rows += sum(incoming.rows for incoming in stored)
        for index, waiting in enumerate(group):
            if waiting.done.cancelled():
                continue
            if error is not None:
                waiting.done.set_exception(error)
            else:
                waiting.done.set_result(acks[index])
        self.arrived.set()


def _unwritable(reason: sqlite3.Error | OSError) -> StoreUnavailable:
    return StoreUnavailable(f"the inbox cannot be written: {reason}. Free space in the data directory")


def _up_to(connection: sqlite3.Connection, seq: int) -> tuple[int, int]:
    row = connection.execute(
        """SELECT (SELECT coalesce(sum(length(body)), 0) FROM batches WHERE seq <= :seq)
                + (SELECT coalesce(sum(size), 0) FROM beside WHERE seq <= :seq)
                + (SELECT coalesce(sum(length(raw)), 0) FROM rejects WHERE seq <= :seq),
                  (SELECT coalesce(sum(rows), 0) FROM batches WHERE seq <= :seq)""",
        {"seq": seq},
    ).fetchone()
    return int(row[0]), int(row[1])


def _store(connection: sqlite3.Connection, incoming: Incoming, place: Place | None) -> Ack:
    """Write one request inside the group's transaction; one whose key is known changes nothing."""
    if incoming.batch_key is not None:
        row = connection.execute("SELECT reply FROM batch_keys WHERE batch_key = ?", (incoming.batch_key,)).fetchone()
        if row is not None:
            connection.execute("UPDATE totals SET value = value + 1 WHERE name = 'repeated_batches'")
            if incoming.client is not None:
                rows = incoming.rows + len(incoming.rejected)
                ledger.note_again(connection, incoming.client, rows, incoming.received_us)
            return Ack(row[0], repeated=True)
        connection.execute(
            "INSERT INTO batch_keys VALUES (?, ?, ?)", (incoming.batch_key, incoming.received_us, incoming.reply)
        )
    if incoming.client is not None:
        ledger.note(connection, incoming.client, incoming.rows, len(incoming.rejected), incoming.received_us)
    cursor = connection.execute(
        """INSERT INTO batches (kind, encoding, received_us, batch_key, rows, body, services)
           VALUES (?, ?, ?, ?, ?, ?, ?)""",
        (
            incoming.kind,
            incoming.encoding,
            incoming.received_us,
            incoming.batch_key,
            incoming.rows,
            b"" if place else incoming.body,
            None if incoming.services is None else json.dumps(sorted(incoming.services)),
        ),
    )
    if place is not None:
        row = (cursor.lastrowid, place.file, place.start, place.size)
        connection.execute("INSERT INTO beside VALUES (?, ?, ?, ?)", row)
    if incoming.rejected:
        connection.executemany(
            "INSERT INTO rejects VALUES (?, ?, ?, ?, ?)",
            [(cursor.lastrowid, r.index, r.field, r.reason, r.raw) for r in incoming.rejected],
        )
    connection.executemany(
        "UPDATE totals SET value = value + ? WHERE name = ?",
        ((incoming.rows, "accepted"), (len(incoming.rejected), "rejected")),
    )
    return Ack(incoming.reply, repeated=False)

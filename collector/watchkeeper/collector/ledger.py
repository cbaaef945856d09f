"""The ledger of telemetry: what each client says that it logged, against what arrived.

A client is one process (or what it left on disk). With each request it tells its book: events logged, dropped, and
pending, this request's included. So ``logged - dropped - pending`` of them were answered with 200 before; each of those
must have arrived here. What did not is missing: a lost or older inbox, another server under the same address, a proxy
that answers by itself. The book is noted in the transaction that keeps the request, so a crash moves neither alone.

Misleads where a client is met in the middle of its life (its book starts before ours): what it had answered until then
is believed. And where the inbox is an older one (restored from a backup) and a client has ended since: nobody is left
to say what it sent after that.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from urllib.parse import unquote

SCHEMA = """
CREATE TABLE IF NOT EXISTS clients (
    client TEXT PRIMARY KEY, service TEXT NOT NULL, site TEXT NOT NULL, version TEXT NOT NULL, spool TEXT NOT NULL,
    logged INTEGER NOT NULL, dropped INTEGER NOT NULL, pending INTEGER NOT NULL, before INTEGER NOT NULL,
    accepted INTEGER NOT NULL, rejected INTEGER NOT NULL, first_us INTEGER NOT NULL, seen_us INTEGER NOT NULL,
    lost_us INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS former_clients (
    service TEXT NOT NULL, site TEXT NOT NULL, version TEXT NOT NULL, clients INTEGER NOT NULL, logged INTEGER NOT NULL,
    dropped INTEGER NOT NULL, accepted INTEGER NOT NULL, rejected INTEGER NOT NULL, missing INTEGER NOT NULL,
    first_us INTEGER NOT NULL, seen_us INTEGER NOT NULL, lost_us INTEGER NOT NULL,
    PRIMARY KEY (service, site, version));
"""
OFFLINE_US = 10 * 60 * 1_000_000
"""A client that was not heard of for so long is away; what it still held is overdue."""
FORMER_US = 30 * 24 * 3600 * 1_000_000
"""A client that was not heard of for so long is summed up with its like; what it still held counts as missing."""
_COUNT = re.compile("[0-9]{1,15}")
_LONGEST = 200
_MISSING = "max(0, logged - dropped - pending - before - accepted - rejected)"


@dataclass(frozen=True, slots=True)
class ClientBook:
    """What a client says of itself with a request: counts since it began; ``pending`` includes this request."""

    client: str
    logged: int
    dropped: int
    pending: int
    service: str = ""
    site: str = ""
    version: str = ""
    spool: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The clients of one service, site and version together.

    ``pending`` waits at clients that were heard of lately, ``overdue`` at those that were not. ``waiting_since_us`` is
    the oldest sign of life of a client that is not away and still held something. ``lost_us`` is when something was
    last seen to be dropped or missing; 0 where nothing ever was. Times are µs since 1970.
    """

    service: str
    site: str
    version: str
    clients: int
    online: int
    logged: int
    accepted: int
    rejected: int
    dropped: int
    missing: int
    pending: int
    overdue: int
    first_us: int
    seen_us: int
    lost_us: int
    waiting_since_us: int | None = None


def book(header: str | None) -> ClientBook | None:
    """Read ``Watchkeeper-Client: ID; logged=N; dropped=N; pending=N; service=S; …``; nonsense is no book.

    >>> book("a1; logged=10; dropped=2; pending=3; service=check%20out; site=ams")
    ClientBook(client='a1', logged=10, dropped=2, pending=3, service='check out', site='ams', version='', spool='')
    """
    client, *parts = [part.strip() for part in (header or "").split(";")]
    said = {name: text for name, _, text in (part.partition("=") for part in parts)}
    counts = [said.get(name, "") for name in ("logged", "dropped", "pending")]
    if not client or not all(map(_COUNT.fullmatch, counts)):
        return None
    logged, dropped, pending = map(int, counts)
    if dropped + pending > logged:
        return None
    words = {name: _text(said.get(name, "")) for name in ("service", "site", "version", "spool")}
    return ClientBook(_text(client), logged, dropped, pending, **words)


def _text(value: str) -> str:
    return unquote(value)[:_LONGEST]


def note(connection: sqlite3.Connection, told: ClientBook, accepted: int, rejected: int, now_us: int) -> None:
    """Keep a client's book and what a request brought, inside the transaction that keeps the request."""
    _note(connection, told, accepted + rejected, (accepted, rejected), now_us)


def note_again(connection: sqlite3.Connection, told: ClientBook, rows: int, now_us: int) -> None:
    """Keep the book of a request that is here already: it brings nothing, but its rows are pending no longer."""
    _note(connection, told, rows, (0, 0), now_us)


def _note(connection: sqlite3.Connection, told: ClientBook, rows: int, brought: tuple[int, int], now_us: int) -> None:
    left = max(0, told.pending - rows)
    before = max(0, told.logged - told.dropped - left - sum(brought))  # of a client that is new here: believed
    was = connection.execute(f"SELECT dropped, {_MISSING} FROM clients WHERE client = ?", (told.client,)).fetchone()
    connection.execute(
        """INSERT INTO clients VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (client) DO UPDATE SET
             service = excluded.service, site = excluded.site, version = excluded.version, spool = excluded.spool,
             pending = CASE WHEN excluded.logged >= logged THEN excluded.pending ELSE pending END,
             logged = max(logged, excluded.logged), dropped = max(dropped, excluded.dropped),
             accepted = accepted + excluded.accepted, rejected = rejected + excluded.rejected,
             seen_us = max(seen_us, excluded.seen_us)""",
        (
            told.client,
            told.service,
            told.site,
            told.version,
            told.spool,
            told.logged,
            told.dropped,
            left,
            before,
            *brought,
            now_us,
            now_us,
        ),
    )
    now = connection.execute(f"SELECT dropped, {_MISSING} FROM clients WHERE client = ?", (told.client,)).fetchone()
    if sum(now) > sum(was or (0, 0)):
        connection.execute("UPDATE clients SET lost_us = ? WHERE client = ?", (now_us, told.client))


def groups(connection: sqlite3.Connection, now_us: int) -> list[Group]:
    """Sum the clients up, by service, site and version."""
    rows = connection.execute(
        f"""WITH every AS (
              SELECT service, site, version, 1 AS clients, seen_us >= :away AS online, logged, accepted, rejected,
                     dropped, {_MISSING} AS missing, pending, first_us, seen_us, lost_us
              FROM clients
              UNION ALL
              SELECT service, site, version, clients, 0, logged, accepted, rejected, dropped, missing, 0, first_us,
                     seen_us, lost_us
              FROM former_clients)
            SELECT service, site, version, sum(clients), sum(online), sum(logged), sum(accepted), sum(rejected),
                   sum(dropped), sum(missing), sum(iif(online, pending, 0)), sum(iif(online, 0, pending)),
                   min(first_us), max(seen_us), max(lost_us), min(iif(online AND pending > 0, seen_us, NULL))
            FROM every GROUP BY service, site, version ORDER BY service, site, version""",
        {"away": now_us - OFFLINE_US},
    )
    return [Group(*row) for row in rows]


def retire(connection: sqlite3.Connection, now_us: int) -> None:
    """Sum up the clients that were not heard of for long, so that the table does not grow with every restart."""
    before = {"before": now_us - FORMER_US}
    connection.execute(
        f"""INSERT INTO former_clients
            SELECT service, site, version, count(*), sum(logged), sum(dropped), sum(accepted), sum(rejected),
                   sum(pending + {_MISSING}), min(first_us), max(seen_us), max(iif(pending > 0, seen_us, lost_us))
            FROM clients WHERE seen_us < :before GROUP BY service, site, version
            ON CONFLICT (service, site, version) DO UPDATE SET
              clients = clients + excluded.clients, logged = logged + excluded.logged,
              dropped = dropped + excluded.dropped, accepted = accepted + excluded.accepted,
              rejected = rejected + excluded.rejected, missing = missing + excluded.missing,
              first_us = min(first_us, excluded.first_us), seen_us = max(seen_us, excluded.seen_us),
              lost_us = max(lost_us, excluded.lost_us)""",
        before,
    )
    connection.execute("DELETE FROM clients WHERE seen_us < :before", before)

"""Who did what, when: rows are only ever added, each chained to the one before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import RowMapping, insert, select

from watchkeeper.schemas.findings import Json
from watchkeeper.store.control.audit_chain import START, link
from watchkeeper.store.control.connection import Transaction
from watchkeeper.store.control.records import AuditEntry
from watchkeeper.store.control.tables import audit as table


@dataclass(frozen=True, slots=True)
class Link:
    """One entry at its place in the chain."""

    number: int
    entry: AuditEntry
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Chain:
    """What a check of the whole chain found: how many entries hold, the newest hash, and where it breaks, if so."""

    entries: int
    head: str
    broken: int | None = None
    reason: str = ""


def add(tx: Transaction, entry: AuditEntry) -> None:
    """Write one entry, in the transaction of what it tells of.

    On PostgreSQL it waits until no other transaction that wrote an entry is open, so that the chain never forks:
    write it last.
    """
    tx.serialize("audit")
    last = tx.rows(select(table.c.id, table.c.hash).order_by(table.c.id.desc()).limit(1)).first()
    number, previous = (last[0] + 1, last[1]) if last else (1, START)
    row: dict[str, Any] = {"at": entry.at, "actor": entry.actor, "action": entry.action, "subject": entry.subject}
    chained = {"id": number, "previous": previous, "hash": link(number, entry, previous)}
    tx.write(insert(table).values(**row, **chained, detail=entry.detail, key=entry.key))


def entries(tx: Transaction, limit: int = 1000) -> list[AuditEntry]:
    """Give the newest entries, the newest first."""
    return [one.entry for one in links(tx, limit)]


def links(tx: Transaction, limit: int = 1000) -> list[Link]:
    """Give the newest entries with their hashes, the newest first."""
    return [_link(row) for row in tx.rows(select(table).order_by(table.c.id.desc()).limit(limit)).mappings()]


def verify(tx: Transaction, head: str | None = None) -> Chain:
    """Compute every hash again, from the first entry on; name the first entry that does not hold.

    ``head`` is a hash that was once the newest: a chain that was cut off before it, or made anew, lacks it.
    """
    previous, count, met = START, 0, head is None
    for one in _all(tx):
        if one.previous != previous:
            return Chain(count, previous, one.number, "the entry before it is not the one that it was written after")
        if one.hash != link(one.number, one.entry, previous):
            return Chain(count, previous, one.number, "its content is not what was written")
        previous, count, met = one.hash, count + 1, met or one.hash == head
    if not met:
        return Chain(count, previous, count + 1, f"no entry has the hash {head}: entries are missing at the end")
    return Chain(count, previous)


def _all(tx: Transaction) -> Iterator[Link]:
    for row in tx.rows(select(table).order_by(table.c.id)).mappings():
        yield _link(row)


def _link(row: RowMapping) -> Link:
    detail = cast("dict[str, Json]", row["detail"])
    entry = AuditEntry(row["at"], row["actor"], row["action"], row["subject"], detail, row["key"])
    return Link(row["id"], entry, row["previous"], row["hash"])

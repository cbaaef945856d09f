"""Who did what, when: rows are only ever added."""

from __future__ import annotations

from sqlalchemy import insert, select

from watchkeeper.store.control.connection import Transaction
from watchkeeper.store.control.records import AuditEntry
from watchkeeper.store.control.tables import audit as table


def add(tx: Transaction, entry: AuditEntry) -> None:
    """Write one entry, in the transaction of what it tells of."""
    row = {"at": entry.at, "actor": entry.actor, "action": entry.action, "subject": entry.subject}
    tx.write(insert(table).values(**row, detail=entry.detail))


def entries(tx: Transaction, limit: int = 1000) -> list[AuditEntry]:
    """Give the newest entries, the newest first."""
    rows = tx.rows(select(table).order_by(table.c.id.desc()).limit(limit)).mappings()
    return [AuditEntry(row["at"], row["actor"], row["action"], row["subject"], row["detail"]) for row in rows]

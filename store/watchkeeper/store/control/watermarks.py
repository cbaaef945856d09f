"""How far each analyzer has come: everything before its watermark is evaluated and recorded."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import insert, select, update

from watchkeeper.store.control.connection import Transaction
from watchkeeper.store.control.tables import watermark as table


def get(tx: Transaction, analyzer: str, subject: str = "") -> datetime | None:
    """Give the watermark, or None where nothing was evaluated yet."""
    query = select(table.c.at).where(table.c.analyzer == analyzer, table.c.subject == subject)
    return tx.rows(query).scalar()


def put(tx: Transaction, analyzer: str, at: datetime, subject: str = "") -> None:
    """Set the watermark; it may go back, for an evaluation that is to be repeated."""
    found = update(table).where(table.c.analyzer == analyzer, table.c.subject == subject).values(at=at)
    if tx.write(found) == 0:
        tx.write(insert(table).values(analyzer=analyzer, subject=subject, at=at))


def every(tx: Transaction) -> dict[tuple[str, str], datetime]:
    """Give all watermarks by (analyzer, subject)."""
    return {
        (analyzer, subject): at
        for analyzer, subject, at in tx.rows(select(table.c.analyzer, table.c.subject, table.c.at))
    }

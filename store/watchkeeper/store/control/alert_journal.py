"""Posts of alerts as they were answered with 200: appended whole, applied in order, each exactly once.

Whoever applies them does so under ``serialize("intake")``, one server at a time, and lets go of them in the transaction
that keeps what they hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, select

from watchkeeper.store.control.connection import Transaction, as_record
from watchkeeper.store.control.tables import alert_journal as table


@dataclass(frozen=True, slots=True)
class Post:
    """One post, or a part of a big one: how many alerts, and they themselves as they were encoded."""

    received_at: datetime
    alerts: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """One post with its place in the order."""

    id: int
    received_at: datetime
    alerts: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be applied; ``oldest`` None where nothing does."""

    posts: int
    alerts: int
    oldest: datetime | None


def append(tx: Transaction, posts: Iterable[Post]) -> None:
    """Add posts at the end."""
    rows = [{"received_at": one.received_at, "alerts": one.alerts, "body": one.body} for one in posts]
    if rows:
        tx.write(insert(table), rows)


def oldest(tx: Transaction, most: int) -> list[Kept]:
    """Give the oldest posts until they hold ``most`` alerts; at least one, where any waits."""
    found: list[Kept] = []
    count = 0
    for row in tx.rows(select(table).order_by(table.c.id).limit(most)).mappings():
        if found and count + int(row["alerts"]) > most:
            break
        found.append(as_record(Kept, row))
        count += found[-1].alerts
    return found


def every(tx: Transaction) -> list[Kept]:
    """Give all that wait, in order."""
    return [as_record(Kept, row) for row in tx.rows(select(table).order_by(table.c.id)).mappings()]


def drop(tx: Transaction, posts: Sequence[Kept]) -> None:
    """Let go of posts that were applied."""
    if posts:
        tx.write(delete(table).where(table.c.id.in_([one.id for one in posts])))


def backlog(tx: Transaction) -> Backlog:
    """Count what waits."""
    query = select(func.count(), func.coalesce(func.sum(table.c.alerts), 0), func.min(table.c.received_at))
    posts, alerts, oldest_at = tx.rows(query).one()
    return Backlog(posts, int(alerts), oldest_at)

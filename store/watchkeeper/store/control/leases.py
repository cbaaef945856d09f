"""Who may do what only one server does at a time: a row that is held, renewed, and taken over when it runs out.

Whoever holds it touches its row in the transaction of the work itself (``renew``). So a rival that takes the lease
waits for that transaction, and sees the work done; and work of a holder that has lost it is not stored.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import or_, select, update

from watchkeeper.schemas.errors import Unavailable
from watchkeeper.store.control.connection import Transaction
from watchkeeper.store.control.tables import lease as table

AHEAD = timedelta(minutes=5)
"""A lease that ends later than its length and this from now was written by a clock that was ahead: it holds no more."""


class LeaseLost(Unavailable):
    """Another server holds it by now: what was about to be stored is that one's work."""


def take(tx: Transaction, name: str, holder: str, now: datetime, length: timedelta) -> int | None:
    """Take or renew a lease and give its term; None while another one holds it.

    The term grows each time that it changes hands: who finds another term than its own has missed what others did.
    """
    if tx.insert_if_absent(table, {"name": name, "holder": holder, "until": now + length, "term": 1}):
        return 1
    held = update(table).where(table.c.name == name)
    if tx.write(held.where(table.c.holder == holder).values(until=now + length)) == 0:
        over = or_(table.c.until <= now, table.c.until > now + length + AHEAD)
        taken = held.where(over).values(holder=holder, until=now + length, term=table.c.term + 1)
        if tx.write(taken) == 0:
            return None
    return tx.rows(select(table.c.term).where(table.c.name == name)).scalar()


def renew(tx: Transaction, name: str, holder: str, term: int, now: datetime, length: timedelta) -> None:
    """Renew a lease inside the transaction that it protects.

    Raises:
        LeaseLost: another one has taken it since.

    """
    mine = update(table).where(table.c.name == name, table.c.holder == holder, table.c.term == term)
    if tx.write(mine.values(until=now + length)) == 0:
        raise LeaseLost(f"lease {name}: {holder} does not hold it any more; another server goes on")


def release(tx: Transaction, name: str, holder: str, now: datetime) -> None:
    """Let it go, so that another one need not wait for its end; nothing happens where another one holds it."""
    tx.write(update(table).where(table.c.name == name, table.c.holder == holder).values(until=now))


def holder_of(tx: Transaction, name: str, now: datetime) -> str | None:
    """Say who holds it now."""
    return tx.rows(select(table.c.holder).where(table.c.name == name, table.c.until > now)).scalar()

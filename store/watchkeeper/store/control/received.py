"""Alerts that other systems posted, each once by its label set, until they are taken into incidents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import and_, case, delete, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from watchkeeper.store.control.connection import Transaction, as_record
from watchkeeper.store.control.tables import received_alert as table


@dataclass(frozen=True, slots=True)
class Received:
    """One alert as it was posted last, and the service and model that it is about.

    ``urgent``: it is a page, and is taken first. ``firing``: it was taken into an incident and goes on there.
    """

    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    generator_url: str
    starts_at: datetime
    ends_at: datetime
    updated_at: datetime
    service: str
    model: str = ""
    urgent: bool = False
    firing: bool = False


def fingerprint(labels: Mapping[str, str]) -> str:
    """Identify a label set: 16 hex digits.

    >>> fingerprint({"b": "2", "a": "1"}) == fingerprint({"a": "1", "b": "2"})
    True
    """
    pairs = "\x1f".join(f"{name}\x1e{value}" for name, value in sorted(labels.items()))
    return hashlib.sha256(pairs.encode()).hexdigest()[:16]


def put(tx: Transaction, alerts: Iterable[Received]) -> None:
    """Store alerts in the order in which they were posted. A repeated one moves only its end; news waits to be taken.

    What begins and ends in one call waits as well: it is told once.
    """
    rows = [
        {name: getattr(one, name) for name in _POSTED} | {"waiting": one.ends_at > one.updated_at} for one in alerts
    ]
    if not rows:
        return
    fresh = tx.insert(table)
    posted = fresh.excluded
    goes_on = posted.ends_at > posted.updated_at
    news = or_(and_(table.c.firing, ~goes_on), and_(~table.c.firing, goes_on))
    changed = {name: posted[name] for name in ("annotations", "generator_url", "ends_at", "updated_at")}
    # While it goes on, its beginning stays the first one that was told.
    starts_at = case((table.c.firing, table.c.starts_at), else_=posted.starts_at)
    statement = fresh.on_conflict_do_update(
        index_elements=[table.c.fingerprint],
        set_={**changed, "starts_at": starts_at, "waiting": or_(table.c.waiting, news)},
    )
    tx.write(statement, [row | {"firing": False} for row in rows])


def waiting(tx: Transaction, now: datetime, limit: int) -> list[Received]:
    """Give alerts that began, ended, or were not repeated in time and were not taken since, pages first.

    What is about one service and model comes together: each incident is written once, not once an alert. Of those
    without a page the one goes first that waits longest.
    """
    which = _news(now)
    about = (table.c.service, table.c.model)
    page = func.max(case((table.c.urgent, 1), else_=0)).label("page")
    since = func.min(table.c.updated_at).label("since")
    grouped = select(*about, page, since).where(which).group_by(*about)
    first = grouped.order_by(page.desc(), since, *about).limit(limit).subquery()
    same = and_(table.c.service == first.c.service, table.c.model == first.c.model)
    order = (first.c.page.desc(), first.c.since, *about, table.c.urgent.desc(), table.c.updated_at, table.c.fingerprint)
    query = select(table).join(first, same).where(which).order_by(*order).limit(limit)
    return [as_record(Received, row) for row in tx.rows(query).mappings()]


def any_waiting(tx: Transaction, now: datetime) -> bool:
    """Say whether there is anything to take."""
    return tx.rows(select(table.c.fingerprint).where(_news(now)).limit(1)).scalar() is not None


def count_waiting(tx: Transaction) -> int:
    """Count the alerts that nobody took yet."""
    return tx.rows(select(func.count()).where(table.c.waiting)).scalar() or 0


def taken(tx: Transaction, alerts: Iterable[Received], now: datetime) -> None:
    """Note that these, which were read in this transaction, were taken as they stand at ``now``."""
    every = list(alerts)
    for firing in (True, False):
        keys = [one.fingerprint for one in every if (one.ends_at > now) is firing]
        if keys:
            tx.write(update(table).where(table.c.fingerprint.in_(keys)).values(firing=firing, waiting=False))


def get(tx: Transaction, fingerprints: Iterable[str]) -> dict[str, Received]:
    """Give alerts by fingerprint."""
    wanted = sorted(set(fingerprints))
    found: dict[str, Received] = {}
    for at in range(0, len(wanted), 500):
        query = select(table).where(table.c.fingerprint.in_(wanted[at : at + 500]))
        found |= {row["fingerprint"]: as_record(Received, row) for row in tx.rows(query).mappings()}
    return found


def untaken(tx: Transaction) -> list[Received]:
    """Give the alerts that nobody took yet."""
    return [as_record(Received, row) for row in tx.rows(select(table).where(table.c.waiting)).mappings()]


def forget(tx: Transaction, before: datetime) -> int:
    """Let go of alerts that ended before a time; give how many."""
    over = and_(~table.c.waiting, ~table.c.firing, table.c.ends_at < before)
    return tx.write(delete(table).where(over))


def _news(now: datetime) -> ColumnElement[bool]:
    return or_(table.c.waiting, and_(table.c.firing, table.c.ends_at <= now))


_POSTED = tuple(field.name for field in fields(Received) if field.name != "firing")
KEPT = timedelta(days=5)
"""How long an alert that ended is known; as in Alertmanager."""

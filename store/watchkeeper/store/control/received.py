"""Alerts that other systems posted, each once by its label set, until they are taken into incidents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, case, delete, or_, select, update

from watchkeeper.store.control.connection import Transaction, as_record
from watchkeeper.store.control.tables import received_alert as table


@dataclass(frozen=True, slots=True)
class Received:
    """One alert as it was posted last. ``firing``: it was taken into an incident and goes on there."""

    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    generator_url: str
    starts_at: datetime
    ends_at: datetime
    updated_at: datetime
    firing: bool = False


def fingerprint(labels: Mapping[str, str]) -> str:
    """Identify a label set: 16 hex digits.

    >>> fingerprint({"b": "2", "a": "1"}) == fingerprint({"a": "1", "b": "2"})
    True
    """
    pairs = "\x1f".join(f"{name}\x1e{value}" for name, value in sorted(labels.items()))
    return hashlib.sha256(pairs.encode()).hexdigest()[:16]


def put(tx: Transaction, alerts: Iterable[Received]) -> None:
    """Store alerts as they were posted. One that is repeated moves only its end; news waits to be taken."""
    rows = {
        one.fingerprint: {
            "fingerprint": one.fingerprint,
            "labels": one.labels,
            "annotations": one.annotations,
            "generator_url": one.generator_url,
            "starts_at": one.starts_at,
            "ends_at": one.ends_at,
            "updated_at": one.updated_at,
            "firing": False,
            "waiting": one.ends_at > one.updated_at,
        }
        for one in alerts
    }
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
    tx.write(statement, list(rows.values()))


def waiting(tx: Transaction, now: datetime, limit: int) -> list[Received]:
    """Give alerts that began, ended, or were not repeated in time and were not taken since; the oldest first."""
    which = or_(table.c.waiting, and_(table.c.firing, table.c.ends_at <= now))
    query = select(table).where(which).order_by(table.c.updated_at, table.c.fingerprint).limit(limit)
    return [as_record(Received, row) for row in tx.rows(query).mappings()]


def taken(tx: Transaction, alerts: Iterable[Received], now: datetime) -> None:
    """Note that these were taken, as they stand at ``now``; what was posted since they were read stays news."""
    every = list(alerts)
    newest = max((one.updated_at for one in every), default=now)
    for firing in (True, False):
        keys = [one.fingerprint for one in every if (one.ends_at > now) is firing]
        if keys:
            done = update(table).where(table.c.fingerprint.in_(keys), table.c.updated_at <= newest)
            tx.write(done.values(firing=firing, waiting=False))


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


KEPT = timedelta(days=5)
"""How long an alert that ended is known; as in Alertmanager."""

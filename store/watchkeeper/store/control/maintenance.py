"""Planned work: when, on what, by whom and why. It keeps messages back, and is left out of error budgets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from sqlalchemy import RowMapping, Select, insert, select, update

from watchkeeper.schemas.errors import InputError, NotFound
from watchkeeper.schemas.findings import Json
from watchkeeper.schemas.matchers import Matchers, all_hold, loaded, stored
from watchkeeper.store.control import audit
from watchkeeper.store.control.connection import Transaction
from watchkeeper.store.control.records import AuditEntry
from watchkeeper.store.control.tables import maintenance as table

_COLUMNS = tuple(column.name for column in table.c)


@dataclass(frozen=True, slots=True)
class Maintenance:
    """One window [starts_at, ends_at) on everything whose labels meet all matchers."""

    id: str
    matchers: Matchers
    starts_at: datetime
    ends_at: datetime
    author: str
    reason: str
    created_at: datetime

    def state(self, now: datetime) -> str:
        """Say where it stands: pending, active or expired."""
        return "pending" if now < self.starts_at else "active" if now < self.ends_at else "expired"


def add(
    tx: Transaction,
    matchers: Matchers,
    starts_at: datetime,
    ends_at: datetime,
    author: str,
    reason: str,
    now: datetime,
    key: str | None = None,
) -> Maintenance:
    """Plan a window. It may begin in the past: work that nobody had planned corrects the budget all the same.

    Raises:
        InputError: it ends before it begins, or author, reason or every matcher is missing.

    """
    if starts_at >= ends_at:
        raise InputError(f"a maintenance window that begins at {starts_at} cannot end at {ends_at}")
    if not matchers or not author.strip() or not reason.strip():
        raise InputError("a maintenance window needs a matcher, an author and a reason")
    window = Maintenance(str(uuid4()), matchers, starts_at, ends_at, author, reason, now)
    row = {name: getattr(window, name) for name in _COLUMNS} | {"matchers": stored(matchers)}
    tx.write(insert(table).values(row))
    audit.add(tx, AuditEntry(now, author, "maintenance.added", window.id, _detail(window), key))
    return window


def end(tx: Transaction, window_id: str, now: datetime, actor: str, key: str | None = None) -> Maintenance:
    """End a window now; one that has not begun is over before it begins, and one that is over stays as it is.

    Raises:
        NotFound: there is none of this id.

    """
    window = get(tx, window_id)
    if window.ends_at <= now:
        return window
    ended = replace(window, ends_at=max(now, window.starts_at))
    tx.write(update(table).where(table.c.id == window_id).values(ends_at=ended.ends_at))
    audit.add(tx, AuditEntry(now, actor, "maintenance.ended", window_id, _detail(ended), key))
    return ended


def get(tx: Transaction, window_id: str) -> Maintenance:
    """Give one window; NotFound where there is none of this id."""
    found = _read(tx, select(table).where(table.c.id == window_id))
    if not found:
        raise NotFound(f"there is no maintenance window {window_id!r}; `watchkeeper maintenance list` shows them")
    return found[0]


def listed(tx: Transaction, ending_after: datetime | None = None) -> list[Maintenance]:
    """List the windows that end after a time (None: all), by their start."""
    query = select(table).order_by(table.c.starts_at, table.c.id)
    return _read(tx, query if ending_after is None else query.where(table.c.ends_at > ending_after))


def active(tx: Transaction, now: datetime) -> list[Maintenance]:
    """List the windows that are open now."""
    return [window for window in listed(tx, now) if window.starts_at <= now]


def overlapping(tx: Transaction, service: str, model: str | None, start: datetime, end: datetime) -> list[Maintenance]:
    """Which planned work touched this service (and model) within [start, end)? By their start.

    A window counts where ``service`` and ``model`` alone meet all of its matchers. One that is narrower (on a site,
    say, or on one model where ``model`` is None) is left out: it says nothing of the whole.
    """
    labels = {"service": service} if model is None else {"service": service, "model": model}
    return [
        window
        for window in listed(tx, start)
        if window.starts_at < end and window.starts_at < window.ends_at and all_hold(window.matchers, labels)
    ]


def _read(tx: Transaction, query: Select[*tuple[object, ...]]) -> list[Maintenance]:
    return [_window(row) for row in tx.rows(query).mappings()]


def _window(row: RowMapping) -> Maintenance:
    return Maintenance(
        row["id"],
        loaded(row["matchers"]),
        row["starts_at"],
        row["ends_at"],
        row["author"],
        row["reason"],
        row["created_at"],
    )


def _detail(window: Maintenance) -> dict[str, Json]:
    return {
        "matchers": [str(matcher) for matcher in window.matchers],
        "starts_at": window.starts_at.isoformat(),
        "ends_at": window.ends_at.isoformat(),
        "reason": window.reason,
    }

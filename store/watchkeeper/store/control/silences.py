"""Silences: who keeps which alerts quiet, until when, and why. Each change is audited."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from sqlalchemy import RowMapping, Select, insert, select, update

from watchkeeper.schemas.errors import InputError, NotFound
from watchkeeper.schemas.findings import Json
from watchkeeper.schemas.matchers import Matcher, Matchers, loaded, stored
from watchkeeper.store.control import audit
from watchkeeper.store.control.connection import Transaction
from watchkeeper.store.control.records import AuditEntry
from watchkeeper.store.control.tables import silence as table

_COLUMNS = tuple(column.name for column in table.c)


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence over [starts_at, ends_at) of every alert whose labels meet all matchers."""

    id: str
    matchers: Matchers
    starts_at: datetime
    ends_at: datetime
    author: str
    comment: str
    created_at: datetime
    updated_at: datetime

    def state(self, now: datetime) -> str:
        """Say where it stands: pending, active or expired."""
        return "pending" if now < self.starts_at else "active" if now < self.ends_at else "expired"


@dataclass(frozen=True, slots=True)
class Wish:
    """A silence as someone asks for it; ``replaces`` is the id of one that it changes."""

    matchers: Matchers
    starts_at: datetime
    ends_at: datetime
    author: str
    comment: str
    replaces: str = ""


def put(tx: Transaction, wish: Wish, now: datetime, key: str | None = None) -> Silence:
    """Make a silence, or change one; a start in the past is now.

    A change of matchers, or of one that has ended, ends the old one and makes another, so that what was silenced by
    which words can be told later.

    Raises:
        InputError: it would match everything, ends too early, or lacks author or comment.
        NotFound: there is none of the id that is to be changed.

    """
    _check(wish, now)
    old = get(tx, wish.replaces) if wish.replaces else None
    if old is not None and old.state(now) != "expired" and old.matchers == wish.matchers:
        starts_at = old.starts_at if old.state(now) == "active" else max(wish.starts_at, now)
        made = replace(
            old, starts_at=starts_at, ends_at=wish.ends_at, author=wish.author, comment=wish.comment, updated_at=now
        )
        tx.write(update(table).where(table.c.id == old.id).values(_row(made)))
        audit.add(tx, AuditEntry(now, wish.author, "silence.changed", made.id, _detail(made), key))
        return made
    if old is not None and old.state(now) != "expired":
        expire(tx, old.id, now, wish.author, key)
    starts_at = max(wish.starts_at, now)
    made = Silence(str(uuid4()), wish.matchers, starts_at, wish.ends_at, wish.author, wish.comment, now, now)
    tx.write(insert(table).values(_row(made)))
    audit.add(tx, AuditEntry(now, wish.author, "silence.added", made.id, _detail(made), key))
    return made


def expire(tx: Transaction, silence_id: str, now: datetime, actor: str, key: str | None = None) -> Silence:
    """End a silence now; one that is over stays as it is.

    Raises:
        NotFound: there is none of this id.

    """
    found = get(tx, silence_id)
    if found.ends_at <= now:
        return found
    ended = replace(found, starts_at=min(found.starts_at, now), ends_at=now, updated_at=now)
    tx.write(update(table).where(table.c.id == silence_id).values(_row(ended)))
    audit.add(tx, AuditEntry(now, actor, "silence.expired", silence_id, _detail(ended), key))
    return ended


def get(tx: Transaction, silence_id: str) -> Silence:
    """Give one silence; NotFound where there is none of this id."""
    found = _read(tx, select(table).where(table.c.id == silence_id))
    if not found:
        raise NotFound(f"there is no silence {silence_id!r}; `watchkeeper silence list` shows them")
    return found[0]


def listed(tx: Transaction, ending_after: datetime | None = None) -> list[Silence]:
    """List silences that end after a time (None: all), the first to end first."""
    query = select(table).order_by(table.c.ends_at, table.c.id)
    return _read(tx, query if ending_after is None else query.where(table.c.ends_at > ending_after))


def active(tx: Transaction, now: datetime) -> list[Silence]:
    """List the silences that hold now."""
    return [one for one in listed(tx, now) if one.starts_at <= now]


def _check(wish: Wish, now: datetime) -> None:
    if wish.ends_at <= max(wish.starts_at, now):
        raise InputError(f"a silence that starts at {wish.starts_at} cannot end at {wish.ends_at}: it would be over")
    if not wish.author.strip() or not wish.comment.strip():
        raise InputError("a silence needs an author and a comment")
    if all(_meets_nothing(matcher) for matcher in wish.matchers):
        raise InputError("a silence needs a matcher that an alert without the label does not meet")


def _meets_nothing(matcher: Matcher) -> bool:
    return matcher.holds({})


def _row(silence: Silence) -> dict[str, object]:
    return {**{name: getattr(silence, name) for name in _COLUMNS}, "matchers": stored(silence.matchers)}


def _read(tx: Transaction, query: Select[*tuple[object, ...]]) -> list[Silence]:
    return [_silence(row) for row in tx.rows(query).mappings()]


def _silence(row: RowMapping) -> Silence:
    return Silence(
        **{str(name): value for name, value in row.items() if name != "matchers"}, matchers=loaded(row["matchers"])
    )


def _detail(silence: Silence) -> dict[str, Json]:
    return {
        "matchers": [str(matcher) for matcher in silence.matchers],
        "starts_at": silence.starts_at.isoformat(),
        "ends_at": silence.ends_at.isoformat(),
        "comment": silence.comment,
    }

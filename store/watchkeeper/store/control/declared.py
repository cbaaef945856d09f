"""The declared documents, every version of each; what is in force is read back as ``Declarations``."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar, cast

from msgspec.structs import replace
from sqlalchemy import func, insert, select

from watchkeeper.schemas.declared import (
    Declarations,
    Declared,
    Heartbeat,
    Inhibition,
    Monitor,
    PriceTable,
    Receiver,
    Reference,
    Route,
    System,
    TimeInterval,
    ValueModel,
    parse,
)
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.findings import Json
from watchkeeper.schemas.objectives import Planned
from watchkeeper.schemas.openslo import Document as Slo
from watchkeeper.schemas.openslo_resolve import resolve
from watchkeeper.store.control import maintenance
from watchkeeper.store.control.connection import Transaction
from watchkeeper.store.control.tables import declared as table

Key = tuple[str, str]
Document = dict[str, Json]
T = TypeVar("T", bound=Declared)


def current(tx: Transaction) -> Declarations:
    """Give everything that is in force.

    Raises:
        SettingsError: a stored document cannot be read by this release: correct its file and apply again.

    """
    parsed = [parse(document, f"stored {kind} {name}") for (kind, name), document in documents(tx).items()]
    declarations, problems = collect(parsed)
    if problems:
        raise SettingsError("; ".join(problems))
    planned = [
        Planned(id=w.id, start=w.starts_at, end=w.ends_at, author=w.author, reason=w.reason, matchers=w.matchers)
        for w in maintenance.listed(tx)
        if w.starts_at < w.ends_at
    ]
    return replace(declarations, planned=tuple(planned))


def collect(parsed: list[tuple[str, Declared]]) -> tuple[Declarations, list[str]]:
    """Sort parsed documents by what they are; also say which objectives cannot be made of them."""
    objectives, problems = resolve(one for _, one in parsed if isinstance(one, Slo))

    def of(kind: type[T]) -> tuple[T, ...]:
        return tuple(declared for _, declared in parsed if isinstance(declared, kind))

    declarations = Declarations(
        systems=of(System),
        objectives=tuple(objectives),
        prices=of(PriceTable),
        values=of(ValueModel),
        monitors=of(Monitor),
        receivers=of(Receiver),
        heartbeats=of(Heartbeat),
        routes=of(Route),
        references=of(Reference),
        time_intervals=of(TimeInterval),
        inhibitions=of(Inhibition),
    )
    return declarations, problems


def documents(tx: Transaction) -> dict[Key, Document]:
    """Give the documents in force by (kind, name)."""
    newest = versions(tx)
    query = select(table.c.kind, table.c.name, table.c.version, table.c.document).order_by(table.c.kind, table.c.name)
    return {
        (kind, name): cast("Document", document)
        for kind, name, version, document in tx.rows(query.where(table.c.document.is_not(None)))
        if newest[kind, name] == version
    }


def versions(tx: Transaction) -> dict[Key, int]:
    """Give the newest version of each (kind, name), removed ones included."""
    query = select(table.c.kind, table.c.name, func.max(table.c.version)).group_by(table.c.kind, table.c.name)
    return {(kind, name): version for kind, name, version in tx.rows(query)}


def put(tx: Transaction, key: Key, document: Document | None, now: datetime, actor: str) -> int:
    """Store the next version of one document (None: it is removed from now on) and give its number."""
    kind, name = key
    version = versions(tx).get(key, 0) + 1
    row = {"kind": kind, "name": name, "version": version, "document": document}
    tx.write(insert(table).values(**row, applied_at=now, applied_by=actor))
    return version

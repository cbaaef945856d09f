"""Puts receivers and routes in force as ``apply`` would, and reads back what became of their messages."""

from __future__ import annotations

from datetime import datetime

import msgspec
from alerts.samples import LINKS, START

from watchkeeper.alerts.incidents.intake import record
from watchkeeper.schemas.declared import Declarations, Declared, Receiver
from watchkeeper.schemas.findings import Finding
from watchkeeper.store.control import declared, incidents, outbox
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Message, Phase


def receiver(name: str, type: str, **more: object) -> Receiver:  # noqa: A002
    return Receiver(name=name, type=type, **more)  # type: ignore[arg-type]


def declare(control: Control, *things: Declared) -> Declarations:
    with control.transaction() as tx:
        for thing in things:
            kind = type(thing).__name__
            spec = {name: value for name, value in msgspec.to_builtins(thing).items() if name != "name"}
            inside = spec.get("receiver")
            if isinstance(inside, dict):
                spec["receiver"] = {name: value for name, value in inside.items() if name != "name"}
            document = {"apiVersion": "watchkeeper/v1", "kind": kind, "metadata": {"name": thing.name}, "spec": spec}
            declared.put(tx, (kind, thing.name), document, START, "test")  # type: ignore[arg-type]
    with control.snapshot() as tx:
        return declared.current(tx)


def tell(control: Control, routes: Declarations, *found: Finding, now: datetime | None = None) -> None:
    record(control, found, routes, max(one.as_of for one in found), LINKS, now=now)


def stored(control: Control) -> list[Message]:
    with control.snapshot() as tx:
        every = incidents.listed(tx, states=tuple(Phase), limit=None)
        return [message for one in every for message in outbox.of_incident(tx, one.id)]

"""Tells the receivers that want to know it (PagerDuty, Slack) who took an incident on."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import cast
from urllib.parse import quote

import msgspec

from watchkeeper.alerts.delivery import registry
from watchkeeper.alerts.delivery.addresses import addresses
from watchkeeper.alerts.messages.notification import Notification, wants
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.store.control import declared, outbox
from watchkeeper.store.control.connection import Transaction
from watchkeeper.store.control.records import Incident, Message


def tell(tx: Transaction, incident: Incident, actor: str, now: datetime) -> list[str]:
    """Write a message for each receiver that was told of the incident and wants to know; name them."""
    known = addresses(declared.current(tx))
    last = {message.receiver: message for message in outbox.of_incident(tx, incident.id)}
    told = [name for name in last if _wants(known.get(name))]
    for name in told:
        outbox.put(tx, _message(last[name], incident, actor, now))
    return told


def _wants(receiver: Receiver | None) -> bool:
    try:
        return receiver is not None and wants(registry.build(receiver), "acknowledgements")
    except SettingsError:
        return False


def _message(last: Message, incident: Incident, actor: str, now: datetime) -> Message:
    before = msgspec.convert(cast("object", last.payload), Notification)
    _, _, body = before.text.partition("\n")
    title = f"ACKNOWLEDGED by {actor}: {before.title}"
    key = f"{incident.fingerprint}:{incident.episode}:acknowledged:{quote(last.receiver, safe='')}:{incident.told}"
    notification = replace(
        before, key=key, transition="acknowledged", title=title, text=f"{title}\n{body}", at=now, actor=actor
    )
    return Message(
        key=key,
        receiver=last.receiver,
        fingerprint=last.fingerprint,
        incident_id=last.incident_id,
        transition="acknowledged",
        payload=msgspec.to_builtins(notification),
        created_at=now,
        queued_at=now,
    )

"""The routes of receivers: which there are, what waits for them, and a message to try one."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel

from watchkeeper.alerts.delivery import registry
from watchkeeper.alerts.delivery.addresses import addresses, addresses_of, receivers
from watchkeeper.alerts.messages.templates import SAMPLE, applied
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.errors import DeliveryError, NotFound, SettingsError
from watchkeeper.store.control import declared
from watchkeeper.store.control.connection import Control

TITLE = "TEST: a message from Watchkeeper to try this receiver"


class TriedOut(BaseModel):
    """What came of one try: ``said`` is the receiver's answer or our reason, empty where it was delivered plainly."""

    address: str
    type: str
    delivered: bool
    said: str


class Tried(BaseModel):
    """What came of the tries, one for each address of the receiver."""

    receiver: str
    tries: list[TriedOut]


def receiver_routes(control: Control, clock: Callable[[], datetime]) -> APIRouter:
    """Give ``POST /v1/receivers/{name}/test``."""
    router = APIRouter(prefix="/v1", tags=["alerts"])

    @router.post("/receivers/{name}/test")
    def test_receiver(name: Annotated[str, Path(max_length=500)]) -> Tried:
        """Send a message that says that it is a test, now and once; nothing of it is kept."""
        with control.snapshot() as tx:
            in_force = declared.current(tx)
        if name not in receivers(in_force):
            raise NotFound(f"there is no receiver {name!r}; declared: {', '.join(sorted(receivers(in_force)))}")
        known = addresses(in_force)
        return Tried(
            receiver=name, tries=[_try(address, known[address], clock()) for address in addresses_of([name], in_force)]
        )

    return router


def _try(address: str, receiver: Receiver, now: datetime) -> TriedOut:
    plain = replace(
        SAMPLE,
        key=f"test:{secrets.token_hex(8)}",
        receiver=address,
        incident_id=f"test-{secrets.token_hex(4)}",
        title=TITLE,
        text=f"{TITLE}\nNothing is wrong, and nothing is to be done.",
        at=now,
        sent_at=now,
        alerts=tuple(replace(alert, subject="test", starts_at=now, ends_at=now) for alert in SAMPLE.alerts),
        runbook=None,
    )
    shown, note = applied(receiver.template, plain)
    try:
        registry.build(receiver).notify(shown)
    except (DeliveryError, SettingsError) as error:
        return TriedOut(address=address, type=receiver.type, delivered=False, said=str(error))
    return TriedOut(address=address, type=receiver.type, delivered=True, said=note)

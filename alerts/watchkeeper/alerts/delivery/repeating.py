"""Tells receivers that keep nothing (Alertmanager) every minute what still holds, each of them by itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import cast

import msgspec

from watchkeeper.alerts.delivery import registry
from watchkeeper.alerts.delivery.addresses import addresses
from watchkeeper.alerts.messages.notification import Notification, Repeats
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import DeliveryError, SettingsError
from watchkeeper.store.control import declared, outbox
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Message

logger = logging.getLogger("watchkeeper.alerts.delivery.sender")

AGAIN = timedelta(minutes=1)
TOLD_OF_THE_END = timedelta(minutes=5)


class Repeater:
    """Remembers when each receiver was last told; after a restart all are told at once, which does no harm."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._next: dict[str, datetime] = {}

    def run_once(self, now: datetime) -> int:
        """Tell those whose time has come; give how many messages still hold, over all that were told.

        What was never delivered is not repeated: that is the outbox's. A failure is logged, and tried again with the
        next minute; three may fail before an alert ends there by itself.
        """
        with self._control.snapshot() as tx:
            notifiers = {name: notifier for name, notifier in _repeating(declared.current(tx)) if self._due(name, now)}
            standing = outbox.newest_delivered(tx, notifiers, now - TOLD_OF_THE_END) if notifiers else []
        told = 0
        for name, notifier in notifiers.items():
            self._next[name] = now + AGAIN
            own = [_notification(message) for message in standing if message.receiver == name]
            if not own:
                continue
            try:
                notifier.repeat(own, now)
                told += len(own)
            except DeliveryError as error:
                logger.warning("receiver %s could not be told again what holds: %s", name, error)
        return told

    def _due(self, name: str, now: datetime) -> bool:
        at = self._next.get(name, now)
        return at <= now or at > now + AGAIN


def _repeating(in_force: Declarations) -> Iterator[tuple[str, Repeats]]:
    for name, receiver in addresses(in_force).items():
        try:
            notifier = registry.build(receiver)
        except SettingsError:
            continue  # said by apply, and by each message that waits for it
        if isinstance(notifier, Repeats):
            yield name, notifier


def _notification(message: Message) -> Notification:
    return msgspec.convert(cast("object", message.payload), Notification)

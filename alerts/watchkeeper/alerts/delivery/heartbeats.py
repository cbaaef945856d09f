"""Tells a watcher outside, again and again, that events are loaded, looked at and told; silence is the alarm.

A heartbeat is no timer's: it goes out only while the whole chain moves. Where the loader, the analyzers or the rounds
are stuck it stays away, and whoever waits for it knows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from watchkeeper.alerts.delivery import registry
from watchkeeper.alerts.delivery.addresses import addresses, addresses_of
from watchkeeper.alerts.messages.notification import Beats
from watchkeeper.schemas.declared import Declarations, Heartbeat, Receiver
from watchkeeper.schemas.durations import duration
from watchkeeper.schemas.errors import DeliveryError, SettingsError
from watchkeeper.store.control import declared
from watchkeeper.store.control.connection import Control

logger = logging.getLogger("watchkeeper.alerts.delivery.heartbeats")

SOON = timedelta(seconds=10)
Stuck = Callable[[timedelta], str | None]
"""What of the chain has not moved for so long, or None."""


class Heartbeats:
    """Sends those that are due. ``stuck`` looks at the chain; the control data are read for each."""

    def __init__(self, control: Control, stuck: Stuck) -> None:
        self._control = control
        self._stuck = stuck
        self._next: dict[str, datetime] = {}
        self._withheld: dict[str, str] = {}

    def run_once(self, now: datetime) -> int:
        """Send what is due; give how many arrived."""
        with self._control.snapshot() as tx:
            in_force = declared.current(tx)
        known = addresses(in_force)
        arrived = 0
        for beat in in_force.heartbeats:
            for name in addresses_of([beat.receiver], in_force):
                at = self._next.get(name, now)
                if at <= now or at > now + duration(beat.every):
                    arrived += self._beat(beat, name, known.get(name), now)
        return arrived

    def _beat(self, beat: Heartbeat, name: str, receiver: Receiver | None, now: datetime) -> bool:
        every = duration(beat.every)
        reason = self._stuck(duration(beat.stale))
        if reason is not None:
            if self._withheld.get(beat.name) != reason:
                logger.error("heartbeat %s is withheld: %s", beat.name, reason)
            self._withheld[beat.name] = reason
            self._next[name] = now + min(every, SOON)
            return False
        self._withheld.pop(beat.name, None)
        try:
            _beating(receiver).heartbeat(beat.name, now, f"Alive at {now.isoformat()}.")
        except (DeliveryError, SettingsError) as error:
            logger.warning("heartbeat %s did not reach %s: %s", beat.name, name, error)
            self._next[name] = now + min(every, SOON)
            return False
        self._next[name] = now + every
        return True


def check_heartbeats(in_force: Declarations) -> list[str]:
    """Say which heartbeats cannot go out."""
    known, problems = addresses(in_force), list[str]()
    for beat in in_force.heartbeats:
        for said in (beat.every, beat.stale):
            try:
                duration(said)
            except ValueError as error:
                problems.append(f"Heartbeat {beat.name}: {error}")
        for name in addresses_of([beat.receiver], in_force):
            try:
                _beating(known.get(name))
            except SettingsError as error:
                problems.append(f"Heartbeat {beat.name}: {error}")
    return problems


def _beating(receiver: Receiver | None) -> Beats:
    if receiver is None:
        raise SettingsError("its receiver is not declared")
    notifier = registry.build(receiver)
    if not isinstance(notifier, Beats):
        raise SettingsError(f"a {receiver.type} receiver takes no heartbeat: take alertmanager or webhook")
    return notifier

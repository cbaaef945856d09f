"""Looks every second what is to be told now: time alone fires, resolves, repeats, escalates and ends silences."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from watchkeeper.alerts.clock_steps import ClockWatch
from watchkeeper.alerts.dispatch import flush_due
from watchkeeper.alerts.intake import record
from watchkeeper.alerts.links import Links
from watchkeeper.alerts.notices import LastChange
from watchkeeper.alerts.received import take
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.control import groups, incidents, received
from watchkeeper.store.control.connection import Control

logger = logging.getLogger("watchkeeper.alerts.rounds")
SETTLE_EVERY = timedelta(seconds=15)


@dataclass(slots=True)
class Rounds:
    """One round: what others posted, what has become ripe, what is due. ``waits`` as in ``record``."""

    control: Control
    declarations: Callable[[], Declarations]
    links: Links
    last_change: LastChange
    waits: bool = True
    _settled_at: datetime = field(default=datetime.min.replace(tzinfo=UTC))
    _clock: ClockWatch = field(init=False)

    def __post_init__(self) -> None:
        """Begin to watch the clock."""
        self._clock = ClockWatch(self.control)

    def run_once(self, now: datetime) -> int:
        """Do what is due; give the number of messages written."""
        if self.waits:
            self._clock.look(now, self.declarations)
        take(self.control, self.declarations, now, self.links, self.last_change, waits=self.waits)
        if not self.waits:
            return 0  # the clock of a replay's events is far ahead of what is evaluated: every page would be repeated
        if not timedelta(0) <= now - self._settled_at < SETTLE_EVERY:
            self._settle(now)
        with self.control.snapshot() as tx:
            due = bool(groups.due(tx, now, 1))
        return flush_due(self.control, self.declarations(), now, self.links, self.last_change) if due else 0

    def _settle(self, now: datetime) -> None:
        """Let time pass for what is open; what no analyzer looked at stays as it is."""
        with self.control.snapshot() as tx:
            some = bool(incidents.listed(tx, limit=1))
        if some:
            record(self.control, [], self.declarations(), now, self.links, last_change=self.last_change, waits=True)
        with self.control.transaction() as tx:
            received.forget(tx, now - received.KEPT)
        self._settled_at = now


class RoundsLoop:
    """Runs the rounds in a thread, every ``interval`` seconds and after ``wake``; ``told`` hears of messages."""

    def __init__(
        self, rounds: Rounds, clock: Callable[[], datetime], told: Callable[[], None], interval: float = 1.0
    ) -> None:
        self._rounds = rounds
        self._clock = clock
        self._told = told
        self._interval = interval
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look now, something was just written."""
        self._wake.set()

    def stop(self) -> None:
        """End after the round that is under way."""
        self._stopped = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            try:
                if self._rounds.run_once(self._clock()):
                    self._told()
            except Exception as error:
                level = logging.WARNING if isinstance(error, StoreUnavailable) else logging.ERROR
                logger.log(level, "a round stopped, trying again: %s", error, exc_info=level == logging.ERROR)
            self._wake.wait(self._interval)

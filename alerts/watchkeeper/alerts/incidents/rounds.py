"""Looks every second what is to be told now: time alone fires, resolves, repeats, escalates and ends silences."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from watchkeeper.alerts.alertmanager.received import apply_posts, take
from watchkeeper.alerts.incidents.clock_steps import ClockWatch
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.messages.links import Links
from watchkeeper.alerts.messages.notices import LastChange
from watchkeeper.alerts.routing.dispatch import flush_due
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.control import groups, incidents, received
from watchkeeper.store.control.connection import Control

logger = logging.getLogger("watchkeeper.alerts.incidents.rounds")
SETTLE_EVERY = timedelta(seconds=15)
GATHER_SECONDS, GATHER_STEP = 3.0, 0.05
"""So long may alerts that stream in keep a part of a round waiting, and how often that is asked."""


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
        """Do all that is due; give the number of messages written."""
        written, more = self.step(now)
        while more:
            again, more = self.step(now)
            written += again
        return written

    def step(self, now: datetime) -> tuple[int, bool]:
        """Do a part of what is due; give the number of messages written, and whether there may be more to do.

        Each part is small, so that in a storm a page is taken in and told among the thousands of alerts around it.
        """
        if self.waits:
            self._clock.look(now, self.declarations)
        applied = apply_posts(self.control)
        declared = self.declarations()
        taken = take(self.control, declared, now, self.links, self.last_change, waits=self.waits)
        if not self.waits:
            return 0, bool(applied or taken)  # a replay's clock is far ahead: every page would be repeated
        if not timedelta(0) <= now - self._settled_at < SETTLE_EVERY:
            self._settle(now)
        with self.control.snapshot() as tx:
            due = bool(groups.due(tx, now, 1))
        written = flush_due(self.control, declared, now, self.links, self.last_change) if due else 0
        return written, bool(applied or taken or due)

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
    """Runs the rounds in a thread, every ``interval`` seconds and after ``wake``; ``told`` hears of messages.

    While alerts stream in (``busy``), it lets them: what comes together is taken together, and costs less.
    """

    def __init__(
        self,
        rounds: Rounds,
        clock: Callable[[], datetime],
        told: Callable[[], None],
        interval: float = 1.0,
        *,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._rounds = rounds
        self._clock = clock
        self._told = told
        self._interval = interval
        self._busy = busy
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
            if not self._step():
                self._wake.wait(self._interval)
            self._let_gather()

    def _step(self) -> bool:
        """Do one part; tell whether there is more. Whatever fails is tried again."""
        try:
            written, more = self._rounds.step(self._clock())
        except Exception as error:
            level = logging.WARNING if isinstance(error, StoreUnavailable) else logging.ERROR
            logger.log(level, "a round stopped, trying again: %s", error, exc_info=level == logging.ERROR)
            return False
        if written:
            self._told()
        return more

    def _let_gather(self) -> None:
        until = time.monotonic() + GATHER_SECONDS
        while self._busy() and time.monotonic() < until and not self._stopped:
            time.sleep(GATHER_STEP)

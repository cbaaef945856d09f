"""Brings waiting messages to their receivers: at least once, in order, with patience.

Each attempt is leased in the database first and recorded after, so a killed sender loses nothing; what it had in
flight is sent again under the same key. A refused message is dead: kept and shown, never tried again.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import cast

import msgspec

from watchkeeper.alerts import registry
from watchkeeper.alerts.notification import Notification, Notifier
from watchkeeper.alerts.routing import receivers
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.errors import DeliveryError, SettingsError, StoreUnavailable
from watchkeeper.store.control import declared, outbox
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Attempt, Message, Sending

logger = logging.getLogger("watchkeeper.alerts.sender")

LEASE = timedelta(minutes=5)
PER_RUN = 20
"""Messages to one receiver in one run; with ten seconds each they end before the lease does."""

PARALLEL = 8
"""Receivers at a time: one that hangs must not hold up the others' pages."""

FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0
LONGEST_ASKED_WAIT = 3600.0
"""A receiver may ask for more patience than ours, up to here (seconds)."""


def backoff(attempts: int, asked: float | None, jitter: float) -> timedelta:
    """Give the wait after that many failed attempts; ``jitter`` in [0, 1) spreads them.

    >>> backoff(1, None, 0.0).total_seconds(), backoff(3, None, 0.5).total_seconds(), backoff(50, 400.0, 0.0).seconds
    (2.5, 15.0, 400)
    """
    own = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempts - 1, 30)) * (0.5 + jitter / 2)
    return timedelta(seconds=max(own, min(asked or 0.0, LONGEST_ASKED_WAIT)))


class Sender:
    """Sends what is due. ``holder`` names this sender; after a restart it takes back what it had in flight."""

    def __init__(self, control: Control, holder: str = "serve", jitter: Callable[[], float] = random.random) -> None:
        self._control = control
        self._holder = holder
        self._jitter = jitter
        self._stopping = threading.Event()

    def take_back(self) -> int:
        """Free what an earlier run of this holder left leased; give how many messages that were."""
        with self._control.transaction() as tx:
            return outbox.release(tx, self._holder)

    def run_once(self, now: datetime) -> int:
        """Attempt every message that is due, and give the number of attempts."""
        with self._control.snapshot() as tx:
            names = outbox.due_receivers(tx, now)
            known = receivers(declared.current(tx)) if names else {}
        if not names:
            return 0

        def serve(name: str) -> int:
            return self._serve(name, known.get(name), now)

        with ThreadPoolExecutor(min(PARALLEL, len(names)), thread_name_prefix="notify") as pool:
            return sum(pool.map(serve, names))

    def stop(self) -> None:
        """Let a run end after the attempt that is under way."""
        self._stopping.set()

    def _serve(self, name: str, receiver: Receiver | None, now: datetime) -> int:
        """Send to one receiver until nothing is due, or until it fails: then it is left alone for this run."""
        notifier = _notifier(name, receiver)
        for count in range(PER_RUN):
            if self._stopping.is_set():
                return count
            with self._control.transaction() as tx:
                message = outbox.lease(tx, name, now, self._holder, LEASE)
            if message is None:
                return count
            if self._attempt(message, notifier, now) == "retry":
                return count + 1
        return PER_RUN

    def _attempt(self, message: Message, notifier: Notifier | DeliveryError, now: datetime) -> str:
        failure = _deliver(message, notifier)
        if failure is None:
            attempt, state, again = Attempt(now, "delivered", ""), Sending.DELIVERED, None
        elif failure.retryable:
            again = now + backoff(message.attempts + 1, failure.retry_after, self._jitter())
            attempt, state = Attempt(now, "retry", str(failure)), Sending.WAITING
        else:
            attempt, state, again = Attempt(now, "dead", str(failure)), Sending.DEAD, None
            logger.error("message %s to %s was refused for good: %s", message.key, message.receiver, failure)
        with self._control.transaction() as tx:
            outbox.record(tx, message.key, attempt, state, again)
        return attempt.outcome


def _notifier(name: str, receiver: Receiver | None) -> Notifier | DeliveryError:
    if receiver is None:
        return DeliveryError(f"route {name!r} is no longer declared", retryable=False)
    try:
        return registry.build(receiver)
    except SettingsError as error:
        # Declared wrongly: correct the route and apply; the message waits for that.
        return DeliveryError(str(error), retryable=True)


def _deliver(message: Message, notifier: Notifier | DeliveryError) -> DeliveryError | None:
    if isinstance(notifier, DeliveryError):
        return notifier
    try:
        notifier.notify(msgspec.convert(cast("object", message.payload), Notification))
    except DeliveryError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a notifier's own fault must not stop the others, nor lose the message
        return DeliveryError(f"the notifier failed: {error!r}", retryable=True)
    return None


class SenderLoop:
    """Runs a sender in a thread, every ``interval`` seconds and at once after ``wake``."""

    def __init__(self, sender: Sender, clock: Callable[[], datetime], interval: float = 2.0) -> None:
        self._sender = sender
        self._clock = clock
        self._interval = interval
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        """Begin; what was in flight when an earlier run ended goes first."""
        self._sender.take_back()
        self._thread.start()

    def wake(self) -> None:
        """Look now, something was just written."""
        self._wake.set()

    def stop(self) -> None:
        """End after the attempt that is under way."""
        self._stopped = True
        self._sender.stop()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        clean = True
        while not self._stopped:
            self._wake.clear()
            try:
                if not clean:
                    self._sender.take_back()
                self._sender.run_once(self._clock())
                clean = True
            except Exception as error:
                clean = False
                level = logging.WARNING if isinstance(error, StoreUnavailable) else logging.ERROR
                logger.log(level, "sending stopped, trying again: %s", error, exc_info=level == logging.ERROR)
            self._wake.wait(self._interval)

"""Brings waiting messages to their receivers: at least once, in order, with patience.

Each attempt is leased in the database first and recorded after, so a killed sender loses nothing; what it had in
flight is sent again under the same key. One that was frozen until its lease ended neither sends what another one took,
nor overwrites what came of it. A refused message is dead: kept, shown, and sent to the receiver's fallback.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import cast
from urllib.parse import quote

import msgspec

from watchkeeper.alerts.api.respond import Responding
from watchkeeper.alerts.delivery import registry
from watchkeeper.alerts.delivery.addresses import LOG, addresses, addresses_of, receivers
from watchkeeper.alerts.messages.lateness import LATE, as_sent, refused
from watchkeeper.alerts.messages.notification import Notification, Notifier, wants
from watchkeeper.alerts.messages.templates import applied
from watchkeeper.schemas.declared import Declarations, Receiver
from watchkeeper.schemas.errors import DeliveryError, SettingsError, StoreUnavailable
from watchkeeper.store.control import declared, outbox
from watchkeeper.store.control.connection import Control, Transaction
from watchkeeper.store.control.records import Attempt, Leased, Message, Result, Sending

logger = logging.getLogger("watchkeeper.alerts.delivery.sender")

LEASE = timedelta(minutes=5)
"""How long one attempt may take; a template has ten seconds, an answer twenty."""

PER_RUN = 20
"""Messages to one receiver in one run."""

PARALLEL = 8
"""Receivers at a time: one that hangs must not hold up the others' pages."""

SHORTEST_WAIT, FIRST_WAIT, LONGEST_WAIT = 1.0, 5.0, 300.0
LONGEST_ASKED_WAIT = outbox.LONGEST_WAIT.total_seconds()
"""A receiver may ask for more patience than ours, up to here (seconds)."""

CLOCK_WENT_BACK = timedelta(minutes=1)


def backoff(attempts: int, asked: float | None, jitter: float) -> timedelta:
    """Give the wait after that many failed attempts: a random share (``jitter`` in [0, 1)) of one that doubles.

    >>> backoff(1, None, 0.5).total_seconds(), backoff(3, None, 0.75).total_seconds(), backoff(9, 400.0, 0.0).seconds
    (2.5, 15.0, 400)
    """
    own = max(SHORTEST_WAIT, min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempts - 1, 30)) * jitter)
    return timedelta(seconds=max(own, min(asked or 0.0, LONGEST_ASKED_WAIT)))


@dataclass(frozen=True, slots=True)
class _Sent:
    """What came of one attempt: a failure, or what the receiver calls the message, and a note on how it went."""

    failure: DeliveryError | None = None
    receipt: str | None = None
    note: str = ""


class _LeaseLost(Exception):
    """This sender stood still for so long that another one took the message."""


class Sender:
    """Sends what is due. ``holder`` names this sender; after a restart it takes back what it had in flight.

    No two senders that run at once may have the same name.
    """

    def __init__(
        self,
        control: Control,
        holder: str = "serve",
        jitter: Callable[[], float] = random.random,
        responding: Responding | None = None,
    ) -> None:
        self._control = control
        self._holder = holder
        self._jitter = jitter
        self._responding = responding
        self._stopping = threading.Event()
        self._left_alone: dict[str, datetime] = {}
        self._last: datetime | None = None
        self._unrecorded: list[tuple[Message, Result, Declarations]] = []

    def take_back(self) -> int:
        """Free what an earlier run of this holder left leased; give how many messages that were.

        What came of an attempt while nothing could be stored is stored first: it need not go again.
        """
        late = [*self._unrecorded]
        with self._control.transaction() as tx:
            for message, result, in_force in late:
                self._record(tx, message, result, in_force)
            freed = outbox.release(tx, self._holder)
        del self._unrecorded[: len(late)]
        return freed

    def due(self, now: datetime) -> list[str]:
        """Name the receivers to send to now; those that asked to be left alone are not among them."""
        self._watch_clock(now)
        with self._control.snapshot() as tx:
            names = outbox.due_receivers(tx, now)
        return [name for name in names if self._left_alone.get(name, now) <= now]

    def run_once(self, now: datetime) -> int:
        """Attempt every message that is due, and give the number of attempts."""
        names = self.due(now)
        if not names:
            return 0
        with ThreadPoolExecutor(min(PARALLEL, len(names)), thread_name_prefix="notify") as pool:
            return sum(pool.map(self.serve, names, [now] * len(names)))

    def serve(self, name: str, now: datetime) -> int:
        """Send to one receiver until nothing is due, or until it fails: then it is left alone for this run."""
        with self._control.snapshot() as tx:
            in_force = declared.current(tx)
        receiver = addresses(in_force).get(name)
        notifier = _notifier(name, receiver)
        late, began = None if wants(notifier, "every_step") else LATE, time.monotonic()
        for count in range(PER_RUN):
            if self._stopping.is_set():
                return count
            at = now + timedelta(seconds=time.monotonic() - began)  # so that each lease is a whole one
            with self._control.transaction() as tx:
                leased = outbox.lease(tx, name, at, self._holder, LEASE, late=late)
            if leased is None:
                return count
            if self._attempt(leased, notifier, receiver, in_force, now) != "go on":
                return count + 1
        return PER_RUN

    def stop(self) -> None:
        """Let a run end after the attempt that is under way."""
        self._stopping.set()

    def _watch_clock(self, now: datetime) -> None:
        """Times that were written before the clock was set back would put everything off."""
        if self._last is None:
            with self._control.snapshot() as tx:
                self._last = outbox.newest_attempt(tx)
        if self._last is not None and now < self._last - CLOCK_WENT_BACK:
            self._left_alone.clear()
            with self._control.transaction() as tx:
                count = outbox.hurry(tx, now, LEASE)
            logger.warning("the clock went back by %s: %d waiting messages are due now", self._last - now, count)
        self._last = now

    def _attempt(
        self,
        leased: Leased,
        notifier: Notifier | DeliveryError,
        receiver: Receiver | None,
        in_force: Declarations,
        now: datetime,
    ) -> str:
        """Deliver one message and record what came of it; anything but "go on" ends the run."""
        message = leased.message
        try:
            sent = self._deliver(leased, notifier, receiver, now)
        except _LeaseLost:
            logger.warning("message %s: its lease ended while this sender stood still; another one has it", message.key)
            return "lost"
        result = self._result(leased, sent, now)
        try:
            with self._control.transaction() as tx:
                own = self._record(tx, message, result, in_force)
        except StoreUnavailable:
            self._unrecorded.append((message, result, in_force))
            raise
        return "go on" if own and result.attempt.outcome != "retry" else result.attempt.outcome

    def _record(self, tx: Transaction, message: Message, result: Result, in_force: Declarations) -> bool:
        """Store what came of an attempt; False where another sender has the message by now."""
        if not outbox.record(tx, message.key, self._holder, result):
            logger.warning("message %s: its lease had ended before the answer came", message.key)
            return False
        if result.state is Sending.DEAD:
            fallbacks = _put_fallbacks(tx, message, in_force, result.attempt)
            logger.error(
                "message %s to %s was refused for good (%s); told instead: %s",
                message.key,
                message.receiver,
                result.attempt.detail,
                ", ".join(fallbacks) or "nobody, it has no fallback",
            )
        return True

    def _deliver(
        self, leased: Leased, notifier: Notifier | DeliveryError, receiver: Receiver | None, now: datetime
    ) -> _Sent:
        if isinstance(notifier, DeliveryError):
            return _Sent(notifier)
        message = leased.message
        try:
            notification = msgspec.convert(cast("object", message.payload), Notification)
            plain = as_sent(notification, message.queued_at, leased.carried, leased.receipt, now)
            if self._responding is not None:
                plain = self._responding.invited(plain, now)
            shown, note = applied(receiver.template if receiver else None, plain)
            self._ensure_own(message)
            return _Sent(receipt=notifier.notify(shown), note=note)
        except DeliveryError as error:
            return _Sent(error)
        except (_LeaseLost, StoreUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - a notifier's own fault must not stop the others, nor lose the message
            return _Sent(DeliveryError(f"the notifier failed: {error!r}", retryable=True, unsure=True))

    def _ensure_own(self, message: Message) -> None:
        """Look a last time before it goes out; no clock is asked, what counts is whether another one took it."""
        with self._control.snapshot() as tx:
            if not outbox.holds(tx, message.key, self._holder):
                raise _LeaseLost

    def _result(self, leased: Leased, sent: _Sent, now: datetime) -> Result:
        message, failure = leased.message, sent.failure
        if failure is None:
            return Result(Attempt(now, "delivered", sent.note), Sending.DELIVERED, receipt=sent.receipt)
        if not failure.retryable:
            return Result(Attempt(now, "dead", str(failure)), Sending.DEAD)
        again = now + backoff(message.attempts + 1, failure.retry_after, self._jitter())
        if failure.retry_after is not None:
            self._left_alone[message.receiver] = again
        # An earlier attempt that may have arrived stays one, whatever this one met.
        unsure = failure.unsure or leased.unsure
        return Result(Attempt(now, "retry", str(failure)), Sending.WAITING, again, unsure)


def _notifier(name: str, receiver: Receiver | None) -> Notifier | DeliveryError:
    if receiver is None:
        return DeliveryError(f"receiver {name!r} is no longer declared", retryable=False)
    try:
        return registry.build(receiver)
    except SettingsError as error:
        # Declared wrongly: correct the file and apply; the message waits for that.
        return DeliveryError(str(error), retryable=True)


def _put_fallbacks(tx: Transaction, message: Message, in_force: Declarations, attempt: Attempt) -> list[str]:
    """Write the message anew for the fallback of the receiver that refused it; of one that is gone, for the log."""
    known = receivers(in_force)
    receiver = known.get(message.receiver) or known.get(message.receiver.rpartition("@")[0])
    wanted = LOG if receiver is None else receiver.fallback
    names = addresses_of([wanted] if wanted else [], in_force)
    notification = msgspec.convert(cast("object", message.payload), Notification)
    for name in names:
        key = f"{message.key}:instead:{quote(name, safe='')}"
        told = replace(refused(notification, name, attempt.detail), key=key)
        payload = msgspec.to_builtins(told)
        outbox.put(
            tx,
            replace(message, key=key, receiver=name, payload=payload, queued_at=attempt.at, deliveries=()),
        )
    return names

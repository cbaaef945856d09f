"""What became of each event: one book, under one lock, so that its sums always add up."""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._queue import Event, MemoryQueue

_MAX_COMPLAINTS = 200


@dataclass(frozen=True)
class Stats:
    """Did what this process logged arrive? Counts of events since the client (or the fork) began.

    ``logged == queued + accepted + rejected + duplicates + sum(dropped.values())`` at every moment.
    """

    logged: int
    """Calls to ``log_*`` and ``mark_change`` and ends of ``request``."""
    queued: int
    """Waiting, or under way without an answer yet."""
    sent: int
    """Put into a request at least once; the server is told this number."""
    accepted: int
    rejected: int
    """Refused by the server one by one; the reasons are in the log."""
    duplicates: int
    """The server had them already: a batch that was sent again."""
    dropped: Mapping[str, int]
    """Lost, by reason; the README lists the reasons."""
    adjusted: Mapping[str, int]
    """Sent, but not as given, by reason: ``nonfinite`` values became null, and so on."""
    retries: int
    last_error: str | None


class Ledger:
    """Counts, and says each kind of trouble once through the logger ``watchkeeper``."""

    def __init__(self) -> None:
        # Re-entrant for signal handlers that log; the sender tells the end of each chunk through it.
        self._changed = threading.Condition(threading.RLock())
        self._lost_at_call = self._taken = self._settled = self._finished = 0
        counted = ("sent", "accepted", "rejected", "duplicates", "retries")
        self._counts: dict[str, int] = dict.fromkeys(counted, 0)
        self._dropped: dict[str, int] = {}
        self._adjusted: dict[str, int] = {}
        self._last_error: str | None = None
        self._complained: set[str] = set()

    def lose_at_call(self, reason: str) -> None:
        """Count an event that never got into the queue."""
        with self._changed:
            self._lost_at_call += 1
            self._dropped[reason] = self._dropped.get(reason, 0) + 1

    def adjust(self, reason: str, message: str) -> None:
        """Count one value that travels differently from how it was given, and warn of the first."""
        with self._changed:
            self._adjusted[reason] = self._adjusted.get(reason, 0) + 1
        self._warn_once(f"adjusted {reason}", message)

    def take(self, queue: MemoryQueue, count: int) -> list[Event]:
        """Move events from waiting to under way, in one step for whoever looks."""
        with self._changed:
            events = queue.take(count)
            self._taken += len(events)
            return events

    def finish(self, reason: str) -> None:
        """End a chunk: what still has no fate is dropped for this reason."""
        with self._changed:
            self.drop(reason, self._taken - self._settled)
            self._finished = self._taken
            self._changed.notify_all()

    def drop(self, reason: str, count: int) -> None:
        """Count events that were under way and are lost."""
        if count:
            with self._changed:
                self._settled += count
                self._dropped[reason] = self._dropped.get(reason, 0) + count

    def deliver(self, count: int, rejected: int, duplicates: int) -> None:
        """Count events that the server answered for; what it did not name is accepted."""
        rejected = min(count, max(0, rejected))
        duplicates = min(count - rejected, max(0, duplicates))
        with self._changed:
            self._settled += count
            self.add("rejected", rejected)
            self.add("duplicates", duplicates)
            self.add("accepted", count - rejected - duplicates)

    def add(self, what: str, count: int) -> None:
        """Count events as sent, or attempts as retries."""
        with self._changed:
            self._counts[what] += count

    def sent_and_dropped(self) -> tuple[int, int]:
        """Give the two sums that the server is told."""
        with self._changed:
            return self._counts["sent"], sum(self._dropped.values())

    def mark(self, queue: MemoryQueue) -> int:
        """Name this moment: what is logged by now is dealt with once :meth:`reached` says so."""
        with self._changed:
            return self._taken + len(queue)

    def taken(self, mark: int) -> bool:
        """Did everything up to the mark leave the queue?"""
        return self._taken >= mark

    def reached(self, mark: int, timeout: float | None) -> bool:
        """Wait until everything up to the mark was answered for or dropped; False on timeout (s)."""
        with self._changed:
            return self._changed.wait_for(lambda: self._finished >= mark, timeout)

    def complain(self, about: str, message: str) -> None:
        """Warn once about each kind of trouble; the message is kept as the last error."""
        self._last_error = message
        self._warn_once(about, message)

    def _warn_once(self, about: str, message: str) -> None:
        with self._changed:
            if about in self._complained or len(self._complained) >= _MAX_COMPLAINTS:
                return
            self._complained.add(about)
        # A handler of the host may fail; that must reach neither its request nor our thread.
        with contextlib.suppress(Exception):
            logging.getLogger("watchkeeper").warning("%s", message)

    def stats(self, queue: MemoryQueue) -> Stats:
        """Read the book at one moment."""
        with self._changed:
            waiting = len(queue)
            return Stats(
                logged=self._lost_at_call + self._taken + waiting,
                queued=self._taken - self._settled + waiting,
                dropped=MappingProxyType(dict(self._dropped)),
                adjusted=MappingProxyType(dict(self._adjusted)),
                last_error=self._last_error,
                **self._counts,
            )


def describe(error: BaseException) -> str:
    """Put an exception of the host into words, even one that fails at that itself."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  # its own __str__ is at fault
        return type(error).__name__

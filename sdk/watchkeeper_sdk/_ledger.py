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

    from ._parcel import Parcel

_MAX_COMPLAINTS = 200


@dataclass(frozen=True)
class Stats:
    """Did what this process logged arrive? Counts of events since the client (or the fork) began.

    ``logged == queued + accepted + rejected + duplicates + sum(dropped.values())`` at every moment.
    """

    logged: int
    """Calls to ``log_*`` and ``mark_change`` and ends of ``request``; the server is told this number."""
    queued: int
    """Waiting, or under way without an answer yet."""
    sent: int
    """Put into a request at least once."""
    accepted: int
    rejected: int
    """Refused by the server one by one; the reasons are in the log."""
    duplicates: int
    """The server had them already: a batch that was sent again."""
    dropped: Mapping[str, int]
    """Lost, by reason; the README lists the reasons."""
    adjusted: Mapping[str, int]
    """Sent, but not as given, by reason: ``nonfinite`` values became null, and so on."""
    sampled_out: int
    """Left out on purpose by ``sample_rate``; not part of ``logged``."""
    retries: int
    spool: str
    """Where events wait now: ``disk``, ``memory``, or ``none`` before the first."""
    last_error: str | None


class Ledger:
    """Counts, and says each kind of trouble once through the logger ``watchkeeper``."""

    def __init__(self) -> None:
        self.logged = 0
        """The number of the newest event; whoever numbers holds a lock of its own."""
        self.sampled_out = 0
        # Re-entrant for signal handlers that log; the sender tells the end of each parcel through it.
        self._changed = threading.Condition(threading.RLock())
        self._settled = self._finished = 0
        counted = ("sent", "accepted", "rejected", "duplicates", "retries")
        self._counts: dict[str, int] = dict.fromkeys(counted, 0)
        self._dropped: dict[str, int] = {}
        self._adjusted: dict[str, int] = {}
        self._last_error: str | None = None
        self._complained: set[str] = set()

    def adjust(self, reason: str, message: str) -> None:
        """Count one value that travels differently from how it was given, and warn of the first."""
        with self._changed:
            self._adjusted[reason] = self._adjusted.get(reason, 0) + 1
        self._warn_once(f"adjusted {reason}", message)

    def leave_out(self) -> None:
        """Count an event that sampling left out."""
        with self._changed:
            self.sampled_out += 1

    def drop(self, reason: str, count: int) -> None:
        """Count events that are lost."""
        if count > 0:
            with self._changed:
                self._settled += count
                self._dropped[reason] = self._dropped.get(reason, 0) + count

    def answered(self, parcel: Parcel, count: int, rejected: int, duplicates: int) -> None:
        """Count events that the server answered for; what it did not name is accepted."""
        rejected = min(count, max(0, rejected))
        duplicates = min(count - rejected, max(0, duplicates))
        with self._changed:
            parcel.answered += count
            self._settled += count
            self.add("rejected", rejected)
            self.add("duplicates", duplicates)
            self.add("accepted", count - rejected - duplicates)

    def gave_up(self, parcel: Parcel, reason: str, count: int) -> None:
        """Count events of a parcel that will not be posted again."""
        parcel.dropped[reason] = parcel.dropped.get(reason, 0) + count
        self.drop(reason, count)

    def add(self, what: str, count: int) -> None:
        """Count events as sent, or attempts as retries."""
        with self._changed:
            self._counts[what] += count

    def told(self) -> tuple[int, int, int]:
        """How many events were logged, were dropped, and wait for an answer, by now?"""
        with self._changed:
            logged = self.logged
            return logged, sum(self._dropped.values()), logged - self._settled

    def finish(self, number: int) -> None:
        """Say that each event up to this number is dealt with."""
        with self._changed:
            self._finished = max(self._finished, number)
            self._changed.notify_all()

    def reached(self, mark: int, timeout: float | None) -> bool:
        """Wait until everything up to the mark was answered for or dropped; False on timeout (s)."""
        with self._changed:
            return self._changed.wait_for(lambda: self._finished >= mark or self._settled >= self.logged, timeout)

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

    def stats(self, spool: str) -> Stats:
        """Read the book at one moment."""
        with self._changed:
            logged = self.logged
            return Stats(
                logged=logged,
                queued=logged - self._settled,
                dropped=MappingProxyType(dict(self._dropped)),
                adjusted=MappingProxyType(dict(self._adjusted)),
                sampled_out=self.sampled_out,
                spool=spool,
                last_error=self._last_error,
                **self._counts,
            )


def describe(error: BaseException) -> str:
    """Put an exception of the host into words, even one that fails at that itself."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  # its own __str__ is at fault
        return type(error).__name__

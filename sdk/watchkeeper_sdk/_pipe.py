"""From a call to the wire, for one process: ids, the queue, the book, and the thread behind them."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING

from ._ledger import Ledger, describe
from ._queue import NO_BYTES, NO_ROOM, MemoryQueue, estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._fields import Time
    from ._ledger import Stats
    from ._settings import Settings

_REMEMBERED = 10_000


class RecentTimes:
    """When were the last 10,000 to 20,000 predictions made? Two generations: bounded, never searched."""

    def __init__(self) -> None:
        self._young: dict[str, Time] = {}
        self._old: dict[str, Time] = {}
        self._lock = threading.RLock()

    def remember(self, event_id: str, ts: Time) -> None:
        """Keep the time of one prediction."""
        self._young[event_id] = ts
        if len(self._young) >= _REMEMBERED:
            with self._lock:
                if len(self._young) >= _REMEMBERED:
                    self._old, self._young = self._young, {}

    def get(self, event_id: str) -> Time | None:
        """Look up the time; None when it is not known here, or no more."""
        return self._young.get(event_id) or self._old.get(event_id)


class Pipe:
    """What one process logs to one server. After a fork the child begins anew with the same settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.on = bool(settings.url)
        self.recent = RecentTimes()
        self.renew()
        if self.on:
            _followers().add(self)

    def renew(self) -> None:
        """Begin with a new name, an empty queue and no thread: at the start, and in a forked child."""
        client_id = os.urandom(8).hex()
        self._numbers = itertools.count(1)
        self._id_prefix = client_id + "."
        self.ledger = Ledger()
        self._queue = MemoryQueue(self.settings.max_queue_events, self.settings.max_queue_bytes)
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._closed = False
        if self.on:
            from ._sender import Sender  # noqa: PLC0415  # a client that is off never loads it

            self._sender = Sender(client_id, self.settings, self._queue, self.ledger)

    def new_id(self) -> str:
        """Make an event id: this process's random name and a number (cheaper than a random id each)."""
        return f"{self._id_prefix}{next(self._numbers):x}"

    def put(self, kind: str, fields: Mapping[str, object]) -> None:
        """Queue one event, if on; what finds no room is counted and lost."""
        if not self.on:
            return
        if self._closed:
            self.ledger.lose_at_call("closed")
            return
        length = self._queue.put((kind, fields, estimate(fields)))
        if length == NO_ROOM:
            self.ledger.lose_at_call("queue_full")
        elif length == NO_BYTES:
            self.ledger.lose_at_call("queue_bytes")
        else:
            if self._thread is None:
                self._start()
            # Only what changes the sender's mind wakes it: the first event, and a full batch.
            if length in (1, self.settings.max_batch):
                self._sender.wake()

    def lose(self, call: str, error: Exception) -> None:
        """Count an event whose call failed, and warn once about each kind of failure; if on."""
        if not self.on:
            return
        self.ledger.lose_at_call("invalid_call")
        message = f"{call}() failed and its event is lost: {describe(error)}"
        self.ledger.complain(f"{call} {type(error).__name__}", message)

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._sender.run, name="watchkeeper-sender", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except BaseException:
                self._thread = None  # the next call tries again
                raise
            self._say_goodbye_at_exit()

    def _say_goodbye_at_exit(self) -> None:
        atexit.unregister(self.shutdown)  # a forked child has its parent's
        atexit.register(self.shutdown)
        # A forked child of multiprocessing leaves through os._exit, past atexit (before Python 3.13).
        processes = sys.modules.get("multiprocessing.util")
        if processes is not None:
            processes.Finalize(None, self.shutdown, exitpriority=0)

    def flush(self, timeout: float) -> bool:
        """Send all that is logged by now; True when each event has its answer or is counted as lost."""
        mark = self.ledger.mark(self._queue)
        if self._thread is not None:
            self._sender.hurry(mark)
        return self.ledger.reached(mark, timeout)

    def retire(self) -> None:
        """Take no more events and end the thread once all is sent; returns at once."""
        self._closed = True
        if self._thread is not None:
            self._sender.close()

    def shutdown(self, timeout: float | None = None) -> bool:
        """Send what is left for at most ``timeout`` seconds, then give up the rest."""
        self.retire()
        if self._thread is None:
            return True
        mark = self.ledger.mark(self._queue)
        if self.ledger.reached(mark, self.settings.exit_timeout if timeout is None else timeout):
            return True
        self._sender.abandon()
        lost = self.ledger.stats(self._queue).queued
        message = f"{lost} events could not be sent to {self.settings.url} before the end and are lost"
        self.ledger.complain("shutdown", message)
        return False

    def stats(self) -> Stats:
        """Read the book."""
        return self.ledger.stats(self._queue)


@functools.cache
def _followers() -> weakref.WeakSet[Pipe]:
    """Give the pipes that begin anew in a forked child; the first asker sets that up."""
    pipes: weakref.WeakSet[Pipe] = weakref.WeakSet()

    def renew_all() -> None:
        for pipe in list(pipes):
            pipe.renew()

    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=renew_all)
    return pipes

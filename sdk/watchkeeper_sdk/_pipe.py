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
from ._sample import sampling

if TYPE_CHECKING:
    from ._fields import Time
    from ._ledger import Stats
    from ._sender import Sender
    from ._settings import Settings

_REMEMBERED = 10_000
_MAX_EVENT = 2**20
_GOODBYE = 0.5


class RecentTimes:
    """When were the last 10,000 to 20,000 predictions made? Two generations: bounded, never searched.

    Instead of the time, ``SAMPLED_OUT`` says that the prediction was left out on purpose.
    """

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
        self.on = bool(settings.url or settings.spool_dir)
        self.recent = RecentTimes()
        self.sampling = sampling(settings.sample_rate, keep_errors=settings.keep_errors)
        self._sender: Sender | None = None
        self.renew()
        if self.on:
            _followers().add(self)

    def renew(self) -> None:
        """Begin with a new name, an empty spool and no thread: at the start, and in a forked child."""
        client_id = os.urandom(8).hex()
        self._pid = os.getpid()
        self._ids = itertools.count(1)
        self._id_prefix = client_id + "."
        self.ledger = Ledger()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        if self.on:
            from ._encode import Encoder  # noqa: PLC0415  # a client that is off never loads them
            from ._parcel import KINDS  # noqa: PLC0415
            from ._sender import Sender  # noqa: PLC0415

            if self._sender is not None:
                self._sender.forget()
            self._sender = sender = Sender(client_id, self.settings, self.ledger)
            self._spool = sender.spool
            self._encode = Encoder({kind: self.settings.common(kind) for kind in KINDS}, self.ledger.adjust).text

    def new_id(self) -> str:
        """Make an event id: this process's random name and a number (cheaper than a random id each)."""
        if os.getpid() != self._pid:  # a fork that told nobody
            self.renew()
        return f"{self._id_prefix}{next(self._ids):x}"

    def put(self, kind: str, fields: dict[str, object]) -> None:
        """Write one event down, if on; what cannot be is counted and lost."""
        if not self.on:
            return
        if os.getpid() != self._pid:
            self.renew()
        try:
            text = self._encode(kind, fields)
        except Exception as error:  # noqa: BLE001  # a host's object may raise anything at all
            message = f"an event was dropped, it cannot be written as JSON: {describe(error)}"
            self.ledger.complain(f"unencodable {type(error).__name__}", message)
            self._lose("unencodable")
            return
        if len(text) > _MAX_EVENT:
            message = f"an event of {len(text)} bytes was dropped: log at most {_MAX_EVENT} at once"
            self.ledger.complain("too_large", message)
            self._lose("too_large")
            return
        self._put(kind[0], text)

    def lose(self, call: str, error: Exception) -> None:
        """Count an event whose call failed, and warn once about each kind of failure; if on."""
        if not self.on:
            return
        self._lose("invalid_call")
        message = f"{call}() failed and its event is lost: {describe(error)}"
        self.ledger.complain(f"{call} {type(error).__name__}", message)

    def _lose(self, reason: str) -> None:
        self._put("x", reason.encode())
        self.ledger.drop(reason, 1)

    def _put(self, mark: str, text: bytes) -> None:
        number = self._spool.put(mark, text)
        if self._thread is None and not self._spool.closed:
            self._start()
        # Only what changes the sender's mind wakes it: the first event, and a full batch.
        sender = self._sender
        if sender is not None and number - sender.seen in (1, self.settings.max_batch):
            sender.wake()

    def _start(self) -> None:
        """Start the thread, once: also where a signal handler logs while this is under way."""
        sender = self._sender
        if sender is None or not self._starting.acquire(blocking=False):
            return
        try:
            thread = threading.Thread(target=sender.run, name="watchkeeper-sender", daemon=True)
            thread.start()
        except Exception as error:  # noqa: BLE001  # no thread can be had, as at the end of the process
            self.ledger.complain("thread", f"no thread to send with, the next call tries again: {describe(error)}")
            self._starting.release()
            return
        self._thread = thread
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
        mark = self.ledger.logged
        if self._thread is not None and self._sender is not None:
            self._sender.hurry(mark)
        return self.ledger.reached(mark, timeout if self.settings.url else 0.0)

    def retire(self) -> None:
        """Take no more events and end the thread once all is sent; returns at once."""
        if self._sender is not None:
            self._spool.closed = True
            self._sender.close()

    def shutdown(self, timeout: float | None = None) -> bool:
        """Send what is left for at most ``timeout`` seconds; then what is on disk stays there, the rest is lost."""
        self.retire()
        thread, sender = self._thread, self._sender
        if thread is None or sender is None:
            return True
        mark = self.ledger.logged
        seconds = self.settings.exit_timeout if timeout is None else timeout
        if self.ledger.reached(mark, seconds if self.settings.url else 0.0):
            if thread is not threading.current_thread():
                thread.join(_GOODBYE)  # it takes its empty folder away
            return True
        lost = sender.abandon()
        thread.join(_GOODBYE)
        if lost:
            message = f"{lost} events could not be sent to {self.settings.url} before the end and are lost"
            self.ledger.complain("shutdown", message)
        # Without a URL there is nothing but the disk to hand events to.
        return not (lost or self.settings.url)

    def stats(self) -> Stats:
        """Read the book."""
        return self.ledger.stats(self._spool.kind if self._sender is not None else "none")


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

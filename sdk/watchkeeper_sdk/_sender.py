"""The background thread: sends what waits on disk and in memory, and looks after what others left."""

from __future__ import annotations

import contextlib
import queue
import time
from typing import TYPE_CHECKING

from ._adopt import adopted, bound
from ._ledger import describe
from ._parcel import MAX_PARCEL, Parcel, packed
from ._post import Post
from ._spool import Spool

if TYPE_CHECKING:
    from ._backlog import Backlog, Left
    from ._ledger import Ledger
    from ._parcel import Author
    from ._settings import Settings

_LOOK_EVERY = 5.0
_LAST_CHANCE_DELAY = 0.2


class Own:
    """The events of this process: its book is in memory, and the host can ask for it."""

    def __init__(self, ledger: Ledger, spool: Spool) -> None:
        self._spool = spool
        self.told = ledger.told
        self.answered = ledger.answered
        self.gave_up = ledger.gave_up

    @property
    def author(self) -> Author:
        """In whose name the events go."""
        return self._spool.author


class Sender:
    """Moves events from the spool to the server; ``run`` is the thread's whole life."""

    def __init__(self, client_id: str, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self.spool = self._spool = spool = Spool(client_id, settings, ledger, self._look_soon)
        self._ledger = ledger
        self._own = Own(ledger, spool)
        self._post = Post(settings.url, settings.api_key, ledger.complain)
        # Each token says "look again"; its put is safe in signal handlers and destructors.
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._left: list[Left] = []
        self._from_memory: Parcel | None = None
        self.seen = 0
        """The number of the newest event that was taken to be sent."""
        self._since: float | None = None
        self._look_at = 0.0
        self._flush_mark = 0
        self._closing = False
        self._abandoned = False

    def wake(self) -> None:
        """Make the thread look again at what there is to do."""
        self._tokens.put(None)

    def hurry(self, mark: int) -> None:
        """Send what was logged up to the mark without waiting for a full batch."""
        self._flush_mark = max(self._flush_mark, mark)
        self.wake()

    def close(self) -> None:
        """Send what is left, then end the thread."""
        self._closing = True
        self.wake()

    def abandon(self) -> int:
        """Send no more; tells how many events are lost by that: those in memory. The others stay on disk."""
        self._abandoned = True
        self.close()
        parcel = self._from_memory
        return len(self._spool.memory) + (parcel.waiting if parcel else 0)

    def forget(self) -> None:
        """In a forked child: close what belongs to the parent."""
        self._spool.forget()
        for backlog in self._left:
            backlog.forget()

    def run(self) -> None:
        """Send until closed; the thread outlives whatever happens to a parcel."""
        while not self._abandoned:
            try:
                if not self._step():
                    break
            except Exception as error:  # noqa: BLE001
                self._ledger.complain(f"sender {type(error).__name__}", f"sending failed: {describe(error)}")
                self._pause(_LAST_CHANCE_DELAY)
        self._end()

    def _step(self) -> bool:
        """Do what is due, else wait; False once closed and empty."""
        self._look_around()
        if self._settings.url and self._due():
            self._send_own()
            self._send_left()
        elif self._closing:
            return False
        elif self._left:
            self._send_left()
        else:
            now = time.monotonic()
            due = now + _LOOK_EVERY if self._since is None else self._since + self._settings.flush_interval
            self._pause(max(0.0, min(due, self._look_at) - now))
        return True

    def _due(self) -> bool:
        waiting = self._ledger.logged - self.seen
        if waiting <= 0:
            self._since = None
            return False
        now = time.monotonic()
        if self._since is None:
            self._since = now
        return (
            self._closing
            or waiting >= self._settings.max_batch
            or self._flush_mark > self.seen
            or now - self._since >= self._settings.flush_interval
        )

    def _send_own(self) -> None:
        """Send all that was logged by now; what comes meanwhile waits for its own batch."""
        mark = self._spool.written()
        self._since = None
        for disk in (self._spool.disk, None):
            while not self._abandoned:
                parcel = disk.next(self._settings.max_batch) if disk else self._take_memory()
                if parcel is None or not self._delivered(parcel, disk):
                    break
                self.seen = max(self.seen, parcel.last)
                self._ledger.finish(self._spool.all_passed())
                if parcel.last >= mark:
                    break
        if not self._abandoned:
            self.seen = max(self.seen, mark)
            if self.seen >= self._ledger.logged:
                self._spool.reconcile(self._settings.max_batch)

    def _take_memory(self) -> Parcel | None:
        if self._from_memory is None:
            lines = self._spool.memory.take(self._settings.max_batch, MAX_PARCEL)
            if not lines:
                return None
            key = f"{self._spool.author.client}-m{lines[0][0]}-{lines[-1][0]}"
            self._from_memory = packed(key, [line[:-1] for _, line in lines])
        return self._from_memory

    def _delivered(self, parcel: Parcel, disk: Backlog | None) -> bool:
        """Post until nothing is left of the parcel; False where the thread is to end before."""
        if not parcel.tried:
            parcel.tried = True
            self._ledger.add("sent", parcel.waiting)
        if not self._tried_until_done(parcel, None):
            return False
        if disk is None:
            self._from_memory = None
        else:
            disk.note(self._ledger.logged, self._spool.unwritten)
            disk.finish(parcel)
        return True

    def _send_left(self) -> None:
        """Send one parcel of what a dead process left."""
        if not self._left:
            return
        backlog = self._left[0]
        parcel = backlog.next(self._settings.max_batch)
        if parcel is None:
            backlog.close()
            self._left.pop(0)
            if not self._left:
                self._look_at = 0.0  # there may be more than were taken over at once
        elif self._tried_until_done(parcel, backlog):
            backlog.finish(parcel)

    def _tried_until_done(self, parcel: Parcel, backlog: Left | None) -> bool:
        while not (self._abandoned or parcel.void):
            wait = self._post.attempt(parcel, backlog or self._own)
            if wait is None:
                return True
            self._back_off(wait)
            self._ledger.add("retries", 1)
        return parcel.void

    def _back_off(self, seconds: float) -> None:
        """Wait before the next attempt; a closing client tries again soon unless told to wait."""
        begun = time.monotonic()
        while not self._abandoned:
            hasty = self._closing and not self._post.ordered
            left = begun + (min(seconds, _LAST_CHANCE_DELAY) if hasty else seconds) - time.monotonic()
            if left <= 0:
                return
            self._pause(min(left, _LOOK_EVERY))
            self._look_around()

    def _look_around(self) -> None:
        """Every few seconds: end old segments, take over what the dead left, and keep the spool within its bounds."""
        now = time.monotonic()
        home, settings = self._spool.home, self._settings
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY
        if home is None:
            return
        self._spool.seal_old()
        own = self._spool.disk
        held: list[Backlog] = [*([own] if own else []), *self._left]
        if settings.url and not self._closing:
            self._left += adopted(home, settings.url, own.folder if own else None, held)
            held = [*([own] if own else []), *self._left]
        before = self._dropped_on_disk(own)
        if bound(home, settings.max_spool_bytes, time.time() - settings.max_spool_age, held):
            message = "the spool is full: its oldest events were dropped (max_spool_bytes, max_spool_age)"
            self._ledger.complain("spool_full", message)
            self._ledger.drop("spool_full", self._dropped_on_disk(own) - before)

    def _look_soon(self) -> None:
        """A segment was begun: the spool may be over its bounds."""
        self._look_at = 0.0
        self.wake()

    @staticmethod
    def _dropped_on_disk(own: Backlog | None) -> int:
        return own.progress.dropped.get("spool_full", 0) if own else 0

    def _pause(self, seconds: float) -> None:
        with contextlib.suppress(queue.Empty):
            self._tokens.get(timeout=seconds)

    def _end(self) -> None:
        """Let everything go; what is in memory is lost with it."""
        self._spool.close()  # first: whatever a call still wrote is counted then
        parcel, self._from_memory = self._from_memory, None
        self._ledger.drop("shutdown", len(self._spool.memory) + (parcel.waiting if parcel else 0))
        for backlog in self._left:
            backlog.close()
        self._post.close()
        self._ledger.finish(0)

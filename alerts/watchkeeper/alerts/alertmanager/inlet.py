"""Keeps posted alerts before they are answered for: one writer commits all that waits at once (group commit).

What is kept is applied by the rounds, in order. Where they are behind, or the disk is slow, more is refused at once:
whoever posts is told to come again, and nothing that was answered with 200 is let go of.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from watchkeeper.schemas.errors import Overloaded, StoreUnavailable
from watchkeeper.store.control import alert_journal
from watchkeeper.store.control.alert_journal import Post
from watchkeeper.store.control.connection import Control, Transaction

MOST_REQUESTS = 256
"""Requests that wait for the disk."""
MOST_ALERTS = 100_000
"""Alerts that wait to be applied."""
CALM_SECONDS = 0.1


@dataclass(slots=True)
class _Waiting:
    posts: Sequence[Post]
    done: Future[None] = field(default_factory=Future[None])


class AlertInlet:
    """The way in for alerts of other systems; ``kept`` is called after each commit."""

    def __init__(self, control: Control, kept: Callable[[], None], most_alerts: int = MOST_ALERTS) -> None:
        self._control = control
        self._kept = kept
        self._most_alerts = most_alerts
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._requests = 0
        self._closed = False
        self._taken_at = 0.0
        self._at_most = most_alerts  # not counted yet
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether something came in just now, or waits for the disk."""
        return self._requests > 0 or time.monotonic() - self._taken_at < CALM_SECONDS

    def append(self, posts: Sequence[Post]) -> Future[None]:
        """Queue one request; the future is done when it is on the disk.

        Raises:
            Overloaded: too many requests wait for the disk.
            StoreUnavailable: the server is stopping.

        """
        waiting = _Waiting(posts)
        with self._lock:
            if self._closed:
                raise StoreUnavailable("no alerts are taken: the server is stopping")
            if self._requests >= MOST_REQUESTS:
                raise Overloaded(f"{self._requests} posts of alerts wait for the disk: send again later")
            if self._thread is None:  # the first: most servers are never posted any
                self._thread = threading.Thread(target=self._write, name="alert inlet", daemon=True)
                self._thread.start()
            self._requests += 1
            self._queue.put(waiting)
        return waiting.done

    def close(self) -> None:
        """Keep what was taken, then take no more."""
        with self._lock:
            self._closed = True
            self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _write(self) -> None:
        going_on = True
        while going_on:
            group = [self._queue.get()]
            while not self._queue.empty():
                group.append(self._queue.get())
            going_on = None not in group
            taken = [one for one in group if one is not None]
            try:
                # Whoever hung up was not answered: what it sent need not be kept.
                self._commit([one for one in taken if one.done.set_running_or_notify_cancel()])
            finally:
                with self._lock:
                    self._requests -= len(taken)

    def _commit(self, group: Sequence[_Waiting]) -> None:
        if not group:
            return
        failure: Exception | None = None
        try:
            with self._control.transaction() as tx:
                self._refuse_if_full(tx)
                alert_journal.append(tx, (post for one in group for post in one.posts))
        except Exception as error:  # noqa: BLE001 - each that waits is told; the writer goes on
            failure = error
        self._at_most += sum(post.alerts for one in group for post in one.posts)
        self._taken_at = time.monotonic()
        for one in group:
            if failure is None:
                one.done.set_result(None)
            else:
                one.done.set_exception(failure)
        if failure is None:
            self._kept()

    def _refuse_if_full(self, tx: Transaction) -> None:
        """Count anew only where as many may wait by what came in here since the last count."""
        if self._at_most < self._most_alerts:
            return
        self._at_most = alert_journal.backlog(tx).alerts
        if self._at_most >= self._most_alerts:
            raise Overloaded(f"{self._at_most} posted alerts wait to be taken: send again later")

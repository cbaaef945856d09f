"""The in-process clock that calls the schedule; progress is the watermarks', never its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from watchkeeper.schemas.errors import Unavailable

log = logging.getLogger(__name__)


class Clockwork:
    """Calls ``run`` every so often from one background thread: the first time at once, never twice at a time.

    Calls that were missed (a laptop that slept) become one. It counts seconds and asks no clock on the wall: one that
    is set back by an hour does not stop it for an hour.
    """

    def __init__(self, name: str, run: Callable[[], object], every: timedelta) -> None:
        self._name = name
        self._run = run
        self._every = every.total_seconds()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to call; does nothing if it has begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._call, name=self._name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Call no more, and wait for the call that is under way."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _call(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            try:
                self._run()
            except Unavailable as error:
                log.warning("%s stopped, trying again: %s", self._name, error)
            except Exception:  # whatever it is, the next call may go well
                log.exception("%s failed", self._name)
            due = max(due + self._every, time.monotonic())

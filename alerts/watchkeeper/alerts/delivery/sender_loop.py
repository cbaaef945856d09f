"""Runs a sender in threads: one looks for what is due, the others send, one receiver each at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import ParamSpec

from watchkeeper.alerts.delivery.sender import PARALLEL, PER_RUN, Sender
from watchkeeper.schemas.errors import StoreUnavailable

P = ParamSpec("P")
logger = logging.getLogger("watchkeeper.alerts.delivery.sender")

Beside = Callable[[datetime], int]
"""What else is to be done at each look, in a thread of its own."""


class SenderLoop:
    """Looks every ``interval`` seconds and at once after ``wake``; a receiver that hangs holds up no other."""

    def __init__(
        self,
        sender: Sender,
        clock: Callable[[], datetime],
        interval: float = 2.0,
        *,
        beside: Sequence[Beside] = (),
    ) -> None:
        self._sender = sender
        self._clock = clock
        self._interval = interval
        self._beside = tuple(beside)
        self._wake = threading.Event()
        self._stopped = False
        self._busy: dict[str, Future[int]] = {}
        self._clean = False
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        """Begin; what was in flight when an earlier run ended goes first."""
        self._thread.start()

    def wake(self) -> None:
        """Look now, something was just written."""
        self._wake.set()

    def stop(self) -> None:
        """End after the attempts that are under way."""
        self._stopped = True
        self._sender.stop()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(PARALLEL + len(self._beside), thread_name_prefix="notify") as pool:
            while not self._stopped:
                self._wake.clear()
                self._watched(self._look, pool)
                self._wake.wait(self._interval)

    def _look(self, pool: ThreadPoolExecutor) -> int:
        self._busy = {name: run for name, run in self._busy.items() if not run.done()}
        if not self._clean and not self._busy:
            self._sender.take_back()
            self._clean = True
        now = self._clock()
        names = [name for name in self._sender.due(now) if name not in self._busy]
        for name in names:
            self._busy[name] = pool.submit(self._serve, name, now)
        for number, work in enumerate(self._beside):
            if f" {number}" not in self._busy:  # no receiver's name
                self._busy[f" {number}"] = pool.submit(self._watched, work, now)
        return len(names)

    def _serve(self, name: str, now: datetime) -> int:
        count = self._watched(self._sender.serve, name, now)
        if count == PER_RUN:
            self.wake()  # there may be more
        return count

    def _watched(self, work: Callable[P, int], *given: P.args, **named: P.kwargs) -> int:
        """Whatever fails is tried again; what was in flight then is taken back first."""
        try:
            return work(*given, **named)
        except Exception as error:
            self._clean = False
            level = logging.WARNING if isinstance(error, StoreUnavailable) else logging.ERROR
            logger.log(level, "sending stopped, trying again: %s", error, exc_info=level == logging.ERROR)
            return 0

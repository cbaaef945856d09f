"""The in-process clock that calls the schedule; progress is the watermarks', never its own."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol, cast

from watchkeeper.schemas.errors import Unavailable

log = logging.getLogger(__name__)


class _Background(Protocol):
    """The part of APScheduler that is used; it ships without types."""

    def add_jobstore(self, jobstore: object) -> None: ...
    def add_job(self, func: Callable[[], object], trigger: str, **options: object) -> object: ...
    def start(self) -> None: ...
    def shutdown(self, *, wait: bool) -> None: ...


class Clockwork:
    """Calls ``run`` every so often in the background: the first time at once, never twice at a time.

    Calls that were missed (a laptop that slept) become one, and a clock on the wall that is set back by an hour does
    not stop it for an hour.
    """

    def __init__(self, name: str, run: Callable[[], object], every: timedelta) -> None:
        self._name = name
        self._run = run
        self._every = every
        self._background: _Background | None = None

    def start(self) -> None:
        """Begin to call; does nothing if it has begun."""
        if self._background is not None:
            return
        module = importlib.import_module("apscheduler.schedulers.background")
        jobs = importlib.import_module("watchkeeper.analyzers.clockwork_jobs")
        background = cast("_Background", module.BackgroundScheduler(timezone=UTC))
        background.add_jobstore(jobs.SteadyJobs(self._every))
        background.add_job(
            self._call,
            "interval",
            name=self._name,
            seconds=self._every.total_seconds(),
            next_run_time=datetime.now(UTC),
            coalesce=True,
            misfire_grace_time=None,
            max_instances=1,
        )
        background.start()
        self._background = background

    def stop(self) -> None:
        """Call no more, and wait for the call that is under way."""
        if self._background is not None:
            self._background.shutdown(wait=True)
            self._background = None

    def _call(self) -> None:
        try:
            self._run()
        except Unavailable as error:
            log.warning("%s stopped, trying again: %s", self._name, error)
        except Exception:  # whatever it is, the next call may go well
            log.exception("%s failed", self._name)

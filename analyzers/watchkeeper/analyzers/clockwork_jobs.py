"""Jobs of APScheduler that a clock on the wall cannot put off. Imported by the clockwork when it starts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from apscheduler.jobstores.memory import MemoryJobStore


class SteadyJobs(MemoryJobStore):
    """Keeps jobs in memory; one that is due later than its interval from now is due now, for the clock was set back.

    APScheduler knows the next call as a time of day only. It wakes up after the interval whatever the clock says, and
    asks here what is due.
    """

    def __init__(self, every: timedelta) -> None:
        super().__init__()
        self._every = every

    def get_due_jobs(self, now: datetime) -> list[Any]:
        """Give the jobs to be called."""
        kept: Any = super()  # it ships without types
        for job in kept.get_all_jobs():
            if job.next_run_time - now > self._every:
                job.modify(next_run_time=now)
        return kept.get_due_jobs(now)

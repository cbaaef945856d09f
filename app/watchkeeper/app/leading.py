"""One server evaluates at a time, of all that share the control data; the others stand by."""

from __future__ import annotations

from datetime import timedelta

from watchkeeper.store.clock import Clock
from watchkeeper.store.control import leases
from watchkeeper.store.control.connection import Control, Transaction

NAME = "schedule"
LENGTH = timedelta(seconds=60)
"""So long after the last sign of life another server takes over. Renewed at each tick and with each evaluation."""


class Leader:
    """The lease of the schedule, as one server sees it."""

    def __init__(self, control: Control, holder: str, clock: Clock) -> None:
        self._control = control
        self._holder = holder
        self._clock = clock
        self._term: int | None = None

    def leads(self) -> int | None:
        """Take or renew the lease and give its term; None while another server evaluates.

        Another term than the last one says that another server evaluated meanwhile: what is remembered is old.
        """
        with self._control.transaction() as tx:
            self._term = leases.take(tx, NAME, self._holder, self._clock(), LENGTH)
        return self._term

    def guard(self, tx: Transaction) -> None:
        """Renew it inside the transaction of an evaluation; raises LeaseLost where it is another's by now."""
        leases.renew(tx, NAME, self._holder, self._term or 0, self._clock(), LENGTH)

    def release(self) -> None:
        """Let another server go on at once."""
        with self._control.transaction() as tx:
            leases.release(tx, NAME, self._holder, self._clock())

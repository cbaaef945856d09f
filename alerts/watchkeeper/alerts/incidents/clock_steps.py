"""What becomes of times that were written while the clock was ahead, once it was set back?

A timer an hour ahead would stand still for that hour, and what is found now would count as older than what is known,
so as no news. So every such time is brought back to now: groups are looked at, the next finding is the newest one.
Silences, maintenance and snoozes end when the clock says so: people gave those times.

Misleads where servers share control data and their clocks differ by over a minute: to the one behind it is a step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from watchkeeper.alerts.routing.routing import Router
from watchkeeper.schemas.declared import Declarations
from watchkeeper.store.control import groups, incidents, watermarks
from watchkeeper.store.control.connection import Control, Transaction
from watchkeeper.store.control.groups import Group
from watchkeeper.store.control.records import Incident, Member

logger = logging.getLogger("watchkeeper.alerts.incidents.rounds")

WENT_BACK = timedelta(minutes=1)
"""Less than that is how clocks are kept right."""

AN_INSTANT = timedelta(microseconds=1)


class ClockWatch:
    """Looks at each round whether the clock went back, also while the process was down."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._last: datetime | None = None

    def look(self, now: datetime, declarations: Callable[[], Declarations]) -> None:
        """Bring back what was written ahead of a clock that went back."""
        if self._last is None:
            with self._control.snapshot() as tx:
                self._last = _newest(tx)
        if self._last is not None and now < self._last - WENT_BACK:
            declared = declarations()
            with self._control.transaction() as tx:
                tx.serialize("intake")
                _bring_back(tx, declared, now)
            logger.warning("the clock went back by %s: what was put off is looked at now", self._last - now)
        self._last = now


def _newest(tx: Transaction) -> datetime | None:
    """Give the newest time that is surely from a clock: of what happened, and of what was evaluated."""
    known = [incidents.newest_event_at(tx), *watermarks.every(tx).values()]
    return max((at for at in known if at is not None), default=None)


def _bring_back(tx: Transaction, declared: Declarations, now: datetime) -> None:
    router = Router.of(declared)
    every = groups.listed(tx)
    after = [_group(group, router, now) for group in every]
    groups.save(tx, *(new for new, old in zip(after, every, strict=True) if new != old))
    # Just before now: what is found now is newer.
    incidents.save(tx, *(_incident(one, now - AN_INSTANT) for one in incidents.ahead_of(tx, now)))


def _group(group: Group, router: Router, now: datetime) -> Group:
    branch = router.branch(group.route)
    patience = branch.escalate_after if branch else None
    return replace(
        group,
        next_at=_no_later(group.next_at, now),
        told_at=_no_later(group.told_at, now),
        escalate_at=_no_later(group.escalate_at, now + (patience or timedelta(0))),
    )


def _incident(incident: Incident, last: datetime) -> Incident:
    return replace(
        incident,
        opened_at=min(incident.opened_at, last),
        fired_at=_no_later(incident.fired_at, last),
        resolved_at=_no_later(incident.resolved_at, last),
        acknowledged_at=_no_later(incident.acknowledged_at, last),
        members=tuple(_member(member, last) for member in incident.members),
    )


def _member(member: Member, last: datetime) -> Member:
    return replace(
        member,
        first_at=min(member.first_at, last),
        last_at=min(member.last_at, last),
        held_at=min(member.held_at, last),
    )


def _no_later(at: datetime | None, last: datetime) -> datetime | None:
    return None if at is None else min(at, last)

"""What people do so that something is not told: silence, plan maintenance, snooze. Each is audited.

Whatever is set or ended has every group looked at again at once.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from watchkeeper.schemas.access import ANYONE, Caller
from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.matchers import Matchers
from watchkeeper.store.control import audit, groups, incidents, maintenance, silences
from watchkeeper.store.control.connection import Control, Transaction
from watchkeeper.store.control.maintenance import Maintenance
from watchkeeper.store.control.records import AuditEntry, Incident, IncidentEvent
from watchkeeper.store.control.silences import Silence, Wish

NOBODY_NAMED = "someone"


def silence(control: Control, wish: Wish, now: datetime, caller: Caller = ANYONE) -> Silence:
    """Make or change a silence; InputError or NotFound where it cannot be."""
    with _all_looked_at(control, now) as tx:
        return silences.put(tx, wish, now, caller.label)


def expire(control: Control, silence_id: str, now: datetime, caller: Caller = ANYONE) -> Silence:
    """End a silence; NotFound where there is none of this id."""
    with _all_looked_at(control, now) as tx:
        return silences.expire(tx, silence_id, now, caller.actor or NOBODY_NAMED, caller.label)


def plan(
    control: Control,
    matchers: Matchers,
    span: tuple[datetime, datetime],
    author: str,
    reason: str,
    now: datetime,
    caller: Caller = ANYONE,
) -> Maintenance:
    """Plan a maintenance window; InputError where it cannot be."""
    with _all_looked_at(control, now) as tx:
        return maintenance.add(tx, matchers, *span, author, reason, now, caller.label)


def end(control: Control, window_id: str, now: datetime, caller: Caller = ANYONE) -> Maintenance:
    """End a maintenance window; NotFound where there is none of this id."""
    with _all_looked_at(control, now) as tx:
        return maintenance.end(tx, window_id, now, caller.actor or NOBODY_NAMED, caller.label)


def snooze(
    control: Control, incident_id: str, until: datetime, by: str | None, now: datetime, caller: Caller = ANYONE
) -> Incident:
    """Tell nothing of one incident until then; if it still fires, it is told again. A time in the past wakes it now.

    Raises:
        NotFound: there is no such incident.
        InputError: it is over.

    """
    known = caller.for_user(by)
    actor = known.actor or NOBODY_NAMED
    with control.transaction() as tx:
        tx.serialize("intake")
        incident = incidents.get(tx, incident_id)
        if not incident.open:
            raise InputError(f"incident {incident_id} is over: there is nothing to snooze")
        snoozed = replace(incident, snoozed_until=until, snoozed_by=actor)
        incidents.save(tx, snoozed)
        detail = {"until": until.isoformat()}
        incidents.note(tx, incident_id, IncidentEvent(now, "snoozed", {**detail}, actor))
        groups.look_again(tx, now, incident_id)
        audit.add(tx, AuditEntry(now, actor, "incident.snoozed", incident_id, {**detail}, known.label))
        return snoozed


@contextmanager
def _all_looked_at(control: Control, now: datetime) -> Generator[Transaction]:
    """Give a transaction after which every group is looked at."""
    with control.transaction() as tx:
        tx.serialize("intake")
        yield tx
        groups.look_again(tx, now)

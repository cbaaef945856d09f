"""The incidents with their members, and the timeline of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, insert, or_, select

from watchkeeper.schemas.errors import NotFound
from watchkeeper.store.control.connection import Transaction, as_record
from watchkeeper.store.control.records import Incident, IncidentEvent, Member, Phase, incident_fingerprint
from watchkeeper.store.control.tables import event, incident, member

OPEN = (Phase.PENDING, Phase.FIRING)
CHUNK = 500
"""Ids in one query."""


def latest(tx: Transaction, service: str, model: str) -> Incident | None:
    """Give the newest episode of this service and model, open or not."""
    about = incident.c.fingerprint == incident_fingerprint(service, model)
    newest = _with_members(tx, select(incident).where(about).order_by(incident.c.episode.desc()).limit(1))
    return newest[0] if newest else None


def latest_of(tx: Transaction, about: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Incident]:
    """Give the newest episode of each of these (service, model) that has one."""
    prints = sorted({incident_fingerprint(service, model) for service, model in about})
    newest: dict[tuple[str, str], Incident] = {}
    for at in range(0, len(prints), CHUNK):
        chosen = incident.c.fingerprint.in_(prints[at : at + CHUNK])
        last = select(incident.c.fingerprint, func.max(incident.c.episode)).where(chosen)
        ids = [f"{fingerprint}-{episode}" for fingerprint, episode in tx.rows(last.group_by(incident.c.fingerprint))]
        newest |= {(one.service, one.model): one for one in several(tx, ids)}
    return newest


def get(tx: Transaction, incident_id: str) -> Incident:
    """Give one incident.

    Raises:
        NotFound: there is none of this id.

    """
    found = _with_members(tx, select(incident).where(incident.c.id == incident_id))
    if not found:
        raise NotFound(f"there is no incident {incident_id!r}; GET /v1/incidents lists those that exist")
    return found[0]


def listed(
    tx: Transaction, *, states: Iterable[Phase] = OPEN, service: str | None = None, limit: int | None = 200
) -> list[Incident]:
    """List the incidents in these states, the newest first."""
    query = select(incident).where(incident.c.state.in_([state.value for state in states]))
    if service is not None:
        query = query.where(incident.c.service == service)
    return _with_members(tx, query.order_by(incident.c.opened_at.desc(), incident.c.id).limit(limit))


def several(tx: Transaction, incident_ids: Iterable[str]) -> list[Incident]:
    """Give those of these ids that exist, in no order."""
    wanted = sorted(set(incident_ids))
    chunks = [wanted[at : at + CHUNK] for at in range(0, len(wanted), CHUNK)]
    return [one for keys in chunks for one in _with_members(tx, select(incident).where(incident.c.id.in_(keys)))]


def with_member(tx: Transaction, analyzers: Iterable[str]) -> list[Incident]:
    """List the firing incidents in which a condition that one of these analyzers found is active."""
    holds = select(member.c.incident_id).where(member.c.analyzer.in_(sorted(analyzers)), member.c.active)
    firing = incident.c.state == Phase.FIRING.value
    return _with_members(tx, select(incident).where(firing, incident.c.id.in_(holds)))


def ahead_of(tx: Transaction, now: datetime) -> list[Incident]:
    """List the incidents that a clock wrote which was ahead of ``now``."""
    own = (incident.c.opened_at, incident.c.fired_at, incident.c.resolved_at)
    times = (member.c.first_at, member.c.last_at, member.c.held_at)
    of_member = select(member.c.incident_id).where(or_(*(at > now for at in times)))
    return _with_members(tx, select(incident).where(or_(*(at > now for at in own), incident.c.id.in_(of_member))))


def newest_event_at(tx: Transaction) -> datetime | None:
    """Give the time of the line that was written last into any timeline."""
    return tx.rows(select(event.c.at).order_by(event.c.id.desc()).limit(1)).scalar()


def save(tx: Transaction, *changed: Incident) -> None:
    """Store incidents as they are now, members included."""
    if not changed:
        return
    fresh = tx.insert(incident)
    columns = {name: fresh.excluded[name] for name in _COLUMNS if name != "id"}
    rows = [_row(one, _COLUMNS) for one in changed]
    tx.write(fresh.on_conflict_do_update(index_elements=[incident.c.id], set_=columns), rows)
    keys = [one.id for one in changed]
    for at in range(0, len(keys), CHUNK):
        tx.write(delete(member).where(member.c.incident_id.in_(keys[at : at + CHUNK])))
    members = [
        _row(item, _MEMBER_COLUMNS) | {"incident_id": one.id, "position": position}
        for one in changed
        for position, item in enumerate(one.members)
    ]
    if members:
        tx.write(insert(member), members)


def note(tx: Transaction, incident_id: str, what: IncidentEvent) -> None:
    """Add one line to a timeline."""
    notes(tx, [(incident_id, what)])


def notes(tx: Transaction, lines: Iterable[tuple[str, IncidentEvent]]) -> None:
    """Add lines to timelines, in their order."""
    rows = [_row(what, _EVENT_COLUMNS) | {"incident_id": incident_id} for incident_id, what in lines]
    if rows:
        tx.write(insert(event), rows)


def timeline(tx: Transaction, incident_id: str) -> list[IncidentEvent]:
    """Give all lines, in the order in which they were written."""
    rows = tx.rows(select(event).where(event.c.incident_id == incident_id).order_by(event.c.id)).mappings()
    return [IncidentEvent(row["at"], row["kind"], row["detail"], row["actor"]) for row in rows]


def _with_members(tx: Transaction, query: Select[*tuple[Any, ...]]) -> list[Incident]:
    incidents = [as_record(Incident, row) for row in tx.rows(query).mappings()]
    members: dict[str, list[Member]] = {}
    keys = [found.id for found in incidents]
    for at in range(0, len(keys), CHUNK):
        chosen = select(member).where(member.c.incident_id.in_(keys[at : at + CHUNK]))
        for row in tx.rows(chosen.order_by(member.c.incident_id, member.c.position)).mappings():
            members.setdefault(row["incident_id"], []).append(as_record(Member, row))
    return [replace(found, members=tuple(members.get(found.id, ()))) for found in incidents]


def _row(record: Incident | Member | IncidentEvent, columns: Iterable[str]) -> dict[str, Any]:
    """Give the attributes that the table has columns for, as the driver takes them."""
    row: dict[str, Any] = {name: getattr(record, name) for name in columns if hasattr(record, name)}
    for name in {"subjects", "told_subjects"} & row.keys():
        row[name] = list(row[name])
    return row


_COLUMNS = tuple(column.name for column in incident.c)
_MEMBER_COLUMNS = tuple(column.name for column in member.c)
_EVENT_COLUMNS = tuple(column.name for column in event.c if column.name != "id")

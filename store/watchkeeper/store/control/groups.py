"""Groups of alerts that are told together: whom, of what, what they know by now, and when to look at them again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Select, and_, case, delete, exists, insert, or_, select, update

from watchkeeper.schemas.findings import Json, Severity
from watchkeeper.store.control.connection import Transaction, as_record
from watchkeeper.store.control.tables import alert_group, grouped_incident, member

ENDED = "ended"
"""Stands among what waits to be told: that the incident is over."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """One incident inside one group.

    ``members`` are the fingerprints of its alerts that came this way, ``waiting`` what is to be told of them (or
    ``ENDED``). ``told_at`` is the first time that it was told; ``held_by`` says what keeps it back.
    """

    incident_id: str
    members: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    told_at: datetime | None = None
    told_severity: Severity | None = None
    over: bool = False
    held_by: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """One group. ``next_at`` is when to look at it again (None: when something happens)."""

    id: str
    key: str
    route: str
    receiver: str
    labels: dict[str, str]
    next_at: datetime | None = None
    told_at: datetime | None = None
    escalate_at: datetime | None = None
    escalated_to: str | None = None
    messages: int = 0
    incidents: tuple[Grouped, ...] = ()


def get(tx: Transaction, group_id: str) -> Group | None:
    """Give one group, or None."""
    found = _read(tx, select(alert_group).where(alert_group.c.id == group_id))
    return found[0] if found else None


def due(tx: Transaction, now: datetime, limit: int | None = None) -> list[str]:
    """Name the groups to look at now: those with a page that fires first, then the longest overdue."""
    inside = grouped_incident.join(member, member.c.incident_id == grouped_incident.c.incident_id)
    paging = and_(member.c.severity == Severity.PAGE.value, member.c.active)
    page = exists().select_from(inside).where(grouped_incident.c.group_id == alert_group.c.id, paging)
    query = select(alert_group.c.id).where(alert_group.c.next_at <= now)
    order = (case((page, 0), else_=1), alert_group.c.next_at, alert_group.c.id)
    return [key for (key,) in tx.rows(query.order_by(*order).limit(limit))]


def of_incident(tx: Transaction, incident_id: str) -> list[Group]:
    """Give the groups that an incident is in."""
    return _read(tx, select(alert_group).where(_holds(grouped_incident.c.incident_id == incident_id)))


def listed(tx: Transaction) -> list[Group]:
    """List every group that has something to tell or told something that goes on."""
    return _read(tx, select(alert_group))


def several(tx: Transaction, keys: Iterable[str]) -> list[Group]:
    """Give those of these groups that exist."""
    return [one for part in _chunks(sorted(set(keys))) for one in _read(tx, _chosen(part))]


def save(tx: Transaction, *groups: Group) -> None:
    """Store groups as they are now; one without incidents is forgotten."""
    for part in _chunks([group.id for group in groups]):
        tx.write(delete(grouped_incident).where(grouped_incident.c.group_id.in_(part)))
    for part in _chunks([group.id for group in groups if not group.incidents]):
        tx.write(delete(alert_group).where(alert_group.c.id.in_(part)))
    kept = [group for group in groups if group.incidents]
    if kept:
        fresh = tx.insert(alert_group)
        columns = {name: fresh.excluded[name] for name in _GROUP if name != "id"}
        rows = [{name: getattr(group, name) for name in _GROUP} for group in kept]
        tx.write(fresh.on_conflict_do_update(index_elements=[alert_group.c.id], set_=columns), rows)
        inside = [
            {name: _plain(getattr(one, name)) for name in _GROUPED} | {"group_id": group.id}
            for group in kept
            for one in group.incidents
        ]
        tx.write(insert(grouped_incident), inside)


def held(tx: Transaction, incident_ids: Iterable[str]) -> dict[str, list[str]]:
    """Say for each of these incidents what keeps it from being told, as it was found when it was looked at last."""
    found: dict[str, list[str]] = {key: [] for key in incident_ids}
    for part in _chunks([*found]):
        which = select(grouped_incident.c.incident_id, grouped_incident.c.held_by).distinct()
        query = which.where(grouped_incident.c.incident_id.in_(part), grouped_incident.c.held_by.is_not(None))
        for incident_id, words in tx.rows(query.order_by(grouped_incident.c.held_by)):
            found[incident_id].append(words or "")
    return found


def look_again(tx: Transaction, now: datetime, incident_id: str | None = None) -> None:
    """Have groups looked at now: something changed about whether they may be told (all of them, or one incident's)."""
    late = or_(alert_group.c.next_at.is_(None), alert_group.c.next_at > now)
    query = update(alert_group).where(late)
    if incident_id is not None:
        query = query.where(_holds(grouped_incident.c.incident_id == incident_id))
    tx.write(query.values(next_at=now))


def _holds(which: Any) -> Any:
    return exists().where(grouped_incident.c.group_id == alert_group.c.id, which)


def _chosen(keys: Sequence[str]) -> Select[*tuple[Any, ...]]:
    return select(alert_group).where(alert_group.c.id.in_(keys))


def _read(tx: Transaction, query: Select[*tuple[Any, ...]]) -> list[Group]:
    groups = list(tx.rows(query.order_by(alert_group.c.id)).mappings())
    inside: dict[str, list[Grouped]] = {}
    for keys in _chunks([row["id"] for row in groups]):
        chosen = select(grouped_incident).where(grouped_incident.c.group_id.in_(keys))
        for row in tx.rows(chosen.order_by(grouped_incident.c.incident_id)).mappings():
            inside.setdefault(row["group_id"], []).append(as_record(Grouped, row))
    return [as_record(Group, cast("Any", {**row, "incidents": tuple(inside.get(row["id"], ()))})) for row in groups]


def _chunks(keys: Sequence[str], size: int = 500) -> Iterable[Sequence[str]]:
    return (keys[at : at + size] for at in range(0, len(keys), size))


def _plain(value: object) -> Json | datetime:
    return [*value] if isinstance(value, tuple) else cast("Json", value)


_GROUP = tuple(column.name for column in alert_group.c)
_GROUPED = tuple(column.name for column in grouped_incident.c if column.name != "group_id")

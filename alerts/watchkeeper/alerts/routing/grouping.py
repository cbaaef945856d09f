"""When is a group told what? Pure.

News of an incident waits in its groups: ``group_wait`` before the first message, ``group_interval`` after one. What is
louder than anything that a group was told waits no longer than ``group_wait``. When a group is looked at, everything
that waits and is not held back goes out in one message. What was told is told to be over, silenced or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from watchkeeper.alerts.incidents.urgency import LOUDNESS
from watchkeeper.alerts.messages.notification import Transition
from watchkeeper.alerts.routing.routing import Branch
from watchkeeper.alerts.routing.suppression import Hold
from watchkeeper.schemas.findings import Severity
from watchkeeper.store.control.groups import ENDED, Group, Grouped
from watchkeeper.store.control.records import Incident

LOOK_AGAIN = timedelta(minutes=1)
"""How often something is looked at that is held back by what has no known end."""

PAGE_REPEAT = timedelta(hours=4)
AT_ONCE = timedelta(0)


@dataclass(frozen=True, slots=True)
class View:
    """One incident as it stands, with what holds back each of its alerts (by fingerprint) now."""

    incident: Incident
    holds: Mapping[str, tuple[Hold, ...]]

    def active(self, row: Grouped) -> list[str]:
        """Give the alerts of the group that fire."""
        firing = {member.fingerprint for member in self.incident.alerting if member.active}
        return [fingerprint for fingerprint in row.members if fingerprint in firing]

    def held(self, row: Grouped) -> Hold | None:
        """Give the hold under which all alerts of the group stand, the one that ends last."""
        active = self.active(row)
        if not active or any(not self.holds.get(one) for one in active):
            return None
        every = [hold for one in active for hold in self.holds[one]]
        endless = [hold for hold in every if hold.until is None]
        return endless[0] if endless else max(every, key=lambda hold: hold.until or self.incident.opened_at)


@dataclass(frozen=True, slots=True)
class Telling:
    """One incident in one message: because of which of its alerts, or that it is over."""

    incident: Incident
    causes: tuple[str, ...]
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a group now: ``tell`` empty says nothing. ``held`` are incidents newly kept back, and why."""

    group: Group
    tell: tuple[Telling, ...] = ()
    transition: Transition = "fired"
    reason: str = ""
    receivers: tuple[str, ...] = ()
    held: tuple[tuple[str, str], ...] = ()


def add_news(group: Group, incident: Incident, causes: Iterable[str], due: datetime) -> Group:
    """Let news of an incident wait in a group until ``due`` (or until something else is due before)."""
    fresh = tuple(causes)
    old = next((row for row in group.incidents if row.incident_id == incident.id), Grouped(incident.id))
    row = replace(
        old,
        members=tuple(dict.fromkeys((*old.members, *fresh))),
        waiting=tuple(dict.fromkeys((*(one for one in old.waiting if one != ENDED), *fresh))),
        over=False,
    )
    return _with(group, row, due)


def add_end(group: Group, incident: Incident, due: datetime) -> Group:
    """Let the end of an incident wait in a group."""
    row = next(row for row in group.incidents if row.incident_id == incident.id)
    return _with(group, replace(row, waiting=(ENDED,), over=True), due)


def due_at(group: Group, branch: Branch, now: datetime, severity: Severity) -> datetime:
    """Give when news of this severity is to be told at the earliest."""
    going_on = [row for row in group.incidents if row.told_at is not None and not row.over]
    known = max((LOUDNESS[row.told_severity] for row in going_on if row.told_severity), default=-1)
    if group.told_at is None or not going_on or LOUDNESS[severity] > known:
        return now + branch.group_wait
    return max(now, group.told_at + branch.group_interval)


def decide(group: Group, branch: Branch, views: Mapping[str, View], muted: str | None, now: datetime) -> Decision:
    """Look at a group: what goes out now, what is held back, and when to look again."""
    rows: list[Grouped] = []
    tell: list[Telling] = []
    held: list[tuple[str, str]] = []
    for row in group.incidents:
        after, telling = _row(row, views[row.incident_id], muted, now)
        rows.append(after)
        tell += [telling] if telling else []
        if after.held_by and after.held_by != row.held_by:
            held.append((row.incident_id, after.held_by))
    after = replace(group, incidents=tuple(rows))
    transition, reason = _kind(group, after, tell)
    receivers = (group.receiver,)
    if not tell and not muted and _repeats(after, branch, views, now):
        tell, transition, reason = _going_on(after, views), "updated", "repeat"
    if not tell and not muted and (going_on := _escalates(after, views, now)):
        tell, transition, reason, receivers = going_on, "fired", "escalated", (branch.escalate_to,)
    after = _timers(after, branch, views, tell=bool(tell), reason=reason, now=now)
    return Decision(after, tuple(tell), transition, reason, receivers, tuple(held))


def _row(row: Grouped, view: View, muted: str | None, now: datetime) -> tuple[Grouped, Telling | None]:
    incident = view.incident
    if row.over or not incident.open:
        return _ended(row, view, muted, now)
    hold, active = view.held(row), view.active(row)
    free = [one for one in active if not view.holds.get(one)]
    news = [one for one in row.waiting if one in free]
    if row.told_at is not None and row.held_by and not row.waiting and hold is None and not muted:
        news = free  # what held it is over, and it still fires
    if not news or muted:
        words = hold.words if hold else f"time interval {muted}" if muted and row.waiting else None
        return replace(row, held_by=words), None
    loudest = max((m.severity for m in incident.members if m.fingerprint in news), key=LOUDNESS.__getitem__)
    known = row.told_severity
    told = replace(
        row,
        waiting=tuple(one for one in row.waiting if one not in news),
        told_at=row.told_at or now,
        told_severity=known if known and LOUDNESS[known] >= LOUDNESS[loudest] else loudest,
        held_by=None,
    )
    return told, Telling(incident, tuple(news))


def _ended(row: Grouped, view: View, muted: str | None, now: datetime) -> tuple[Grouped, Telling | None]:
    """Tell the end to whoever was told the beginning; what came and went within the wait is told once, as over."""
    if not row.waiting:
        return row, None
    if row.told_at is None and (row.held_by or _was_held(row, view)):
        return replace(row, waiting=(), over=True, held_by=row.held_by or _was_held(row, view)), None
    if muted:
        return replace(row, over=True, held_by=f"time interval {muted}"), None
    told = replace(row, waiting=(), over=True, told_at=row.told_at or now, held_by=None)
    return told, Telling(view.incident, row.members, ended=True)


def _was_held(row: Grouped, view: View) -> str | None:
    holds = [view.holds.get(one, ()) for one in row.members]
    return holds[0][0].words if holds and all(holds) else None


def _kind(before: Group, after: Group, tell: list[Telling]) -> tuple[Transition, str]:
    if tell and all(telling.ended for telling in tell) and all(row.over for row in after.incidents):
        return "resolved", "resolved"
    known = any(row.told_at is not None for row in before.incidents)
    return ("updated", "updated") if known else ("fired", "fired")


def _going_on(group: Group, views: Mapping[str, View]) -> list[Telling]:
    """Give what was told, still fires, is not held back, and nobody acknowledged."""
    return [
        Telling(view.incident, tuple(view.active(row)))
        for row in group.incidents
        if row.told_at is not None and not row.over and not row.held_by
        if (view := views[row.incident_id]).incident.open and view.incident.acknowledged_at is None
        if view.active(row)
    ]


def _interval(group: Group, branch: Branch) -> timedelta | None:
    paged = any(row.told_severity is Severity.PAGE and not row.over for row in group.incidents)
    return branch.repeat or (PAGE_REPEAT if paged else None)


def _repeats(group: Group, branch: Branch, views: Mapping[str, View], now: datetime) -> bool:
    every = _interval(group, branch)
    late = every is not None and group.told_at is not None and now >= group.told_at + every
    return late and bool(_going_on(group, views))


def _escalates(group: Group, views: Mapping[str, View], now: datetime) -> list[Telling]:
    if group.escalate_at is None or now < group.escalate_at:
        return []
    return _going_on(group, views)


def _timers(
    group: Group, branch: Branch, views: Mapping[str, View], *, tell: bool, reason: str, now: datetime
) -> Group:
    """Set when to look again; a group of which all is over and told is done."""
    if all(row.over and not row.waiting for row in group.incidents):
        group = replace(group, incidents=())
    escalate_at, escalated_to = group.escalate_at, group.escalated_to
    if reason == "escalated" and tell:
        escalate_at, escalated_to = None, branch.escalate_to
    elif escalate_at is not None and now >= escalate_at and not _going_on(group, views):
        escalate_at = None  # taken on, held back or over
    elif tell and branch.escalate_after and escalate_at is None and escalated_to is None and _going_on(group, views):
        escalate_at = now + branch.escalate_after
    told_at = now if tell and reason != "escalated" else group.told_at
    after = replace(
        group,
        told_at=told_at,
        messages=group.messages + tell,
        escalate_at=escalate_at,
        escalated_to=escalated_to,
    )
    return replace(after, next_at=_next(after, branch, views, now))


def _next(group: Group, branch: Branch, views: Mapping[str, View], now: datetime) -> datetime | None:
    times = [group.escalate_at] if group.escalate_at else []
    every = _interval(group, branch)
    if every is not None and group.told_at is not None and _going_on(group, views):
        times.append(group.told_at + every)
    for row in group.incidents:
        if row.waiting or (row.held_by and not row.over):
            until = [hold.until for one in row.members for hold in views[row.incident_id].holds.get(one, ())]
            known = [at for at in until if at is not None and at > now]
            times.append(min([now + LOOK_AGAIN, *known]))
    return min((max(at, now + timedelta(seconds=1)) for at in times), default=None)


def _with(group: Group, row: Grouped, due: datetime) -> Group:
    others = tuple(one for one in group.incidents if one.incident_id != row.incident_id)
    known = [one.incident_id for one in group.incidents]
    place = known.index(row.incident_id) if row.incident_id in known else len(known)
    rows = (*others[:place], row, *others[place:])
    return replace(group, incidents=rows, next_at=min(due, group.next_at) if group.next_at else due)

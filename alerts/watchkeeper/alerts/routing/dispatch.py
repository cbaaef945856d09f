"""Turns news of incidents into messages: which groups they belong to, what is told now, what is held back.

Everything happens in the caller's control transaction: the change of an incident and the groups that must be told of
it are written together, and so are a message and the group that knows that it was told. Timers are rows: a process that
ends in between loses none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from watchkeeper.alerts.delivery.addresses import addresses, addresses_of, receivers
from watchkeeper.alerts.messages.links import Links
from watchkeeper.alerts.messages.notices import LastChange, Writer, message
from watchkeeper.alerts.routing import grouping
from watchkeeper.alerts.routing.grouping import Decision, View
from watchkeeper.alerts.routing.labels import labels_of
from watchkeeper.alerts.routing.routing import Branch, Router, group_id, group_key
from watchkeeper.alerts.routing.suppression import TELEMETRY, Firing, Suppression
from watchkeeper.schemas.declared import Declarations
from watchkeeper.store.control import findings as stored_findings
from watchkeeper.store.control import groups as stored_groups
from watchkeeper.store.control import incidents as stored_incidents
from watchkeeper.store.control import maintenance, outbox, silences
from watchkeeper.store.control.connection import Control, Transaction
from watchkeeper.store.control.groups import Group
from watchkeeper.store.control.records import Incident, IncidentEvent, Phase

PER_RUN = 25
"""Groups in one transaction: on SQLite nobody else writes meanwhile."""

PER_LOOK = 100
"""Groups told before what came in meanwhile is looked at: a page of another group does not wait behind a storm."""

SAID = {"repeat": "repeated", "escalated": "passed_on"}
"""How a timeline calls messages that no news of the incident caused; there, escalated means that it became worse."""


def no_change_known(_service: str, _model: str, _before: datetime) -> str | None:
    """Know of no change."""
    return None


@dataclass(slots=True)
class Dispatch:
    """The groups inside one transaction. ``waits`` False: nothing waits to be grouped, as in a replay.

    ``queued_at`` is the wall's time, where that is not the time of what happens. ``suppression`` is what keeps alerts
    back now, where that is known already. Groups are written with ``store``, all that changed at once.
    """

    tx: Transaction
    declared: Declarations
    links: Links
    last_change: LastChange = no_change_known
    waits: bool = True
    queued_at: datetime | None = None
    suppression: Suppression | None = None
    router: Router = field(init=False)
    _known: dict[str, Group | None] = field(default_factory=dict[str, "Group | None"])
    _changed: dict[str, None] = field(default_factory=dict[str, None])

    def __post_init__(self) -> None:
        """Read the routes once."""
        self.router = Router.of(self.declared)

    def news(self, incident: Incident, causes: Iterable[str], at: datetime) -> tuple[list[str], list[str]]:
        """Let news wait in every group that its alerts belong to; give the receivers and the groups."""
        met = self._met(incident, causes)
        severity = {member.fingerprint: member.severity for member in incident.members}
        for key, (branch, shared, mine) in met.items():
            fresh = Group(key, group_key(branch, shared), branch.path, branch.receiver, dict(shared))
            group = self._group(key) or fresh
            loudest = max((severity[one] for one in mine), key=grouping.LOUDNESS.__getitem__)
            due = grouping.due_at(group, branch, at, loudest) if self.waits else at
            self._put(grouping.add_news(group, incident, mine, due))
        names = dict.fromkeys(branch.receiver for branch, _, _ in met.values())
        return addresses_of(names, self.declared), [*met]

    def end(self, incident: Incident, at: datetime) -> tuple[list[str], list[str]]:
        """Let the end of an incident wait in every group that it is in; give the receivers and the groups."""
        self.store()
        found = stored_groups.of_incident(self.tx, incident.id)
        for group in found:
            branch = self._branch(group)
            due = max(at, group.told_at + branch.group_interval) if self.waits and group.told_at else at
            self._put(grouping.add_end(group, incident, due))
        known = receivers(self.declared)
        names = [name for name in dict.fromkeys(group.receiver for group in found) if name in known]
        return addresses_of(names, self.declared), [group.id for group in found]

    def prepare(self, news: Iterable[tuple[Incident, Iterable[str]]]) -> None:
        """Read at once every group that this news belongs to."""
        wanted = {key for incident, causes in news for key in self._met(incident, causes)}
        self._known |= dict.fromkeys(wanted) | {one.id: one for one in stored_groups.several(self.tx, wanted)}

    def read(self, keys: Iterable[str]) -> None:
        """Read these groups at once."""
        self._known |= {one.id: one for one in stored_groups.several(self.tx, keys)}

    def store(self) -> None:
        """Write every group that changed."""
        stored_groups.save(self.tx, *(group for key in self._changed if (group := self._known[key]) is not None))
        self._changed.clear()

    def _met(self, incident: Incident, causes: Iterable[str]) -> dict[str, tuple[Branch, Mapping[str, str], list[str]]]:
        """Find the groups that these alerts of an incident belong to."""
        met: dict[str, tuple[Branch, Mapping[str, str], list[str]]] = {}
        about = set(causes)
        for member in incident.alerting:
            if member.fingerprint in about:
                labels = labels_of(member, incident, self.declared)
                for branch in self.router.branches(labels):
                    shared = branch.group(labels)
                    _, _, mine = met.setdefault(group_id(branch, shared), (branch, shared, []))
                    mine.append(member.fingerprint)
        return met

    def _group(self, key: str) -> Group | None:
        if key not in self._known:
            self._known[key] = stored_groups.get(self.tx, key)
        found = self._known[key]
        return found if found and found.incidents else None

    def _put(self, group: Group) -> None:
        self._known[group.id] = group
        self._changed[group.id] = None

    def flush(self, keys: Iterable[str], now: datetime, current: Mapping[str, Incident] | None = None) -> int:
        """Look at these groups, write what they are to be told; give the number of messages.

        ``current`` holds incidents as they stood at ``now``, where that is not how they are stored.
        """
        groups = [group for key in keys if (group := self._group(key)) is not None]
        if not groups:
            return 0
        known = self._incidents(groups) | dict(current or {})
        suppression = self.suppression or suppression_now(self.tx, self.declared, now)
        views = {one.id: self._view(one, suppression, now) for one in known.values()}
        written = sum(self._flush(group, views, now) for group in groups)
        self.store()
        return written

    def _incidents(self, groups: Iterable[Group]) -> dict[str, Incident]:
        wanted = {row.incident_id for group in groups for row in group.incidents}
        return {one.id: one for one in stored_incidents.several(self.tx, wanted)}

    def _view(self, incident: Incident, suppression: Suppression, now: datetime) -> View:
        holds = {
            member.fingerprint: tuple(
                suppression.holds(labels_of(member, incident, self.declared), member, incident, now)
            )
            for member in incident.alerting
        }
        return View(incident, holds)

    def _flush(self, group: Group, views: Mapping[str, View], now: datetime) -> int:
        intervals = {one.name: one for one in self.declared.time_intervals}
        branch = self._branch(group)
        muted = branch.muted_by(intervals, now)
        decision = grouping.decide(group, branch, views, muted, now)
        for incident_id, words in decision.held:
            detail = {"receiver": group.receiver, "route": group.route, "reason": words}
            stored_incidents.note(self.tx, incident_id, IncidentEvent(now, "held", {**detail}))
        written = self._write(decision, group, views, now) if decision.tell else 0
        self._put(decision.group)
        return written

    def _write(self, decision: Decision, group: Group, views: Mapping[str, View], now: datetime) -> int:
        rows = {row.incident_id: row for row in group.incidents}
        about = sorted(
            (views[key].incident for key in rows),
            key=lambda one: (rows[one.id].told_at or now, one.opened_at, one.id),
        )
        telling = {one.incident.id for one in decision.tell}
        about = [one for one in about if one.id in telling or rows[one.id].told_at is not None] or about
        found = stored_findings.get(self.tx, [key for one in about for key in one.finding_keys], snapshots=False)
        writer = Writer(self.declared, self.links, self.last_change, now)
        known, written = addresses(self.declared), 0
        names = addresses_of(decision.receivers, self.declared)
        if decision.transition == "resolved":  # whoever was told that it began, a fallback say, hears the end
            names = [*dict.fromkeys([*names, *outbox.told_of(self.tx, group.id, rows)])]
        names = [name for name in names if name in known]
        for name in names:
            notice = writer.write(decision, group.incidents, about, found, name)
            number = outbox.count_of(self.tx, about[0].id, name) + 1
            row = message(notice, group.id, number, about[0], self.queued_at or now)
            written += outbox.put(self.tx, row, [one.id for one in about])
        if decision.reason in SAID:
            for one in decision.tell:
                said = IncidentEvent(now, SAID[decision.reason], {"receivers": [*names], "route": group.route})
                stored_incidents.note(self.tx, one.incident.id, said)
        return written

    def _branch(self, group: Group) -> Branch:
        """Give the branch of a group; one that is no longer declared goes on with what holds for all."""
        return self.router.branch(group.route) or Branch(group.route, group.receiver)


def suppression_now(tx: Transaction, declared: Declarations, now: datetime) -> Suppression:
    """Read everything that keeps alerts back at this moment; what fires is read only as far as it can inhibit."""
    every = stored_incidents.listed(tx, states=(Phase.FIRING,), limit=None) if declared.inhibitions else None
    firing = [
        Firing(member, incident, labels_of(member, incident, declared))
        for incident in (stored_incidents.with_member(tx, TELEMETRY) if every is None else every)
        for member in incident.alerting
        if member.active
    ]
    return Suppression.of(declared, firing, silences.active(tx, now), maintenance.active(tx, now))


def flush_due(
    control: Control,
    declarations: Declarations,
    now: datetime,
    links: Links,
    last_change: LastChange = no_change_known,
) -> int:
    """Tell groups whose time has come, those with a page first; give the number of messages.

    No more than ``PER_LOOK`` groups: call it again until nothing is due.
    """
    with control.snapshot() as tx:
        some = stored_groups.due(tx, now, 1)
        suppression = suppression_now(tx, declarations, now) if some else None
    written = looked = 0
    while some and looked < PER_LOOK:
        with control.transaction() as tx:
            tx.serialize("intake")
            keys = stored_groups.due(tx, now, PER_RUN)
            dispatch = Dispatch(tx, declarations, links, last_change, suppression=suppression)
            dispatch.read(keys)
            written += dispatch.flush(keys, now)
        looked += len(keys)
        some = keys if len(keys) == PER_RUN else []
    return written

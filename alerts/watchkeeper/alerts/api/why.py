"""Why was I told, or not? For every alert of an incident: rule, routes, what keeps it back, what it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from watchkeeper.alerts.incidents.intake import timing_of
from watchkeeper.alerts.messages.wording import duration
from watchkeeper.alerts.routing.dispatch import suppression_now
from watchkeeper.alerts.routing.labels import labels_of
from watchkeeper.alerts.routing.routing import Branch, Router, group_id, group_key
from watchkeeper.alerts.routing.suppression import Hold, Suppression
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import DataState
from watchkeeper.store.control import groups as stored_groups
from watchkeeper.store.control import incidents as stored_incidents
from watchkeeper.store.control import outbox
from watchkeeper.store.control.connection import Transaction
from watchkeeper.store.control.groups import Group
from watchkeeper.store.control.records import Incident, Member, Message, Phase, Sending


@dataclass(frozen=True, slots=True)
class RouteWhy:
    """One route that an alert takes: ``state`` is told, waiting, held, muted or over; ``words`` say it."""

    path: str
    receiver: str
    group: str
    state: str
    words: str
    told_at: datetime | None
    next_at: datetime | None
    escalates_at: datetime | None


@dataclass(frozen=True, slots=True)
class AlertWhy:
    """One alert: the rule that found it, and what became of it. ``waiting_for`` names a clock of its own (``for``)."""

    fingerprint: str
    labels: dict[str, str]
    rule: str
    firing: bool
    data_state: DataState
    waiting_for: str | None
    suppressed_by: tuple[Hold, ...]
    routes: tuple[RouteWhy, ...]


@dataclass(frozen=True, slots=True)
class MessageWhy:
    """One message and how its delivery stands."""

    receiver: str
    reason: str
    state: Sending
    at: datetime
    attempts: int
    next_attempt_at: datetime | None
    answer: str


@dataclass(frozen=True, slots=True)
class Why:
    """Everything, and in ``words`` what a person asks for first."""

    incident_id: str
    state: Phase
    words: tuple[str, ...]
    alerts: tuple[AlertWhy, ...]
    messages: tuple[MessageWhy, ...]


def explain(tx: Transaction, declared: Declarations, incident_id: str, now: datetime) -> Why:
    """Explain one incident as it stands now; NotFound where there is none.

    Routes, silences and inhibitions are those of now: what was declared otherwise when a message went out is on the
    timeline, and in the message.
    """
    incident = stored_incidents.get(tx, incident_id)
    explaining = _Explaining(declared, Router.of(declared), suppression_now(tx, declared, now), incident, now)
    found = {group.id: group for group in stored_groups.of_incident(tx, incident_id)}
    alerts = tuple(explaining.alert(member, found) for member in incident.members)
    messages = tuple(_message(message) for message in outbox.of_incident(tx, incident_id))
    return Why(incident_id, incident.state, tuple(_words(incident, alerts, messages)), alerts, messages)


@dataclass(frozen=True, slots=True)
class _Explaining:
    declared: Declarations
    router: Router
    suppression: Suppression
    incident: Incident
    now: datetime

    def alert(self, member: Member, found: dict[str, Group]) -> AlertWhy:
        labels = labels_of(member, self.incident, self.declared)
        holds = self.suppression.holds(labels, member, self.incident, self.now) if member.severity.alerts else []
        waits = self._hold(member)
        branches = self.router.branches(labels) if member.severity.alerts else []
        return AlertWhy(
            fingerprint=member.fingerprint,
            labels=labels,
            rule=self._rule(member),
            firing=member.active,
            data_state=member.data_state,
            waiting_for=waits,
            suppressed_by=tuple(holds),
            routes=tuple(self._route(branch, member, labels, found, holds, waits) for branch in branches),
        )

    def _rule(self, member: Member) -> str:
        named = [one.name for one in self.declared.monitors if one.analyzer == member.analyzer]
        own = f", monitor {', '.join(named)}" if named else ""
        quiet = "" if member.severity.alerts else "; a notice is told to nobody"
        return f"{member.analyzer}/{member.metric} on {member.subject}: {member.severity.value}{own}{quiet}"

    def _hold(self, member: Member) -> str | None:
        hold = timing_of(self.declared).holds(self.incident, member)
        ripe = member.first_at + hold
        if self.incident.open and member.active and member.severity.alerts and ripe > self.now:
            return f"for: it must hold for {duration(hold)}, until {ripe:%H:%M:%S} UTC"
        return None

    def _route(
        self,
        branch: Branch,
        member: Member,
        labels: dict[str, str],
        found: dict[str, Group],
        holds: Sequence[Hold],
        waits: str | None,
    ) -> RouteWhy:
        shared = branch.group(labels)
        group = found.get(group_id(branch, shared))
        state, words = self._state(branch, member, group, holds, waits)
        return RouteWhy(
            path=branch.path,
            receiver=branch.receiver,
            group=group_key(branch, shared),
            state=state,
            words=words,
            told_at=group.told_at if group else None,
            next_at=group.next_at if group else None,
            escalates_at=group.escalate_at if group else None,
        )

    def _state(
        self, branch: Branch, member: Member, group: Group | None, holds: Sequence[Hold], waits: str | None
    ) -> tuple[str, str]:
        if waits:
            return "waiting", waits
        if group is None and self.incident.open:
            return "waiting", "nothing of it is news here: it has not fired"
        row = next((row for row in group.incidents if row.incident_id == self.incident.id), None) if group else None
        if group is None or row is None:
            return "over", "it is over; the messages below are all that was told"
        if holds and not row.over:
            return "held", "; ".join(_until(hold) for hold in holds)
        if member.fingerprint in row.waiting or stored_groups.ENDED in row.waiting:
            return self._news(branch, group)
        first = f"told first at {_clock(row.told_at)}{self._then(group)}"
        return ("told", first) if row.told_at else ("waiting", "it was no news beside the rest of its incident")

    def _news(self, branch: Branch, group: Group) -> tuple[str, str]:
        muted = branch.muted_by({one.name: one for one in self.declared.time_intervals}, self.now)
        if muted:
            return "muted", f"time interval {muted}: it is told when that is over"
        wait = "group_interval" if group.told_at else "group_wait"
        return "waiting", f"{wait}: the group is told at {_clock(group.next_at)}"

    def _then(self, group: Group) -> str:
        if self.incident.acknowledged_at is not None:
            return f"; acknowledged by {self.incident.acknowledged_by}: not repeated, not escalated"
        words = f"; escalates at {_clock(group.escalate_at)}" if group.escalate_at else ""
        words += f"; escalated to {group.escalated_to}" if group.escalated_to else ""
        return words + (f"; looked at again at {_clock(group.next_at)}" if group.next_at else "")


def _words(incident: Incident, alerts: Sequence[AlertWhy], messages: Sequence[MessageWhy]) -> list[str]:
    lines = [f"The incident is {incident.state.value}, its data are {incident.data_state.value}."]
    for alert in alerts:
        lines.append(f"{alert.rule}{'' if alert.firing else ' (not now)'}")
        if not alert.routes and "told to nobody" not in alert.rule:
            lines.append("  no route matches its labels: nobody is told")
        lines += [f"  {route.path} to {route.receiver}: {_said(route)}" for route in alert.routes]
    for message in messages:
        tries = f", attempt {message.attempts}" if message.attempts else ""
        again = f", next at {_clock(message.next_attempt_at)}" if message.next_attempt_at else ""
        answer = f" ({message.answer})" if message.answer else ""
        lines.append(
            f"message to {message.receiver} ({message.reason}) of {_clock(message.at)}: "
            f"{message.state.value}{tries}{again}{answer}"
        )
    return lines if messages else [*lines, "No message was written."]


def _said(route: RouteWhy) -> str:
    return route.words if route.words.startswith(route.state) else f"{route.state}, {route.words}"


def _message(message: Message) -> MessageWhy:
    return MessageWhy(
        receiver=message.receiver,
        reason=str(message.payload.get("reason") or message.transition),
        state=message.state,
        at=message.created_at,
        attempts=message.attempts,
        next_attempt_at=message.next_attempt_at if message.state is Sending.WAITING else None,
        answer=message.deliveries[-1].detail if message.deliveries else "",
    )


def _until(hold: Hold) -> str:
    return f"{hold.words}, until {_clock(hold.until)}" if hold.until else hold.words


def _clock(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "once something changes"

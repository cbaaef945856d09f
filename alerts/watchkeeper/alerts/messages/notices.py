"""What a message of a group holds: all about one incident, or a line for each of several. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import quote

import msgspec

from watchkeeper.alerts.incidents.urgency import LOUDNESS, ranked, worst_first
from watchkeeper.alerts.messages.links import Links
from watchkeeper.alerts.messages.message import SHOWN_EXAMPLES, TITLE_LENGTH, Content, compose
from watchkeeper.alerts.messages.notification import Alert, Notification, Transition
from watchkeeper.alerts.messages.wording import moment, one_line, proven
from watchkeeper.alerts.routing.grouping import Decision, Telling
from watchkeeper.alerts.routing.labels import labels_of
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Finding
from watchkeeper.store.control.groups import Grouped
from watchkeeper.store.control.records import Incident, Member, Message

LastChange = Callable[[str, str, datetime], str | None]
"""One sentence about the last change on purpose of (service, model) before a time, if one is known."""

SHOWN_INCIDENTS = 10
AGAIN = {"repeat": "Told again", "escalated": "Passed on to you"}
MOST_ALERTS = 500
"""Alerts in one message; how many are left out is said."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the messages of one moment."""

    declared: Declarations
    links: Links
    last_change: LastChange
    at: datetime

    def write(
        self,
        decision: Decision,
        rows: Sequence[Grouped],
        incidents: Sequence[Incident],
        found: Mapping[str, Finding],
        receiver: str,
    ) -> Notification:
        """Write a message for one receiver; its key is left to be filled in.

        ``rows`` are what the group held, ``incidents`` those of them that the receiver knows or hears of now.
        """
        tell = _worst_first(decision.tell, found)
        contents = [self._content(decision.transition, telling, found) for telling in tell]
        lead = max(range(len(tell)), key=lambda place: (LOUDNESS[contents[place].severity], -place))
        content, about = contents[lead], incidents[0]
        title, text = (content.title, content.text) if len(tell) == 1 else _digest(decision, tell, contents)
        title, text = _again(decision, title, text)
        alerts = self._alerts(rows, incidents, found)
        return Notification(
            key="",
            receiver=receiver,
            transition=decision.transition,
            incident_id=about.id,
            service=about.service,
            model=about.model,
            severity=content.severity,
            title=title,
            text=text,
            subjects=tuple(dict.fromkeys(name for one in contents for name in one.subjects)),
            new=tuple(cause for telling in tell for cause in telling.causes),
            alerts=tuple(alerts[:MOST_ALERTS]),
            at=self.at,
            evidence_url=content.evidence_url,
            external_url=self.links.external_url,
            owner=content.owner,
            contact=content.contact,
            runbook=content.runbook,
            fallback=content.fallback,
            reason=decision.reason,
            group_key=decision.group.key,
            group_labels=decision.group.labels,
            truncated=max(0, len(alerts) - MOST_ALERTS),
            since=content.since,
            impact=content.impact,
            budgets=content.budgets,
            examples=content.examples[:SHOWN_EXAMPLES],
            last_change=content.last_change,
        )

    def _content(self, transition: Transition, telling: Telling, found: Mapping[str, Finding]) -> Content:
        incident = telling.incident
        return compose(
            "resolved" if telling.ended else "updated" if transition == "resolved" else transition,
            incident,
            found,
            self.declared,
            self.links.incident,
            new=telling.causes,
            last_change=self.last_change(incident.service, incident.model, incident.opened_at),
        )

    def _alerts(
        self, rows: Sequence[Grouped], incidents: Sequence[Incident], found: Mapping[str, Finding]
    ) -> list[Alert]:
        known = {row.incident_id: set(row.members) for row in rows}
        return [
            _alert(member, found[member.last_key], incident, self.declared)
            for incident in incidents
            for member in ranked(incident.members, found)
            if member.fingerprint in known[incident.id]
        ]


def message(
    notification: Notification, fingerprint: str, number: int, incident: Incident, queued_at: datetime
) -> Message:
    """Give the row of the outbox, with the key by which a receiver knows the message again.

    The parts may hold any character, the key is a header: percent-encoded. The time is among them because a restored
    backup counts on from where it was: what it tells of now must not bear the key of what was told since.
    """
    receiver = quote(notification.receiver, safe="")
    at = int(notification.at.timestamp())
    parts = (incident.fingerprint, incident.episode, notification.transition, receiver, number, at)
    keyed = replace(notification, key=":".join(map(str, parts)))
    return Message(
        key=keyed.key,
        receiver=keyed.receiver,
        fingerprint=fingerprint,
        incident_id=incident.id,
        transition=keyed.transition,
        payload=msgspec.to_builtins(keyed),
        created_at=keyed.at,
        queued_at=queued_at,
    )


def _worst_first(tell: Sequence[Telling], found: Mapping[str, Finding]) -> list[Telling]:
    by_id = {telling.incident.id: telling for telling in tell}
    return [by_id[incident.id] for incident in worst_first((one.incident for one in tell), found)]


def _digest(decision: Decision, tell: Sequence[Telling], contents: Sequence[Content]) -> tuple[str, str]:
    """Write a line for each incident, the loudest first, and of those as they stand in every list."""
    order = sorted(range(len(tell)), key=lambda place: (tell[place].ended, -LOUDNESS[contents[place].severity], place))
    loudest = contents[order[0]].severity
    word = "RESOLVED" if decision.transition == "resolved" else loudest.upper()
    update = " (update)" if decision.transition == "updated" else ""
    shared = ", ".join(f"{name} {value}" for name, value in sorted(decision.group.labels.items()))
    title = one_line(f"{word}{update} {len(tell)} incidents{f' of {shared}' if shared else ''}", TITLE_LENGTH)
    lines = [title]
    shown = [contents[place] for place in order[:SHOWN_INCIDENTS]]
    lines += [f"- {one.title.rstrip('.')}. {one.about}Evidence: {one.evidence_url}" for one in shown]
    if len(order) > SHOWN_INCIDENTS:
        lines.append(f"- and {len(order) - SHOWN_INCIDENTS} more")
    lead = contents[order[0]]
    lines += [f"The first of them:\n{lead.text}"]
    return title, "\n".join(lines)


def _again(decision: Decision, title: str, text: str) -> tuple[str, str]:
    """Say why a message comes that no news caused: nobody acknowledged the one before."""
    if decision.reason not in AGAIN:
        return title, text
    _, _, body = text.partition("\n")
    title = title.replace(" (update)", " (again)", 1)
    told_at = min((row.told_at for row in decision.group.incidents if row.told_at), default=None)
    since = f" since it was told first, {moment(told_at)}" if told_at else ""
    return title, f"{title}\n{AGAIN[decision.reason]}: nobody acknowledged it{since}.\n{body}"


def _alert(member: Member, finding: Finding, incident: Incident, declared: Declarations) -> Alert:
    ended = None if member.active else incident.resolved_at or member.last_at
    return Alert(
        fingerprint=member.fingerprint,
        analyzer=member.analyzer,
        metric=member.metric,
        subject=member.subject,
        severity=member.severity,
        summary=finding.summary,
        description=proven(finding, now=member.active),
        starts_at=member.first_at,
        ends_at=ended,
        labels=labels_of(member, incident, declared),
        observed=finding.observed,
        interval=finding.interval if finding.interval and all(map(math.isfinite, finding.interval)) else None,
        reference=finding.reference,
        unit=finding.unit,
        n=finding.evidence.n,
        budget=finding.budget,
    )

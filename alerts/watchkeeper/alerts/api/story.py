"""Reads what is stored about incidents into what the routes show: a line of a list, or the whole story."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from watchkeeper.alerts.api import models as shapes
from watchkeeper.alerts.incidents.urgency import holding, loudest, ranked, worst_first
from watchkeeper.alerts.messages.links import Links
from watchkeeper.alerts.messages.message import Content, compose
from watchkeeper.alerts.messages.notification import Transition
from watchkeeper.schemas.findings import Finding
from watchkeeper.store.control import declared, feedback, findings, groups, incidents, outbox
from watchkeeper.store.control.connection import Transaction
from watchkeeper.store.control.records import Incident, IncidentEvent, Member, Message, Sending, Verdict


def lines(tx: Transaction, found: Sequence[Incident], links: Links, limit: int) -> list[shapes.IncidentOut]:
    """Show incidents as lines, at most so many, the most urgent first."""
    in_force = declared.current(tx)
    keys = [key for incident in found for key in incident.finding_keys]
    latest = findings.get(tx, keys, snapshots=False)
    held = groups.held(tx, [incident.id for incident in found])
    found = worst_first(found, latest, {key for key, words in held.items() if words})[:limit]
    said = feedback.of_incidents(tx, [incident.id for incident in found])
    return [
        shapes.IncidentOut(
            **_line(
                incident,
                latest,
                compose(_now(incident), incident, latest, in_force, links.incident),
                said[incident.id],
                held[incident.id],
            )
        )
        for incident in found
    ]


def whole(tx: Transaction, incident: Incident, links: Links) -> shapes.IncidentStory:
    """Show everything about one incident, with the evidence snapshots."""
    found = findings.get(tx, incident.finding_keys)
    content = compose(_now(incident), incident, found, declared.current(tx), links.incident)
    alerting = ranked(incident.members, found)
    context = [member for member in incident.members if not member.severity.alerts]
    return shapes.IncidentStory(
        **_line(
            incident,
            found,
            content,
            feedback.of_incidents(tx, [incident.id])[incident.id],
            groups.held(tx, [incident.id])[incident.id],
        ),
        text=content.text,
        contact=content.contact,
        runbook=content.runbook,
        fallback=content.fallback,
        examples=list(content.examples),
        findings=[_member(member, found) for member in (*alerting, *context)],
        timeline=[_event(event) for event in incidents.timeline(tx, incident.id)],
        deliveries=[_delivery(message) for message in outbox.of_incident(tx, incident.id)],
    )


def _now(incident: Incident) -> Transition:
    return "fired" if incident.open else "resolved"


def _line(
    incident: Incident,
    found: Mapping[str, Finding],
    content: Content,
    said: Sequence[Verdict],
    held: Sequence[str],
) -> dict[str, Any]:
    return {
        "id": incident.id,
        "service": incident.service,
        "model": incident.model,
        "episode": incident.episode,
        "state": incident.state,
        "data_state": incident.data_state,
        "severity": loudest(holding(incident.members)),
        "title": content.what,
        "subjects": content.subjects,
        "analyzers": sorted({member.analyzer for member in incident.alerting}),
        "cost": content.cost,
        "impact": shapes.ImpactOut.model_validate(content.impact, from_attributes=True) if content.impact else None,
        "owner": content.owner,
        "onset": _onset(incident, found),
        "opened_at": incident.opened_at,
        "fired_at": incident.fired_at,
        "last_active_at": max((member.held_at for member in incident.alerting), default=incident.opened_at),
        "resolved_at": incident.resolved_at,
        "acknowledged_at": incident.acknowledged_at,
        "acknowledged_by": incident.acknowledged_by,
        "held_by": [*held],
        "feedback": [shapes.VerdictOut.model_validate(verdict, from_attributes=True) for verdict in said],
        "evidence_url": content.evidence_url,
    }


def _onset(incident: Incident, found: Mapping[str, Finding]) -> datetime:
    """Give when what is told first began: other subjects began at times of their own, the same one may be told anew."""
    alerting = ranked(incident.members, found)
    same = [member for member in alerting if member.subject == alerting[0].subject]
    keys = {key for member in same for key in (member.first_key, member.last_key)}
    known = [found[key].since or found[key].window.start for key in keys if key in found]
    return min(known, default=incident.opened_at)


def _member(member: Member, found: Mapping[str, Finding]) -> shapes.MemberOut:
    latest = replace(found[member.last_key], active=member.active, data_state=member.data_state)
    changed = member.first_key != member.last_key
    return shapes.MemberOut(
        **shapes.FindingOut.of(latest).model_dump(),
        alerting=member.severity.alerts,
        first=shapes.FindingOut.of(found[member.first_key]) if changed else None,
    )


def _event(event: IncidentEvent) -> shapes.EventOut:
    return shapes.EventOut.model_validate(
        {"at": event.at, "what": event.kind, "actor": event.actor, "detail": event.detail}
    )


def _delivery(message: Message) -> shapes.DeliveryOut:
    last = message.deliveries[-1] if message.deliveries else None
    return shapes.DeliveryOut(
        key=message.key,
        receiver=message.receiver,
        transition=message.transition,
        state=message.state,
        created_at=message.created_at,
        at=last.at if last else None,
        attempts=message.attempts,
        error=(last.detail or None) if last and message.state is not Sending.DELIVERED else None,
        note=(last.detail or None) if last and message.state is Sending.DELIVERED else None,
        next_attempt_at=message.next_attempt_at,
    )

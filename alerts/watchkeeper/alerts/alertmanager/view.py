"""Shows the alerts of open incidents as Alertmanager would: with receivers, groups and what keeps each back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from watchkeeper.alerts.alertmanager import models as shapes
from watchkeeper.alerts.alertmanager.posted import received as read_post
from watchkeeper.alerts.messages.links import Links
from watchkeeper.alerts.routing.dispatch import suppression_now
from watchkeeper.alerts.routing.labels import RECEIVED, labels_of
from watchkeeper.alerts.routing.routing import Branch, Router
from watchkeeper.alerts.routing.suppression import Hold
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Finding
from watchkeeper.store.control import alert_journal, declared, findings, incidents, received
from watchkeeper.store.control.connection import Transaction
from watchkeeper.store.control.received import Received
from watchkeeper.store.control.records import Incident, Member, Phase

SHOWN_FOR = timedelta(minutes=4)
"""How long a firing alert of ours is said to go on without news, as Prometheus does."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One alert as it is shown, with the branches that it goes to."""

    alert: shapes.GettableAlert
    branches: tuple[Branch, ...]


def firing(tx: Transaction, links: Links, now: datetime) -> list[Seen]:
    """Give every alert that fires, in the order of their fingerprints."""
    in_force = declared.current(tx)
    router, suppression = Router.of(in_force), suppression_now(tx, in_force, now)
    pairs = [
        (incident, member)
        for incident in incidents.listed(tx, states=(Phase.FIRING,), limit=None)
        for member in incident.alerting
        if member.active
    ]
    found = findings.get(tx, [member.last_key for _, member in pairs], snapshots=False)
    posted = received.get(tx, [received.fingerprint(m.labels) for _, m in pairs if m.analyzer == RECEIVED])
    untaken = {alert.fingerprint: alert for alert in received.untaken(tx)}
    for alert in _journal(tx):  # what was posted and not applied yet: whoever posts reads it at once
        known = posted.get(alert.fingerprint)
        if known is not None and known.firing:
            posted[alert.fingerprint] = replace(alert, starts_at=known.starts_at, firing=True)
        else:
            untaken[alert.fingerprint] = alert
    seen: list[Seen] = []
    for incident, member in pairs:
        labels = labels_of(member, incident, in_force)
        branches = tuple(router.branches(labels))
        holds = suppression.holds(labels, member, incident, now)
        own = posted.get(received.fingerprint(member.labels)) if member.analyzer == RECEIVED else None
        if own is not None and own.ends_at <= now:
            continue  # over, and soon taken as such
        alert = (
            _posted(own, _status(holds), branches)
            if own
            else _ours(found[member.last_key], member, incident, labels, _status(holds), branches, links, in_force, now)
        )
        seen.append(Seen(alert, branches))
    unprocessed = shapes.AlertStatus(state="unprocessed", silencedBy=[], inhibitedBy=[], mutedBy=[])
    for alert in untaken.values():
        if alert.ends_at > now and not alert.firing:
            branches = tuple(router.branches(alert.labels))
            seen.append(Seen(_posted(alert, unprocessed, branches), branches))
    return sorted(seen, key=lambda one: one.alert.fingerprint)


def _journal(tx: Transaction) -> Iterator[Received]:
    for post in alert_journal.every(tx):
        yield from read_post(post.body, post.received_at)


def _status(holds: Sequence[Hold]) -> shapes.AlertStatus:
    return shapes.AlertStatus(
        state="suppressed" if holds else "active",
        silencedBy=[hold.by for hold in holds if hold.kind == "silence"],
        inhibitedBy=[hold.by for hold in holds if hold.kind == "inhibition"],
        mutedBy=[hold.by for hold in holds if hold.kind in {"maintenance", "snooze"}],
    )


def _posted(alert: Received, status: shapes.AlertStatus, branches: Sequence[Branch]) -> shapes.GettableAlert:
    return shapes.GettableAlert(
        labels=alert.labels,
        annotations=alert.annotations,
        receivers=[shapes.ReceiverName(name=branch.receiver) for branch in branches],
        fingerprint=alert.fingerprint,
        startsAt=alert.starts_at,
        updatedAt=alert.updated_at,
        endsAt=alert.ends_at,
        status=status,
        generatorURL=alert.generator_url,
    )


def _ours(
    finding: Finding,
    member: Member,
    incident: Incident,
    labels: dict[str, str],
    status: shapes.AlertStatus,
    branches: Sequence[Branch],
    links: Links,
    in_force: Declarations,
    now: datetime,
) -> shapes.GettableAlert:
    system = in_force.system_of(incident.service)
    annotations = {
        "summary": finding.summary,
        "incident": incident.id,
        "runbook_url": (system.runbook or "") if system else "",
        "contact": (system.contact or "") if system else "",
    }
    return shapes.GettableAlert(
        labels=labels,
        annotations={name: value for name, value in annotations.items() if value},
        receivers=[shapes.ReceiverName(name=branch.receiver) for branch in branches],
        fingerprint=member.fingerprint,
        startsAt=member.first_at,
        updatedAt=member.last_at,
        endsAt=now + SHOWN_FOR,
        status=status,
        generatorURL=links.incident(incident.id),
    )

"""Takes findings in: findings, incident changes, messages and watermarks, in one control transaction.

The same evaluation may be recorded again, after a crash say: its findings are there already, so nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import msgspec

from watchkeeper.alerts.addresses import addresses, addresses_of
from watchkeeper.alerts.incidents import SILENT, Step, Timing, evaluate, ranked
from watchkeeper.alerts.links import Links
from watchkeeper.alerts.message import Content, compose
from watchkeeper.alerts.notification import Alert, Notification, Transition
from watchkeeper.alerts.routing import routes_for
from watchkeeper.alerts.wording import how_sure, measured
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Finding, Json
from watchkeeper.store.control import findings as stored_findings
from watchkeeper.store.control import incidents as stored_incidents
from watchkeeper.store.control import outbox, watermarks
from watchkeeper.store.control.connection import Control, Transaction
from watchkeeper.store.control.records import Incident, IncidentEvent, Member, Message

LastChange = Callable[[str, str, datetime], str | None]
"""One sentence about the last change on purpose of (service, model) before a time, if one is known."""

DEFAULT_TIMING = Timing()


def no_change_known(_service: str, _model: str, _before: datetime) -> str | None:
    """Know of no change."""
    return None


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """What one record did to one incident: ``kind`` is a word of the timeline, ``receivers`` who will be told."""

    incident: Incident
    kind: str
    at: datetime
    receivers: tuple[str, ...] = ()


def record(
    control: Control,
    findings: Sequence[Finding],
    declarations: Declarations,
    as_of: datetime,
    links: Links,
    *,
    watermarks: Mapping[str, datetime] | None = None,
    last_change: LastChange = no_change_known,
    timing: Timing = DEFAULT_TIMING,
    now: datetime | None = None,
) -> list[IncidentChange]:
    """Store one evaluation and everything that follows from it, or nothing of it.

    Call it after every evaluation, also when nothing was found: time alone ends incidents. ``as_of`` is the time of
    evaluation, in a replay not the wall's; ``now`` is the wall's where that is another: messages wait since then.
    ``watermarks`` (by the analyzer's name, as in its findings) are stored
    in the same transaction; an incident does not go quiet past the watermark of the analyzer that found it.
    """
    with control.transaction() as tx:
        tx.serialize("intake")
        return _Intake(tx, declarations, as_of, links, last_change, timing, now or as_of).take(
            findings, watermarks or {}
        )


class _Intake:
    """One evaluation inside its transaction."""

    def __init__(
        self,
        tx: Transaction,
        declared: Declarations,
        as_of: datetime,
        links: Links,
        last_change: LastChange,
        timing: Timing,
        now: datetime,
    ) -> None:
        self._tx = tx
        self._declared = declared
        self._as_of = as_of
        self._links = links
        self._last_change = last_change
        self._timing = timing
        self._now = now

    def take(self, findings: Sequence[Finding], marks: Mapping[str, datetime]) -> list[IncidentChange]:
        for analyzer, at in marks.items():
            watermarks.put(self._tx, analyzer, at)
        known_marks = watermarks.every(self._tx)
        still_open = {
            (incident.service, incident.model): incident for incident in stored_incidents.listed(self._tx, limit=None)
        }
        by_model: dict[tuple[str, str], list[Finding]] = {about: [] for about in still_open}
        for finding in stored_findings.insert(self._tx, findings):
            by_model.setdefault((finding.service, finding.model), []).append(finding)
        changes: list[IncidentChange] = []
        for (service, model), found in sorted(by_model.items()):
            last = still_open.get((service, model)) or stored_incidents.latest(self._tx, service, model)

            def evaluated(member: Member, service: str = service) -> datetime:
                own = known_marks.get((member.analyzer, service))
                return own or known_marks.get((member.analyzer, "")) or self._as_of

            changes += self._store(evaluate(last, found, self._as_of, self._timing, evaluated))
        return changes

    def _store(self, steps: list[Step]) -> list[IncidentChange]:
        for incident in {step.incident.id: step.incident for step in steps}.values():
            stored_incidents.save(self._tx, incident)
        return [self._note(step) for step in steps if step.kind != SILENT]

    def _note(self, step: Step) -> IncidentChange:
        told = self._tell(step) if step.tell else []
        detail: dict[str, Json] = {**step.detail, "receivers": [*told]} if step.tell else step.detail
        stored_incidents.note(self._tx, step.incident.id, IncidentEvent(step.at, step.kind, detail))
        return IncidentChange(step.incident, step.kind, step.at, tuple(told))

    def _tell(self, step: Step) -> list[str]:
        incident = step.incident
        names = self._receivers(step)
        found = stored_findings.get(self._tx, incident.finding_keys)
        content = compose(
            _transition(step),
            incident,
            found,
            self._declared,
            self._links.incident,
            new=step.causes,
            last_change=self._last_change(incident.service, incident.model, incident.opened_at),
        )
        for name in names:
            notification = _notification(step, name, content, found, self._links)
            outbox.put(self._tx, _message(notification, incident, self._now))
        return names

    def _receivers(self, step: Step) -> list[str]:
        """Whoever was told that it began is told that it is over, as long as the route is still declared."""
        if step.kind == "resolved":
            told = [message.receiver for message in outbox.of_incident(self._tx, step.incident.id)]
            return [name for name in dict.fromkeys(told) if name in addresses(self._declared)]
        new = [member for member in step.incident.members if member.fingerprint in step.causes]
        return addresses_of(routes_for(step.incident, new, self._declared), self._declared)


def _transition(step: Step) -> Transition:
    return "fired" if step.kind == "fired" else "resolved" if step.kind == "resolved" else "updated"


def _notification(
    step: Step, receiver: str, content: Content, found: Mapping[str, Finding], links: Links
) -> Notification:
    incident, transition = step.incident, _transition(step)
    # The parts may hold any character, the key is a header: percent-encoded.
    parts = (incident.fingerprint, incident.episode, transition, quote(receiver, safe=""), incident.told)
    return Notification(
        key=":".join(map(str, parts)),
        receiver=receiver,
        transition=transition,
        incident_id=incident.id,
        service=incident.service,
        model=incident.model,
        severity=content.severity,
        title=content.title,
        text=content.text,
        subjects=content.subjects,
        new=step.causes,
        alerts=tuple(_alert(member, found[member.last_key], incident) for member in ranked(incident.members)),
        at=step.at,
        evidence_url=content.evidence_url,
        external_url=links.external_url,
        owner=content.owner,
        contact=content.contact,
        runbook=content.runbook,
        fallback=content.fallback,
    )


def _alert(member: Member, finding: Finding, incident: Incident) -> Alert:
    ended = None if member.active else incident.resolved_at or member.last_at
    return Alert(
        fingerprint=member.fingerprint,
        analyzer=member.analyzer,
        metric=member.metric,
        subject=member.subject,
        severity=member.severity,
        summary=finding.summary,
        description=f"Measured: {measured(finding)}. How sure: {how_sure(finding)}.",
        starts_at=member.first_at,
        ends_at=ended,
    )


def _message(notification: Notification, incident: Incident, now: datetime) -> Message:
    return Message(
        key=notification.key,
        receiver=notification.receiver,
        fingerprint=incident.fingerprint,
        incident_id=incident.id,
        transition=notification.transition,
        payload=msgspec.to_builtins(notification),
        created_at=notification.at,
        queued_at=now,
    )

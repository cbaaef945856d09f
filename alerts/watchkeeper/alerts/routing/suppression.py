"""What keeps an alert from being told: silence, maintenance, inhibition, snooze? Pure.

An acknowledgement keeps nothing back that is new; it ends repetition and escalation. Beside the declared inhibitions
one is built in: while telemetry of a service goes missing or is silent, what is computed from it is not told, as long
as it is no louder than the alert that says so (a ticket never keeps a page back).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from watchkeeper.alerts.incidents.urgency import LOUDNESS
from watchkeeper.alerts.routing.labels import RECEIVED, Labels
from watchkeeper.schemas.declared import Declarations, Inhibition
from watchkeeper.schemas.findings import DataState
from watchkeeper.schemas.matchers import Matchers, all_hold, read_matchers
from watchkeeper.store.control.maintenance import Maintenance
from watchkeeper.store.control.records import Incident, Member
from watchkeeper.store.control.silences import Silence

TELEMETRY = frozenset({"data.telemetry", "data.silence"})
INDEPENDENT = frozenset({"gpu", "external"})
"""Classes of alerts that do not rest on the telemetry of a service."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One reason: ``kind`` is silence, maintenance, inhibition or snooze, ``by`` the id of what does it."""

    kind: str
    by: str
    words: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Firing:
    """One alert that fires, as an inhibition sees it."""

    member: Member
    incident: Incident
    labels: Labels


@dataclass(frozen=True, slots=True)
class Rule:
    """A declared inhibition, ready: sources by the values that a target must share."""

    name: str
    source: Matchers
    target: Matchers
    equal: tuple[str, ...]
    sources: dict[tuple[str, ...], list[Firing]] = field(default_factory=dict[tuple[str, ...], list[Firing]])

    @classmethod
    def of(cls, declared: Inhibition, firing: Iterable[Firing]) -> Rule:
        """Sort what fires by what the rule asks for."""
        source, target = read_matchers(declared.source_matchers), read_matchers(declared.target_matchers)
        rule = cls(declared.name, source, target, tuple(declared.equal))
        for alert in firing:
            if all_hold(source, alert.labels):
                rule.sources.setdefault(rule.shared(alert.labels), []).append(alert)
        return rule

    def shared(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Give the values that source and target must have in common; a missing label is the empty text."""
        return tuple(labels.get(name, "") for name in self.equal)

    def inhibits(self, labels: Labels) -> Firing | None:
        """Give the alert that makes this one needless."""
        if not all_hold(self.target, labels):
            return None
        both = all_hold(self.source, labels)
        for source in self.sources.get(self.shared(labels), ()):
            if not (both and all_hold(self.target, source.labels)):
                return source
        return None


@dataclass(frozen=True, slots=True)
class Suppression:
    """All that keeps alerts back at one moment."""

    silences: Sequence[Silence]
    maintenance: Sequence[Maintenance]
    rules: Sequence[Rule]
    blind: Mapping[str, Sequence[Firing]]
    """Alerts about missing telemetry, by service."""

    @classmethod
    def of(
        cls,
        declared: Declarations,
        firing: Sequence[Firing],
        silences: Sequence[Silence],
        maintenance: Sequence[Maintenance],
    ) -> Suppression:
        """Make it from what is declared, what fires, and what people set up, at one moment."""
        rules = [Rule.of(one, firing) for one in declared.inhibitions]
        blind: dict[str, list[Firing]] = {}
        for alert in firing:
            if alert.member.analyzer in TELEMETRY and alert.member.data_state is not DataState.OK:
                blind.setdefault(alert.incident.service, []).append(alert)
        return cls(silences, maintenance, rules, blind)

    def holds(self, labels: Labels, member: Member, incident: Incident, now: datetime) -> list[Hold]:
        """Give every reason why this alert is not told now."""
        found = [
            Hold("silence", one.id, f"silenced by {one.author}: {one.comment}", one.ends_at)
            for one in self.silences
            if all_hold(one.matchers, labels)
        ]
        found += [
            Hold("maintenance", one.id, f"maintenance by {one.author}: {one.reason}", one.ends_at)
            for one in self.maintenance
            if all_hold(one.matchers, labels)
        ]
        if incident.snoozed_until is not None and now < incident.snoozed_until:
            words = f"snoozed by {incident.snoozed_by or 'someone'}"
            found.append(Hold("snooze", incident.id, words, incident.snoozed_until))
        found += [
            Hold("inhibition", source.member.fingerprint, f"inhibited ({rule.name}) by {source.labels['alertname']}")
            for rule in self.rules
            if (source := rule.inhibits(labels)) is not None and source.member.fingerprint != member.fingerprint
        ]
        return found + self._blinded(labels, member, incident)

    def _blinded(self, labels: Labels, member: Member, incident: Incident) -> list[Hold]:
        if member.analyzer in {*TELEMETRY, RECEIVED} or labels.get("class") in INDEPENDENT:
            return []
        for source in self.blind.get(incident.service, ()):
            same_model = source.incident.model in {"", incident.model}
            same_site = source.labels.get("site", "") in {"", labels.get("site", source.labels.get("site", ""))}
            as_loud = LOUDNESS[source.member.severity] >= LOUDNESS[member.severity]
            if same_model and same_site and as_loud:
                words = f"telemetry is broken ({source.member.data_state.value}): {source.member.subject}"
                return [Hold("inhibition", source.member.fingerprint, words)]
        return []

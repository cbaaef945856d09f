"""What stands first: of several incidents, and of what one incident holds? The one order of every list. Pure.

Pages before tickets; then what is lost (answers, time, money) before data that broke, and that before inputs that only
moved, which a season may do; then by money a day, by the share of rows that it takes, by the evidence (grade, then
chance), and the newest first. Of incidents, what is held back (silenced, snoozed, in maintenance) stands last, what was
not told yet before that, and of two that are as loud the one that somebody has acknowledged stands lower.

Misleads where sizes have no unit in common: a latency, a score or a mean without money beside it has none that an error
share could be held against, and goes by its grade alone, behind those that have one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from types import MappingProxyType

from watchkeeper.schemas.findings import Finding, Severity
from watchkeeper.store.control.records import Incident, Member, Phase

LOUDNESS = {Severity.NOTICE: 0, Severity.TICKET: 1, Severity.PAGE: 2}
NOTHING: Mapping[str, Finding] = MappingProxyType({})
NOBODY: Collection[str] = ()

VERDICT = "verdict.change"
"""The analyzer that speaks of losses and of inputs alike: its subject says which."""
LOSSES = frozenset(
    {"error", "outcome", "calibration", "latency", "latency_p99", "cost", "ok", "attempts", "checks"},
)
SEGMENT = "segment:"
ANSWERS = "data.checks"
"""The one check of data that is about answers."""


class Stake(IntEnum):
    """What is at stake, the worst first."""

    LOSS = 0
    BROKEN = 1
    MOVED = 2


def stake(analyzer: str, subject: str) -> Stake:
    """Say what is at stake; an analyzer that nobody here knows speaks of a loss.

    >>> stake("slo.burn_rate", "ok").name, stake("data.unseen", "carrier").name
    ('LOSS', 'BROKEN')
    >>> stake("verdict.change", "segment:mail").name, stake("verdict.change", "carrier").name
    ('LOSS', 'MOVED')
    """
    if analyzer == VERDICT:
        return Stake.LOSS if subject in LOSSES or subject.startswith(SEGMENT) else Stake.MOVED
    kind = analyzer.partition(".")[0]
    if kind == "data" and analyzer != ANSWERS:
        return Stake.BROKEN
    return Stake.MOVED if kind == "drift" else Stake.LOSS


def ranked(members: Sequence[Member], found: Mapping[str, Finding] = NOTHING) -> list[Member]:
    """Order what alerts, what still holds first. ``found`` holds their latest findings, which alone know a size."""
    return sorted(
        (member for member in members if member.severity.alerts),
        key=lambda member: (
            not member.active,
            -LOUDNESS[member.severity],
            *_weight(member, found),
            -member.first_at.timestamp(),
            member.fingerprint,
        ),
    )


def holding(members: Sequence[Member], found: Mapping[str, Finding] = NOTHING) -> list[Member]:
    """Give what alerts and still holds, ranked; once nothing does, all that alerted. How loud it is goes by these."""
    alerting = ranked(members, found)
    return [member for member in alerting if member.active] or alerting


def subjects(members: Sequence[Member], found: Mapping[str, Finding] = NOTHING) -> list[str]:
    """Rank the names: the first names of all findings, then all second names, and so on; each once."""
    names = [member.subjects or (member.metric,) for member in ranked(members, found)]
    deepest = max(map(len, names), default=0)
    return list(dict.fromkeys(group[place] for place in range(deepest) for group in names if place < len(group)))


def loudest(members: Iterable[Member], otherwise: Severity = Severity.NOTICE) -> Severity:
    """Give the loudest severity of some members."""
    return max((member.severity for member in members), key=LOUDNESS.__getitem__, default=otherwise)


def worst_first(
    incidents: Iterable[Incident], found: Mapping[str, Finding], held: Collection[str] = NOBODY
) -> list[Incident]:
    """Order incidents: those that are open as this page's head says, then the others, the newest first.

    ``held`` are the ids of those that something holds back.
    """
    every = list(incidents)
    going_on = [incident for incident in every if incident.open]
    over = [incident for incident in every if not incident.open]
    return [
        *sorted(going_on, key=lambda incident: _urgency(incident, found, incident.id in held)),
        *sorted(over, key=lambda incident: (-incident.opened_at.timestamp(), incident.id)),
    ]


def _urgency(incident: Incident, found: Mapping[str, Finding], held: bool) -> tuple[float | str, ...]:
    members = holding(incident.members, found)
    weight = _weight(members[0], found) if members else (float(Stake.MOVED), 0.0, 0.0, "D", 1.0)
    told: datetime = incident.fired_at or incident.opened_at
    return (
        held,
        incident.state is not Phase.FIRING,
        -LOUDNESS[loudest(members)],
        incident.acknowledged_at is not None,
        *weight,
        -told.timestamp(),
        incident.id,
    )


def _weight(member: Member, found: Mapping[str, Finding]) -> tuple[float, float, float, str, float]:
    finding = found.get(member.last_key)
    at_stake = stake(member.analyzer, member.subject)
    if finding is None:
        return at_stake, 0.0, 0.0, member.grade, 1.0
    per_day = finding.impact.per_day if finding.impact else 0.0
    chance = finding.evidence.p_value
    return at_stake, -per_day, -_size(finding), member.grade, 1.0 if chance is None else chance


def _size(finding: Finding) -> float:
    """Give the share of rows that it takes beyond what is usual (or allowed); 0 where it has another unit."""
    if finding.budget is not None:
        return max(0.0, finding.budget.bad - (1 - finding.budget.target))
    if finding.unit != "share" or finding.reference is None:
        return 0.0
    return abs(finding.observed - finding.reference)

"""What control data holds, as plain values: incidents and their members, messages that wait, versions, feedback."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from watchkeeper.schemas.findings import DataState, Json, Severity


class Phase(StrEnum):
    """Where an incident stands. An inactive one was pending and never fired."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Member:
    """One fingerprint inside one incident: a condition that alerts, or a notice that is its context.

    ``severity`` is the highest so far. ``held_at`` is the last time when it was active, or when the data were
    too poor to say that it was not. The keys name findings: the first one and the latest active one.
    """

    fingerprint: str
    analyzer: str
    metric: str
    subjects: tuple[str, ...]
    severity: Severity
    grade: str
    effect: float | None
    first_key: str
    last_key: str
    first_at: datetime
    last_at: datetime
    held_at: datetime
    active: bool = True
    data_state: DataState = DataState.OK
    labels: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def subject(self) -> str:
        """The first name of the ranking, or the metric itself."""
        return self.subjects[0] if self.subjects else self.metric


@dataclass(frozen=True, slots=True)
class Incident:
    """What is wrong with one model of one service, from the first finding until all is quiet: one episode.

    ``told`` counts the times that people were told something; ``told_severity`` and ``told_subjects`` are what
    they know by now.
    """

    service: str
    model: str
    episode: int
    state: Phase
    opened_at: datetime
    members: tuple[Member, ...] = ()
    data_state: DataState = DataState.OK
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    told_severity: Severity | None = None
    told_subjects: tuple[str, ...] = ()
    told: int = 0
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    snoozed_until: datetime | None = None
    snoozed_by: str | None = None

    @property
    def fingerprint(self) -> str:
        """Identify service and model, over all episodes."""
        return incident_fingerprint(self.service, self.model)

    @property
    def id(self) -> str:
        """Identify this episode: short, the same after a replay, safe in a URL."""
        return f"{self.fingerprint}-{self.episode}"

    @property
    def open(self) -> bool:
        """Whether something is going on."""
        return self.state in {Phase.PENDING, Phase.FIRING}

    @property
    def alerting(self) -> tuple[Member, ...]:
        """The members that people are told of; the others are context."""
        return tuple(member for member in self.members if member.severity.alerts)

    @property
    def finding_keys(self) -> tuple[str, ...]:
        """The first and the latest finding of each member."""
        return tuple(key for member in self.members for key in (member.first_key, member.last_key))


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """One line of an incident's timeline."""

    at: datetime
    kind: str
    detail: dict[str, Json] = field(default_factory=dict[str, Json])
    actor: str | None = None


def incident_fingerprint(service: str, model: str) -> str:
    """Identify what an incident is about, over all episodes: 16 hex digits of (service, model)."""
    return hashlib.sha256(f"{service}\x1f{model}".encode()).hexdigest()[:16]


class Sending(StrEnum):
    """Where a message stands: it waits (perhaps for another attempt), it arrived, or it was refused for good."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver: outcome is ``delivered``, ``retry`` or ``dead``; detail is the receiver's answer."""

    at: datetime
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class Message:
    """One row of the outbox: one change of one incident for one receiver.

    ``created_at`` is when it happened, ``queued_at`` when it was written here: in a replay these differ. ``unsure``: an
    attempt may have arrived although nobody heard the answer. ``receipt`` is what the receiver calls the message.
    """

    key: str
    receiver: str
    fingerprint: str
    incident_id: str
    transition: str
    payload: dict[str, Json]
    created_at: datetime
    queued_at: datetime
    state: Sending = Sending.WAITING
    attempts: int = 0
    next_attempt_at: datetime | None = None
    unsure: bool = False
    receipt: str | None = None
    deliveries: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Leased:
    """A message to attempt now. ``carried`` are older ones about the same incident that it stands for, oldest first.

    ``receipt`` is what the receiver called the last message about the same incident; ``unsure`` says that an earlier
    attempt may have arrived.
    """

    message: Message
    carried: tuple[Message, ...] = ()
    receipt: str | None = None
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an attempt: where the message stands now, and when the next attempt is due.

    ``unsure`` says that it may have arrived all the same.
    """

    attempt: Attempt
    state: Sending
    next_attempt_at: datetime | None = None
    unsure: bool = False
    receipt: str | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What has not arrived: how many messages wait, since when the oldest does, how many were refused for good."""

    waiting: int
    dead: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person said of an incident."""

    at: datetime
    word: str
    reason: str | None
    by: str | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to what, when. ``key`` names the API key by which a user acted, where there was one."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Json] = field(default_factory=dict[str, Json])
    key: str | None = None

"""The JSON of the incident routes."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field, JsonValue

from watchkeeper.schemas.events import FeedbackWord
from watchkeeper.schemas.findings import DataState, Finding, Severity
from watchkeeper.store.control.records import Phase, Sending

Actor = Annotated[str, Field(min_length=1, max_length=200)]


class AcknowledgeBody(BaseModel):
    """Who takes it on."""

    by: Actor | None = None


class FeedbackBody(BaseModel):
    """What someone says of an incident."""

    word: FeedbackWord
    reason: Annotated[str, Field(max_length=2000)] | None = None
    by: Actor | None = None


class WindowOut(BaseModel):
    """The half-open span [start, end)."""

    start: datetime
    end: datetime


class ImpactOut(BaseModel):
    """Money a day and on what that rests."""

    per_day: float
    currency: str
    basis: str


class EvidenceOut(BaseModel):
    """Why to believe it; ``snapshot`` is empty in lists."""

    test: str
    n: int
    p_value: float | None
    grade: str
    snapshot: dict[str, JsonValue]


class ErrorBudgetOut(BaseModel):
    """The error budget of an objective as a finding saw it; ``burn`` 1 is on budget, ``left`` below 0 overspent."""

    objective: str
    target: float
    over: WindowOut
    bad: float
    interval: tuple[float, float]
    burn: float
    burn_limit: float | None
    left: float
    gone_at: datetime | None


class FindingOut(BaseModel):
    """One statement of one analyzer."""

    key: str
    fingerprint: str
    analyzer: str
    service: str
    model: str
    model_version: str | None
    metric: str
    subject: str
    subjects: list[str]
    window: WindowOut
    as_of: datetime
    since: datetime | None
    observed: float
    interval: tuple[float, float] | None
    reference: float | None
    effect: float | None
    unit: str
    severity: Severity
    summary: str
    impact: ImpactOut | None
    evidence: EvidenceOut
    maturity: float | None
    data_state: DataState
    active: bool
    examples: list[str]
    budget: ErrorBudgetOut | None
    labels: dict[str, str]

    @classmethod
    def of(cls, finding: Finding) -> FindingOut:
        """Show one finding. JSON has no infinity: an interval with an open end is left out."""
        bounded = finding.interval is not None and all(map(math.isfinite, finding.interval))
        shown = finding if bounded else replace(finding, interval=None)
        return cls.model_validate(shown, from_attributes=True)


class MemberOut(FindingOut):
    """The latest finding about one condition of an incident, and the first one where that was another.

    ``alerting`` False: a notice that is only context. ``active`` False: the condition no longer holds.
    """

    alerting: bool
    first: FindingOut | None


class VerdictOut(BaseModel):
    """What someone said of it."""

    at: datetime
    word: str
    reason: str | None
    by: str | None


class IncidentOut(BaseModel):
    """One incident as a line of a list; ``held_by`` says what keeps it from being told.

    ``onset``: when what its first finding says began, often before ``opened_at``, when that was found.
    """

    id: str
    service: str
    model: str
    episode: int
    state: Phase
    data_state: DataState
    severity: Severity
    title: str
    subjects: list[str]
    analyzers: list[str]
    cost: str
    impact: ImpactOut | None
    owner: str | None
    onset: datetime
    opened_at: datetime
    fired_at: datetime | None
    last_active_at: datetime
    resolved_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    held_by: list[str]
    feedback: list[VerdictOut]
    evidence_url: str


class EventOut(BaseModel):
    """One line of the timeline."""

    at: datetime
    what: str
    actor: str | None
    detail: dict[str, JsonValue]


class DeliveryOut(BaseModel):
    """One message to one receiver: waiting, delivered, or dead (refused for good).

    ``note`` says how a delivered one went: as plain text because its template failed, or with another message.
    """

    key: str
    receiver: str
    transition: str
    state: Sending
    created_at: datetime
    at: datetime | None
    attempts: int
    error: str | None
    note: str | None
    next_attempt_at: datetime | None


class IncidentStory(IncidentOut):
    """Everything about one incident."""

    text: str
    contact: str | None
    runbook: str | None
    fallback: str | None
    examples: list[str]
    findings: list[MemberOut]
    timeline: list[EventOut]
    deliveries: list[DeliveryOut]


class ProposalOut(BaseModel):
    """A change that a person may make, as a Monitor to declare: nothing is ever changed by itself."""

    parameter: str | None
    now: float | None
    proposed: float | None
    why: str
    monitor: str


class QualityOut(BaseModel):
    """How useful the alerts of one analyzer were."""

    analyzer: str
    fired: int
    acted_on: int
    known: int
    noise: int
    wrong_threshold: int
    unanswered: int
    precision: float | None
    precision_interval: tuple[float, float] | None = None
    proposal: ProposalOut | None = None


class Incidents(BaseModel):
    """A list of incidents: what is open, the most urgent first, then the others, the newest first."""

    incidents: list[IncidentOut]


class Findings(BaseModel):
    """A list of findings, the newest first."""

    findings: list[FindingOut]


class Qualities(BaseModel):
    """Alert quality by analyzer."""

    analyzers: list[QualityOut]

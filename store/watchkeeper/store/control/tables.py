"""The tables of control data, typed; ``versions/`` holds the steps that make them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Named,
    Table,
    TypedColumns,
    UniqueConstraint,
    false,
)

from watchkeeper.schemas.findings import Json
from watchkeeper.store.control.column_types import Document, RowNumber, Utc, Words

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class _Finding(TypedColumns):
    key: Named[str] = Column(Words, primary_key=True)
    fingerprint: Named[str] = Column(Words)
    analyzer: Named[str] = Column(Words)
    service: Named[str] = Column(Words)
    model: Named[str] = Column(Words)
    severity: Named[str] = Column(Words)
    active: Named[bool]
    as_of: Named[datetime] = Column(Utc)
    statement: Named[Json] = Column(Document, nullable=False)
    snapshot: Named[Json] = Column(Document, nullable=False)


finding = Table(
    "finding",
    metadata,
    _Finding,
    Index(None, "as_of"),
    Index(None, "service", "as_of"),
    Index(None, "fingerprint", "as_of"),
)


class _Incident(TypedColumns):
    id: Named[str] = Column(Words, primary_key=True)
    fingerprint: Named[str] = Column(Words)
    episode: Named[int]
    service: Named[str] = Column(Words)
    model: Named[str] = Column(Words)
    state: Named[str] = Column(Words)
    data_state: Named[str] = Column(Words)
    opened_at: Named[datetime] = Column(Utc)
    fired_at: Named[datetime | None] = Column(Utc)
    resolved_at: Named[datetime | None] = Column(Utc)
    told_severity: Named[str | None] = Column(Words)
    told_subjects: Named[Json] = Column(Document, nullable=False)
    told: Named[int]
    acknowledged_at: Named[datetime | None] = Column(Utc)
    acknowledged_by: Named[str | None] = Column(Words)
    snoozed_until: Named[datetime | None] = Column(Utc)
    snoozed_by: Named[str | None] = Column(Words)


incident = Table(
    "incident",
    metadata,
    _Incident,
    UniqueConstraint("fingerprint", "episode"),
    Index(None, "state", "opened_at"),
)


class _Member(TypedColumns):
    incident_id: Named[str] = Column(Words, ForeignKey("incident.id", ondelete="CASCADE"), primary_key=True)
    fingerprint: Named[str] = Column(Words, primary_key=True)
    position: Named[int]
    analyzer: Named[str] = Column(Words)
    metric: Named[str] = Column(Words)
    subjects: Named[Json] = Column(Document, nullable=False)
    severity: Named[str] = Column(Words)
    grade: Named[str] = Column(Words)
    effect: Named[float | None]
    first_key: Named[str] = Column(Words, ForeignKey("finding.key"))
    last_key: Named[str] = Column(Words, ForeignKey("finding.key"))
    first_at: Named[datetime] = Column(Utc)
    last_at: Named[datetime] = Column(Utc)
    held_at: Named[datetime] = Column(Utc)
    active: Named[bool]
    data_state: Named[str] = Column(Words)
    labels: Named[Json] = Column(Document, nullable=False, server_default="{}")


member = Table("incident_member", metadata, _Member)


class _Event(TypedColumns):
    id: Named[int] = Column(RowNumber, primary_key=True)
    incident_id: Named[str] = Column(Words, ForeignKey("incident.id", ondelete="CASCADE"))
    at: Named[datetime] = Column(Utc)
    kind: Named[str] = Column(Words)
    actor: Named[str | None] = Column(Words)
    detail: Named[Json] = Column(Document, nullable=False)


event = Table("incident_event", metadata, _Event, Index(None, "incident_id", "id"))


class _Outbox(TypedColumns):
    id: Named[int] = Column(RowNumber, primary_key=True)
    key: Named[str] = Column(Words)
    receiver: Named[str] = Column(Words)
    fingerprint: Named[str] = Column(Words)
    incident_id: Named[str] = Column(Words, ForeignKey("incident.id", ondelete="CASCADE"))
    transition: Named[str] = Column(Words)
    payload: Named[Json] = Column(Document, nullable=False)
    state: Named[str] = Column(Words)
    attempts: Named[int]
    created_at: Named[datetime] = Column(Utc)
    queued_at: Named[datetime] = Column(Utc)
    next_attempt_at: Named[datetime | None] = Column(Utc)
    leased_by: Named[str | None] = Column(Words)
    leased_until: Named[datetime | None] = Column(Utc)
    unsure: Named[bool]
    carried_by: Named[int | None] = Column(RowNumber)
    receipt: Named[str | None] = Column(Words)


outbox = Table(
    "outbox",
    metadata,
    _Outbox,
    UniqueConstraint("key"),
    Index(None, "state", "receiver", "fingerprint", "id"),
    Index(None, "incident_id"),
    Index(None, "carried_by"),
)


class _SigningKey(TypedColumns):
    name: Named[str] = Column(Words, primary_key=True)
    secret: Named[str] = Column(Words)
    created_at: Named[datetime] = Column(Utc)


signing_key = Table("signing_key", metadata, _SigningKey)


class _Delivery(TypedColumns):
    id: Named[int] = Column(RowNumber, primary_key=True)
    outbox_id: Named[int] = Column(RowNumber, ForeignKey("outbox.id", ondelete="CASCADE"))
    at: Named[datetime] = Column(Utc)
    outcome: Named[str] = Column(Words)
    detail: Named[str] = Column(Words)


delivery = Table("delivery", metadata, _Delivery, Index(None, "outbox_id", "id"))


class _Feedback(TypedColumns):
    id: Named[int] = Column(RowNumber, primary_key=True)
    incident_id: Named[str] = Column(Words, ForeignKey("incident.id", ondelete="CASCADE"))
    at: Named[datetime] = Column(Utc)
    word: Named[str] = Column(Words)
    reason: Named[str | None] = Column(Words)
    actor: Named[str | None] = Column(Words)


feedback = Table("feedback", metadata, _Feedback, Index(None, "incident_id", "id"))


class _Watermark(TypedColumns):
    analyzer: Named[str] = Column(Words, primary_key=True)
    subject: Named[str] = Column(Words, primary_key=True)
    at: Named[datetime] = Column(Utc)


watermark = Table("watermark", metadata, _Watermark)


class _Declared(TypedColumns):
    kind: Named[str] = Column(Words, primary_key=True)
    name: Named[str] = Column(Words, primary_key=True)
    version: Named[int] = Column(primary_key=True, autoincrement=False)
    document: Named[Json] = Column(Document)
    applied_at: Named[datetime] = Column(Utc)
    applied_by: Named[str] = Column(Words)


declared = Table("declared", metadata, _Declared)
"""``document`` null says: from this version on it is removed."""


class _Audit(TypedColumns):
    id: Named[int] = Column(RowNumber, primary_key=True)
    at: Named[datetime] = Column(Utc)
    actor: Named[str] = Column(Words)
    action: Named[str] = Column(Words)
    subject: Named[str] = Column(Words)
    detail: Named[Json] = Column(Document, nullable=False)
    key: Named[str | None] = Column(Words)
    previous: Named[str] = Column(Words)
    hash: Named[str] = Column(Words)


audit = Table("audit", metadata, _Audit, UniqueConstraint("previous"), Index(None, "at"))
"""A chain (see ``audit_chain``): no two entries follow the same one. Triggers refuse changes."""


class _ApiKey(TypedColumns):
    id: Named[str] = Column(Words, primary_key=True)
    name: Named[str] = Column(Words)
    roles: Named[Json] = Column(Document, nullable=False)
    services: Named[Json] = Column(Document)
    service_account: Named[bool]
    digest: Named[str] = Column(Words)
    old_digest: Named[str | None] = Column(Words)
    old_until: Named[datetime | None] = Column(Utc)
    requests_per_minute: Named[int | None] = Column(RowNumber)
    bytes_per_minute: Named[int | None] = Column(RowNumber)
    created_at: Named[datetime] = Column(Utc)
    created_by: Named[str] = Column(Words)
    expires_at: Named[datetime | None] = Column(Utc)
    rotated_at: Named[datetime | None] = Column(Utc)
    revoked_at: Named[datetime | None] = Column(Utc)
    last_used_at: Named[datetime | None] = Column(Utc)


api_key = Table("api_key", metadata, _ApiKey)


class _Maintenance(TypedColumns):
    id: Named[str] = Column(Words, primary_key=True)
    matchers: Named[Json] = Column(Document, nullable=False)
    starts_at: Named[datetime] = Column(Utc)
    ends_at: Named[datetime] = Column(Utc)
    author: Named[str] = Column(Words)
    reason: Named[str] = Column(Words)
    created_at: Named[datetime] = Column(Utc)


maintenance = Table("maintenance", metadata, _Maintenance, Index(None, "ends_at"))


class _Silence(TypedColumns):
    id: Named[str] = Column(Words, primary_key=True)
    matchers: Named[Json] = Column(Document, nullable=False)
    starts_at: Named[datetime] = Column(Utc)
    ends_at: Named[datetime] = Column(Utc)
    author: Named[str] = Column(Words)
    comment: Named[str] = Column(Words)
    created_at: Named[datetime] = Column(Utc)
    updated_at: Named[datetime] = Column(Utc)


silence = Table("silence", metadata, _Silence, Index(None, "ends_at"))


class _AlertGroup(TypedColumns):
    id: Named[str] = Column(Words, primary_key=True)
    key: Named[str] = Column(Words)
    route: Named[str] = Column(Words)
    receiver: Named[str] = Column(Words)
    labels: Named[Json] = Column(Document, nullable=False)
    next_at: Named[datetime | None] = Column(Utc)
    told_at: Named[datetime | None] = Column(Utc)
    escalate_at: Named[datetime | None] = Column(Utc)
    escalated_to: Named[str | None] = Column(Words)
    messages: Named[int]


alert_group = Table("alert_group", metadata, _AlertGroup, Index(None, "next_at"))
"""The timers of a group are its row: a process that ends loses none."""


class _GroupedIncident(TypedColumns):
    group_id: Named[str] = Column(Words, ForeignKey("alert_group.id", ondelete="CASCADE"), primary_key=True)
    incident_id: Named[str] = Column(Words, ForeignKey("incident.id", ondelete="CASCADE"), primary_key=True)
    members: Named[Json] = Column(Document, nullable=False)
    waiting: Named[Json] = Column(Document, nullable=False)
    told_at: Named[datetime | None] = Column(Utc)
    told_severity: Named[str | None] = Column(Words)
    over: Named[bool]
    held_by: Named[str | None] = Column(Words)


grouped_incident = Table("grouped_incident", metadata, _GroupedIncident, Index(None, "incident_id"))


class _OutboxIncident(TypedColumns):
    key: Named[str] = Column(Words, ForeignKey("outbox.key", ondelete="CASCADE"), primary_key=True)
    incident_id: Named[str] = Column(Words, ForeignKey("incident.id", ondelete="CASCADE"), primary_key=True)


outbox_incident = Table("outbox_incident", metadata, _OutboxIncident, Index(None, "incident_id"))
"""Every incident that a message tells of; ``outbox.incident_id`` is the first of them."""


class _ReceivedAlert(TypedColumns):
    fingerprint: Named[str] = Column(Words, primary_key=True)
    labels: Named[Json] = Column(Document, nullable=False)
    annotations: Named[Json] = Column(Document, nullable=False)
    generator_url: Named[str] = Column(Words)
    starts_at: Named[datetime] = Column(Utc)
    ends_at: Named[datetime] = Column(Utc)
    updated_at: Named[datetime] = Column(Utc)
    waiting: Named[bool]
    firing: Named[bool]
    service: Named[str] = Column(Words, server_default="")
    model: Named[str] = Column(Words, server_default="")
    urgent: Named[bool] = Column(Boolean, server_default=false())


received_alert = Table(
    "received_alert",
    metadata,
    _ReceivedAlert,
    Index(None, "waiting", "service", "model"),
    Index(None, "firing", "ends_at"),
)
"""Alerts of other systems as they came in; ``waiting``: not yet taken into an incident, ``urgent``: it is a page."""


class _AlertJournal(TypedColumns):
    id: Named[int] = Column(RowNumber, primary_key=True)
    received_at: Named[datetime] = Column(Utc)
    alerts: Named[int]
    body: Named[bytes] = Column(LargeBinary)


alert_journal = Table("alert_journal", metadata, _AlertJournal)
"""Posts of alerts as they were answered with 200, whole, until each of their alerts is in ``received_alert``."""


class _Lease(TypedColumns):
    name: Named[str] = Column(Words, primary_key=True)
    holder: Named[str] = Column(Words)
    until: Named[datetime] = Column(Utc)
    term: Named[int] = Column(RowNumber)


lease = Table("lease", metadata, _Lease)
"""Who does what only one may do at a time, and until when unless it is said again."""

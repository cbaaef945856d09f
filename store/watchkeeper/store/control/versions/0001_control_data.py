"""The first schema: findings, incidents, outbox, declared documents, audit."""

import sqlalchemy as sa
from alembic import op

from watchkeeper.store.control.column_types import Document, RowNumber, Utc, Words

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("at", Utc, nullable=False),
        sa.Column("actor", Words, nullable=False),
        sa.Column("action", Words, nullable=False),
        sa.Column("subject", Words, nullable=False),
        sa.Column("detail", Document, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"], unique=False)
    op.create_table(
        "declared",
        sa.Column("kind", Words, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", Document, nullable=True),
        sa.Column("applied_at", Utc, nullable=False),
        sa.Column("applied_by", Words, nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "version", name="pk_declared"),
    )
    op.create_table(
        "finding",
        sa.Column("key", Words, nullable=False),
        sa.Column("fingerprint", Words, nullable=False),
        sa.Column("analyzer", Words, nullable=False),
        sa.Column("service", Words, nullable=False),
        sa.Column("model", Words, nullable=False),
        sa.Column("severity", Words, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("as_of", Utc, nullable=False),
        sa.Column("statement", Document, nullable=False),
        sa.Column("snapshot", Document, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_finding"),
    )
    op.create_index("ix_finding_as_of", "finding", ["as_of"], unique=False)
    op.create_index("ix_finding_fingerprint_as_of", "finding", ["fingerprint", "as_of"], unique=False)
    op.create_index("ix_finding_service_as_of", "finding", ["service", "as_of"], unique=False)
    op.create_table(
        "incident",
        sa.Column("id", Words, nullable=False),
        sa.Column("fingerprint", Words, nullable=False),
        sa.Column("episode", sa.Integer(), nullable=False),
        sa.Column("service", Words, nullable=False),
        sa.Column("model", Words, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("data_state", Words, nullable=False),
        sa.Column("opened_at", Utc, nullable=False),
        sa.Column("fired_at", Utc, nullable=True),
        sa.Column("resolved_at", Utc, nullable=True),
        sa.Column("told_severity", Words, nullable=True),
        sa.Column("told_subjects", Document, nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("acknowledged_at", Utc, nullable=True),
        sa.Column("acknowledged_by", Words, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_incident"),
        sa.UniqueConstraint("fingerprint", "episode", name="uq_incident_fingerprint_episode"),
    )
    op.create_index("ix_incident_state_opened_at", "incident", ["state", "opened_at"], unique=False)
    op.create_table(
        "watermark",
        sa.Column("analyzer", Words, nullable=False),
        sa.Column("subject", Words, nullable=False),
        sa.Column("at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("analyzer", "subject", name="pk_watermark"),
    )
    op.create_table(
        "feedback",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("incident_id", Words, nullable=False),
        sa.Column("at", Utc, nullable=False),
        sa.Column("word", Words, nullable=False),
        sa.Column("reason", Words, nullable=True),
        sa.Column("actor", Words, nullable=True),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name="fk_feedback_incident_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_incident_id_id", "feedback", ["incident_id", "id"], unique=False)
    op.create_table(
        "incident_event",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("incident_id", Words, nullable=False),
        sa.Column("at", Utc, nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("actor", Words, nullable=True),
        sa.Column("detail", Document, nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name="fk_incident_event_incident_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_incident_event"),
    )
    op.create_index("ix_incident_event_incident_id_id", "incident_event", ["incident_id", "id"], unique=False)
    op.create_table(
        "incident_member",
        sa.Column("incident_id", Words, nullable=False),
        sa.Column("fingerprint", Words, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("analyzer", Words, nullable=False),
        sa.Column("metric", Words, nullable=False),
        sa.Column("subjects", Document, nullable=False),
        sa.Column("severity", Words, nullable=False),
        sa.Column("grade", Words, nullable=False),
        sa.Column("effect", sa.Double[float](), nullable=True),
        sa.Column("first_key", Words, nullable=False),
        sa.Column("last_key", Words, nullable=False),
        sa.Column("first_at", Utc, nullable=False),
        sa.Column("last_at", Utc, nullable=False),
        sa.Column("held_at", Utc, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("data_state", Words, nullable=False),
        sa.ForeignKeyConstraint(["first_key"], ["finding.key"], name="fk_incident_member_first_key"),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name="fk_incident_member_incident_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["last_key"], ["finding.key"], name="fk_incident_member_last_key"),
        sa.PrimaryKeyConstraint("incident_id", "fingerprint", name="pk_incident_member"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("receiver", Words, nullable=False),
        sa.Column("fingerprint", Words, nullable=False),
        sa.Column("incident_id", Words, nullable=False),
        sa.Column("transition", Words, nullable=False),
        sa.Column("payload", Document, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("next_attempt_at", Utc, nullable=True),
        sa.Column("leased_by", Words, nullable=True),
        sa.Column("leased_until", Utc, nullable=True),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name="fk_outbox_incident_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("key", name="uq_outbox_key"),
    )
    op.create_index("ix_outbox_incident_id", "outbox", ["incident_id"], unique=False)
    op.create_index(
        "ix_outbox_state_receiver_fingerprint_id", "outbox", ["state", "receiver", "fingerprint", "id"], unique=False
    )
    op.create_table(
        "delivery",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("outbox_id", RowNumber, nullable=False),
        sa.Column("at", Utc, nullable=False),
        sa.Column("outcome", Words, nullable=False),
        sa.Column("detail", Words, nullable=False),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name="fk_delivery_outbox_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
    )
    op.create_index("ix_delivery_outbox_id_id", "delivery", ["outbox_id", "id"], unique=False)

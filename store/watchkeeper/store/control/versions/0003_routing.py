"""Groups of incidents and what each was told; silences, maintenance; alerts of other systems; snooze and labels."""

import sqlalchemy as sa
from alembic import op

from watchkeeper.store.control.column_types import Document, Utc, Words

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "maintenance",
        sa.Column("id", Words, nullable=False),
        sa.Column("matchers", Document, nullable=False),
        sa.Column("starts_at", Utc, nullable=False),
        sa.Column("ends_at", Utc, nullable=False),
        sa.Column("author", Words, nullable=False),
        sa.Column("reason", Words, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_maintenance"),
    )
    op.create_index("ix_maintenance_ends_at", "maintenance", ["ends_at"], unique=False)
    op.create_table(
        "silence",
        sa.Column("id", Words, nullable=False),
        sa.Column("matchers", Document, nullable=False),
        sa.Column("starts_at", Utc, nullable=False),
        sa.Column("ends_at", Utc, nullable=False),
        sa.Column("author", Words, nullable=False),
        sa.Column("comment", Words, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("updated_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_silence"),
    )
    op.create_index("ix_silence_ends_at", "silence", ["ends_at"], unique=False)
    op.create_table(
        "alert_group",
        sa.Column("id", Words, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("route", Words, nullable=False),
        sa.Column("receiver", Words, nullable=False),
        sa.Column("labels", Document, nullable=False),
        sa.Column("next_at", Utc, nullable=True),
        sa.Column("told_at", Utc, nullable=True),
        sa.Column("escalate_at", Utc, nullable=True),
        sa.Column("escalated_to", Words, nullable=True),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert_group"),
    )
    op.create_index("ix_alert_group_next_at", "alert_group", ["next_at"], unique=False)
    op.create_table(
        "grouped_incident",
        sa.Column("group_id", Words, nullable=False),
        sa.Column("incident_id", Words, nullable=False),
        sa.Column("members", Document, nullable=False),
        sa.Column("waiting", Document, nullable=False),
        sa.Column("told_at", Utc, nullable=True),
        sa.Column("told_severity", Words, nullable=True),
        sa.Column("over", sa.Boolean(), nullable=False),
        sa.Column("held_by", Words, nullable=True),
        sa.ForeignKeyConstraint(
            ["group_id"], ["alert_group.id"], name="fk_grouped_incident_group_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name="fk_grouped_incident_incident_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "incident_id", name="pk_grouped_incident"),
    )
    op.create_index("ix_grouped_incident_incident_id", "grouped_incident", ["incident_id"], unique=False)
    op.create_table(
        "outbox_incident",
        sa.Column("key", Words, nullable=False),
        sa.Column("incident_id", Words, nullable=False),
        sa.ForeignKeyConstraint(["key"], ["outbox.key"], name="fk_outbox_incident_key", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name="fk_outbox_incident_incident_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", "incident_id", name="pk_outbox_incident"),
    )
    op.create_index("ix_outbox_incident_incident_id", "outbox_incident", ["incident_id"], unique=False)
    op.create_table(
        "received_alert",
        sa.Column("fingerprint", Words, nullable=False),
        sa.Column("labels", Document, nullable=False),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("generator_url", Words, nullable=False),
        sa.Column("starts_at", Utc, nullable=False),
        sa.Column("ends_at", Utc, nullable=False),
        sa.Column("updated_at", Utc, nullable=False),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        sa.Column("firing", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_received_alert"),
    )
    op.create_index("ix_received_alert_waiting_updated_at", "received_alert", ["waiting", "updated_at"], unique=False)
    op.create_index("ix_received_alert_firing_ends_at", "received_alert", ["firing", "ends_at"], unique=False)
    op.add_column("incident", sa.Column("snoozed_until", Utc, nullable=True))
    op.add_column("incident", sa.Column("snoozed_by", Words, nullable=True))
    op.add_column("incident_member", sa.Column("labels", Document, nullable=False, server_default="{}"))

"""Alerts of other systems: a journal of what was posted; whom an alert is about, and whether it is a page."""

import sqlalchemy as sa
from alembic import op

from watchkeeper.store.control.column_types import RowNumber, Utc, Words

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "alert_journal",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("received_at", Utc, nullable=False),
        sa.Column("alerts", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert_journal"),
    )
    op.add_column("received_alert", sa.Column("service", Words, nullable=False, server_default=""))
    op.add_column("received_alert", sa.Column("model", Words, nullable=False, server_default=""))
    op.add_column("received_alert", sa.Column("urgent", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.drop_index("ix_received_alert_waiting_updated_at", "received_alert")
    op.create_index("ix_received_alert_waiting_service_model", "received_alert", ["waiting", "service", "model"])

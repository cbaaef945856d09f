"""Delivery: since when a message waits, whether an attempt may have arrived, what carries it; keys that sign links."""

import sqlalchemy as sa
from alembic import op

from watchkeeper.store.control.column_types import RowNumber, Utc, Words

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("queued_at", Utc, nullable=True))
    op.add_column("outbox", sa.Column("unsure", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("outbox", sa.Column("carried_by", RowNumber, nullable=True))
    op.add_column("outbox", sa.Column("receipt", Words, nullable=True))
    op.execute("UPDATE outbox SET queued_at = created_at")
    # Whatever waits under a lease may have been sent already.
    op.execute("UPDATE outbox SET unsure = (leased_by IS NOT NULL)")
    with op.batch_alter_table("outbox") as outbox:
        outbox.alter_column("queued_at", nullable=False)
        outbox.alter_column("unsure", server_default=None)
    op.create_index("ix_outbox_carried_by", "outbox", ["carried_by"])
    op.create_table(
        "signing_key",
        sa.Column("name", Words, nullable=False),
        sa.Column("secret", Words, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_signing_key"),
    )

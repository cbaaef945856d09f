"""Leases: of several servers on the same control data, one at a time evaluates."""

import sqlalchemy as sa
from alembic import op

from watchkeeper.store.control.column_types import RowNumber, Utc, Words

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "lease",
        sa.Column("name", Words, nullable=False),
        sa.Column("holder", Words, nullable=False),
        sa.Column("until", Utc, nullable=False),
        sa.Column("term", RowNumber, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
    )

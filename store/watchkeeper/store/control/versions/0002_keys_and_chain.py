"""API keys; the audit log becomes a chain, the entries that are there included, and refuses changes."""

import sqlalchemy as sa
from alembic import op

from watchkeeper.store.control.audit_chain import START, link
from watchkeeper.store.control.column_types import Document, RowNumber, Utc, Words
from watchkeeper.store.control.records import AuditEntry

revision = "0002"
down_revision = "0001"

OLD = sa.table(
    "audit",
    sa.column("id", RowNumber),
    sa.column("at", Utc),
    sa.column("actor", Words),
    sa.column("action", Words),
    sa.column("subject", Words),
    sa.column("detail", Document),
    sa.column("previous", Words),
    sa.column("hash", Words),
)


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", Words, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("roles", Document, nullable=False),
        sa.Column("services", Document, nullable=True),
        sa.Column("service_account", sa.Boolean(), nullable=False),
        sa.Column("digest", Words, nullable=False),
        sa.Column("old_digest", Words, nullable=True),
        sa.Column("old_until", Utc, nullable=True),
        sa.Column("requests_per_minute", RowNumber, nullable=True),
        sa.Column("bytes_per_minute", RowNumber, nullable=True),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("created_by", Words, nullable=False),
        sa.Column("expires_at", Utc, nullable=True),
        sa.Column("rotated_at", Utc, nullable=True),
        sa.Column("revoked_at", Utc, nullable=True),
        sa.Column("last_used_at", Utc, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
    )
    for name in ("key", "previous", "hash"):
        op.add_column("audit", sa.Column(name, Words, nullable=True))
    _chain(op.get_bind())
    with op.batch_alter_table("audit") as audit:
        audit.alter_column("previous", nullable=False)
        audit.alter_column("hash", nullable=False)
        audit.create_unique_constraint("uq_audit_previous", ["previous"])
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


def _chain(connection: sa.Connection) -> None:
    previous = START
    columns = (OLD.c.id, OLD.c.at, OLD.c.actor, OLD.c.action, OLD.c.subject, OLD.c.detail)
    for number, *told in connection.execute(sa.select(*columns).order_by(OLD.c.id)).all():
        digest = link(number, AuditEntry(*told), previous)
        connection.execute(OLD.update().where(OLD.c.id == number).values(previous=previous, hash=digest))
        previous = digest


APPEND_ONLY = {
    "sqlite": [
        f"""CREATE TRIGGER audit_no_{word} BEFORE {word} ON audit
            BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END"""
        for word in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        """CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'the audit log is only ever added to'; END $$""",
        """CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
           FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()""",
    ],
}

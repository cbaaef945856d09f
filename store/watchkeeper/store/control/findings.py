"""The findings, each stored once under its key, with the snapshot that its number recomputes from."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import literal, select

from watchkeeper.schemas.findings import Finding, Severity
from watchkeeper.store import statements
from watchkeeper.store.control.connection import Transaction
from watchkeeper.store.control.tables import finding as table

CHUNK = 500
"""Keys in one query; SQLite takes 32 766 parameters, older ones 999."""


def insert(tx: Transaction, findings: Iterable[Finding]) -> list[Finding]:
    """Store those that are not stored yet, and give these."""
    wanted: dict[str, Finding] = {}
    for finding in findings:
        wanted.setdefault(finding.key, finding)
    keys, known = [*wanted], set[str]()
    for at in range(0, len(keys), CHUNK):
        known |= {key for (key,) in tx.rows(select(table.c.key).where(table.c.key.in_(keys[at : at + CHUNK])))}
    fresh = [finding for key, finding in wanted.items() if key not in known]
    if fresh:
        tx.write(tx.insert(table).on_conflict_do_nothing(), [_row(finding) for finding in fresh])
    return fresh


def get(tx: Transaction, keys: Iterable[str], *, snapshots: bool = True) -> dict[str, Finding]:
    """Give the findings of these keys, with their evidence snapshots; a key that is not here is left out."""
    wanted = sorted(set(keys))
    found: dict[str, Finding] = {}
    for at in range(0, len(wanted), CHUNK):
        # Snapshots are most of the bytes: a list of incidents does not read them.
        snapshot = table.c.snapshot if snapshots else literal(None, table.c.snapshot.type)
        query = select(table.c.key, table.c.statement, snapshot).where(table.c.key.in_(wanted[at : at + CHUNK]))
        found |= {key: statements.read(statement, inputs or {}) for key, statement, inputs in tx.rows(query)}
    return found


def recent(
    tx: Transaction,
    *,
    service: str | None = None,
    severity: Severity | None = None,
    since: datetime | None = None,
    limit: int = 100,
) -> list[Finding]:
    """List the newest findings first, without their snapshots (``get`` gives these)."""
    query = select(table.c.statement).order_by(table.c.as_of.desc(), table.c.key).limit(limit)
    if service is not None:
        query = query.where(table.c.service == service)
    if severity is not None:
        query = query.where(table.c.severity == severity.value)
    if since is not None:
        query = query.where(table.c.as_of >= since)
    return [statements.read(statement, {}) for (statement,) in tx.rows(query)]


def standing(tx: Transaction, fingerprints: Iterable[str], until: datetime) -> list[Finding]:
    """Give, for each condition, what was last said of it by then while it held, with its snapshot."""
    newest: dict[str, str] = {}
    for fingerprint in sorted(set(fingerprints)):
        held = select(table.c.key).where(table.c.fingerprint == fingerprint, table.c.as_of <= until, table.c.active)
        found = tx.rows(held.order_by(table.c.as_of.desc(), table.c.key).limit(1)).scalar()
        if found is not None:
            newest[fingerprint] = found
    known = get(tx, newest.values())
    return [known[one] for one in newest.values()]


def _row(finding: Finding) -> dict[str, object]:
    return {
        "key": finding.key,
        "fingerprint": finding.fingerprint,
        "analyzer": finding.analyzer,
        "service": finding.service,
        "model": finding.model,
        "severity": finding.severity.value,
        "active": finding.active,
        "as_of": finding.as_of,
        "statement": statements.of(finding),
        "snapshot": msgspec.to_builtins(finding.evidence.snapshot),
    }

"""What people said of the incidents that they were told of."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, insert, select

from watchkeeper.store.control.connection import Transaction
from watchkeeper.store.control.records import Verdict
from watchkeeper.store.control.tables import feedback as table
from watchkeeper.store.control.tables import incident, member

ALERTS = ("page", "ticket")


def add(tx: Transaction, incident_id: str, verdict: Verdict) -> None:
    """Store one verdict; nothing is overwritten, the last one of an incident counts."""
    row = {"at": verdict.at, "word": verdict.word, "reason": verdict.reason, "actor": verdict.by}
    tx.write(insert(table).values(**row, incident_id=incident_id))


def of_incidents(tx: Transaction, incident_ids: Iterable[str]) -> dict[str, list[Verdict]]:
    """Give the verdicts on each of these incidents, the oldest first."""
    said: dict[str, list[Verdict]] = {incident_id: [] for incident_id in incident_ids}
    query = select(table).where(table.c.incident_id.in_(list(said))).order_by(table.c.id)
    for row in tx.rows(query).mappings():
        said[row["incident_id"]].append(Verdict(row["at"], row["word"], row["reason"], row["actor"]))
    return said


def counts(tx: Transaction) -> list[tuple[str, str | None, int]]:
    """Count, for each (analyzer, last word), the incidents that fired; word None: nobody said anything.

    An incident with findings of two analyzers counts for both.
    """
    last = select(table.c.incident_id, func.max(table.c.id).label("id")).group_by(table.c.incident_id).subquery()
    word = select(table.c.incident_id, table.c.word).join(last, last.c.id == table.c.id).subquery()
    fired = (
        select(member.c.analyzer, member.c.incident_id)
        .join(incident, incident.c.id == member.c.incident_id)
        .where(incident.c.fired_at.is_not(None), member.c.severity.in_(ALERTS))
        .distinct()
        .subquery()
    )
    query = (
        select(fired.c.analyzer, word.c.word, func.count())
        .select_from(fired.outerjoin(word, word.c.incident_id == fired.c.incident_id))
        .group_by(fired.c.analyzer, word.c.word)
        .order_by(fired.c.analyzer)
    )
    return [(analyzer, said, count) for analyzer, said, count in tx.rows(query)]

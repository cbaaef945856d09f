"""Messages that must reach a receiver: written with the change that they tell of, leased, attempted, recorded."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import and_, exists, func, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from watchkeeper.store.control.connection import Transaction, as_record
from watchkeeper.store.control.records import Attempt, Backlog, Message, Sending
from watchkeeper.store.control.tables import delivery
from watchkeeper.store.control.tables import outbox as table


def put(tx: Transaction, message: Message) -> bool:
    """Add a message unless its key is there already; tell whether it was added."""
    return tx.insert_if_absent(
        table,
        {
            "key": message.key,
            "receiver": message.receiver,
            "fingerprint": message.fingerprint,
            "incident_id": message.incident_id,
            "transition": message.transition,
            "payload": message.payload,
            "state": Sending.WAITING.value,
            "attempts": 0,
            "created_at": message.created_at,
        },
    )


def due_receivers(tx: Transaction, now: datetime) -> list[str]:
    """Name the receivers that have a message to attempt now."""
    return [
        name for (name,) in tx.rows(select(table.c.receiver).where(_due(now)).distinct().order_by(table.c.receiver))
    ]


def lease(tx: Transaction, receiver: str, now: datetime, holder: str, length: timedelta) -> Message | None:
    """Take the oldest message that is due for this receiver; nobody else gets it until the lease ends."""
    oldest = select(table.c.id).where(_due(now), table.c.receiver == receiver).order_by(table.c.id).limit(1)
    for (row_id,) in tx.rows(oldest):
        # Another sender may have taken it since: its lease makes this touch no row.
        taken = update(table).where(table.c.id == row_id, _due(now)).values(leased_by=holder, leased_until=now + length)
        if tx.write(taken):
            return _read(tx, table.c.id == row_id)[0]
    return None


def release(tx: Transaction, holder: str) -> int:
    """Give back what this holder had taken before it stopped, so that it need not wait for the lease to end."""
    free = update(table).where(table.c.leased_by == holder).values(leased_by=None, leased_until=None)
    return tx.write(free)


def record(tx: Transaction, key: str, attempt: Attempt, state: Sending, next_attempt_at: datetime | None) -> None:
    """Store the result of one attempt and end the lease."""
    done = update(table).where(table.c.key == key)
    tx.write(
        done.values(
            state=state.value,
            attempts=table.c.attempts + 1,
            next_attempt_at=next_attempt_at,
            leased_by=None,
            leased_until=None,
        )
    )
    row_id = select(table.c.id).where(table.c.key == key).scalar_subquery()
    tx.write(insert(delivery).values(outbox_id=row_id, at=attempt.at, outcome=attempt.outcome, detail=attempt.detail))


def of_incident(tx: Transaction, incident_id: str) -> list[Message]:
    """Give every message about one incident with its attempts, the oldest first."""
    return _read(tx, table.c.incident_id == incident_id)


def backlog(tx: Transaction) -> Backlog:
    """Count what has not arrived, over all receivers."""
    query = select(table.c.state, func.count(), func.min(table.c.created_at)).group_by(table.c.state)
    states = {state: (count, oldest) for state, count, oldest in tx.rows(query)}
    waiting, oldest = states.get(Sending.WAITING.value, (0, None))
    return Backlog(waiting, states.get(Sending.DEAD.value, (0, None))[0], oldest)


def _due(now: datetime) -> ColumnElement[bool]:
    """Waiting, its time has come, nobody holds it, and nothing older about the same incident goes first."""
    older = table.alias("older")
    first = ~exists().where(
        older.c.state == Sending.WAITING.value,
        older.c.receiver == table.c.receiver,
        older.c.fingerprint == table.c.fingerprint,
        older.c.id < table.c.id,
    )
    return and_(
        table.c.state == Sending.WAITING.value,
        or_(table.c.next_attempt_at.is_(None), table.c.next_attempt_at <= now),
        or_(table.c.leased_until.is_(None), table.c.leased_until <= now),
        first,
    )


def _read(tx: Transaction, which: ColumnElement[bool]) -> list[Message]:
    rows = list(tx.rows(select(table).where(which).order_by(table.c.id)).mappings())
    attempts: dict[int, list[Attempt]] = {}
    chosen = select(delivery).where(delivery.c.outbox_id.in_([row["id"] for row in rows])).order_by(delivery.c.id)
    for row in tx.rows(chosen).mappings():
        attempts.setdefault(row["outbox_id"], []).append(as_record(Attempt, row))
    return [
        Message(
            key=row["key"],
            receiver=row["receiver"],
            fingerprint=row["fingerprint"],
            incident_id=row["incident_id"],
            transition=row["transition"],
            payload=row["payload"],
            created_at=row["created_at"],
            state=Sending(row["state"]),
            attempts=row["attempts"],
            next_attempt_at=row["next_attempt_at"],
            deliveries=tuple(attempts.get(row["id"], ())),
        )
        for row in rows
    ]

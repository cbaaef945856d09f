"""Messages that must reach a receiver: written with the change that they tell of, leased, attempted, recorded.

Messages of one receiver about one (service, model) go in order: what is newer waits for what is older. Old messages
about one may be carried by the newest: they wait no longer by themselves and share what becomes of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import and_, exists, func, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from watchkeeper.store.control.connection import Transaction, as_record
from watchkeeper.store.control.records import Attempt, Backlog, Leased, Message, Result, Sending
from watchkeeper.store.control.tables import delivery, outbox_incident
from watchkeeper.store.control.tables import outbox as table

LONGEST_WAIT = timedelta(hours=1)
"""No attempt is ever put off for longer: what is due later than that was written before the clock went back."""


def put(tx: Transaction, message: Message, incidents: Iterable[str] = ()) -> bool:
    """Add a message unless its key is there already; tell whether it was added. ``incidents``: all that it tells of."""
    added = tx.insert_if_absent(
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
            "queued_at": message.queued_at,
            "unsure": False,
        },
    )
    others = sorted({*incidents} - {message.incident_id}) if added else []
    if others:
        tx.write(insert(outbox_incident), [{"key": message.key, "incident_id": one} for one in others])
    return added


def count_of(tx: Transaction, incident_id: str, receiver: str) -> int:
    """Count the messages of which this incident is the first, for one receiver."""
    own = and_(table.c.incident_id == incident_id, table.c.receiver == receiver)
    return tx.rows(select(func.count()).where(own)).scalar() or 0


def told_of(tx: Transaction, fingerprint: str, incidents: Iterable[str]) -> list[str]:
    """Name the receivers that have messages of one group about these incidents, a fallback that stood in included."""
    own = and_(table.c.fingerprint == fingerprint, table.c.incident_id.in_([*incidents]))
    first = func.min(table.c.id)
    rows = tx.rows(select(table.c.receiver, first).where(own).group_by(table.c.receiver).order_by(first))
    return [receiver for receiver, _ in rows]


def due_receivers(tx: Transaction, now: datetime) -> list[str]:
    """Name the receivers that have a message to attempt now."""
    return [
        name for (name,) in tx.rows(select(table.c.receiver).where(_due(now)).distinct().order_by(table.c.receiver))
    ]


def lease(
    tx: Transaction, receiver: str, now: datetime, holder: str, length: timedelta, *, late: timedelta | None = None
) -> Leased | None:
    """Take the oldest message that is due for this receiver; nobody else gets it until the lease ends.

    Where it waits for longer than ``late``, the newest one about the same thing is taken in its place and carries
    it, with all between. One that may have arrived is never carried: it goes again by itself, under its own key.
    """
    oldest = (
        select(table.c.id, table.c.fingerprint, table.c.queued_at, table.c.unsure, table.c.attempts)
        .where(_due(now), table.c.receiver == receiver)
        .order_by(table.c.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=table)
    )
    for row_id, fingerprint, queued_at, unsure, attempts in tx.rows(oldest):
        chosen = row_id
        if late is not None and not unsure and now - queued_at >= late:
            chosen = _carry(tx, row_id, receiver, fingerprint, attempts)
        # Another sender may have taken it since: its lease makes this touch no row.
        mine = {"leased_by": holder, "leased_until": now + length, "unsure": True}
        if not tx.write(update(table).where(table.c.id == chosen, _due(now)).values(mine)):
            return None
        message = _read(tx, table.c.id == chosen)[0]
        carried = _read(tx, table.c.carried_by == chosen)
        return Leased(message, tuple(carried), _receipt(tx, receiver, fingerprint, chosen), unsure)
    return None


def release(tx: Transaction, holder: str) -> int:
    """Give back what this holder had taken before it stopped, so that it need not wait for the lease to end."""
    free = update(table).where(table.c.leased_by == holder).values(leased_by=None, leased_until=None)
    return tx.write(free)


def hurry(tx: Transaction, now: datetime, longest: timedelta) -> int:
    """Make everything due that waits for another attempt: the clock went back, its times mean nothing any more.

    A lease ends after ``longest`` at the latest, which is how long one may be.
    """
    held = update(table).where(table.c.state == Sending.WAITING.value, table.c.leased_until > now + longest)
    tx.write(held.values(leased_until=now + longest))
    waits = update(table).where(table.c.state == Sending.WAITING.value, table.c.next_attempt_at > now)
    return tx.write(waits.values(next_attempt_at=now))


def doubt(tx: Transaction) -> int:
    """Say of all that waits that it may have arrived: a backup knows of no later attempt."""
    return tx.write(update(table).where(table.c.state == Sending.WAITING.value).values(unsure=True))


def newest_attempt(tx: Transaction) -> datetime | None:
    """Give the time of the attempt that was recorded last: a clock that is behind it went back."""
    return tx.rows(select(delivery.c.at).order_by(delivery.c.id.desc()).limit(1)).scalar()


def holds(tx: Transaction, key: str, holder: str) -> bool:
    """Tell whether a message that this holder took is still its own: where its lease ended, another one may have it."""
    return tx.rows(select(table.c.id).where(table.c.key == key, table.c.leased_by == holder)).scalar() is not None


def record(tx: Transaction, key: str, holder: str, result: Result) -> bool:
    """Store the result of one attempt, for what the message carries as well, and end the lease.

    False where it is not this holder's any more: what became of the message is for another one to say, and only that
    there was this attempt is stored.
    """
    (row_id,) = tx.rows(select(table.c.id).where(table.c.key == key)).one()
    values = {
        "state": result.state.value,
        "next_attempt_at": result.next_attempt_at,
        "unsure": result.unsure,
        "leased_by": None,
        "leased_until": None,
    }
    changed = update(table).values(attempts=table.c.attempts + 1, **values)
    attempt = result.attempt
    if tx.write(changed.where(table.c.id == row_id, table.c.leased_by == holder)) == 0:
        detail = f"after its lease had ended. {attempt.detail}".rstrip(". ")
        tx.write(insert(delivery).values(outbox_id=row_id, at=attempt.at, outcome=attempt.outcome, detail=detail))
        return False
    tx.write(changed.where(table.c.carried_by == row_id))
    if result.receipt is not None:
        tx.write(update(table).where(table.c.id == row_id).values(receipt=result.receipt))
    both = or_(table.c.id == row_id, table.c.carried_by == row_id)
    for one, other in [*tx.rows(select(table.c.id, table.c.carried_by).where(both).order_by(table.c.id))]:
        detail = attempt.detail if other is None else f"with {key}. {attempt.detail}".rstrip(". ")
        tx.write(insert(delivery).values(outbox_id=one, at=attempt.at, outcome=attempt.outcome, detail=detail))
    return True


def of_incident(tx: Transaction, incident_id: str) -> list[Message]:
    """Give every message about one incident with its attempts, the oldest first."""
    other = select(outbox_incident.c.key).where(outbox_incident.c.incident_id == incident_id)
    return _read(tx, or_(table.c.incident_id == incident_id, table.c.key.in_(other)))


def newest_delivered(tx: Transaction, receivers: Iterable[str], since: datetime) -> list[Message]:
    """Give, for each of these receivers, the newest delivered message about each incident that is open or ended since.

    A receiver that keeps no state of its own (Alertmanager) is told these again and again.
    """
    later = table.alias("later")
    newest = ~exists().where(
        later.c.state == Sending.DELIVERED.value,
        later.c.receiver == table.c.receiver,
        later.c.fingerprint == table.c.fingerprint,
        later.c.id > table.c.id,
    )
    standing = or_(table.c.transition != "resolved", table.c.queued_at >= since)
    own = and_(table.c.state == Sending.DELIVERED.value, table.c.receiver.in_([*receivers]))
    return _read(tx, and_(own, standing, newest))


def attempts(tx: Transaction) -> dict[tuple[str, str, str], int]:
    """Count attempts by receiver, what came of them (delivered, retry, dead) and the transition that they told of."""
    by = (table.c.receiver, delivery.c.outcome, table.c.transition)
    query = select(*by, func.count()).join_from(delivery, table, delivery.c.outbox_id == table.c.id).group_by(*by)
    return {(receiver, outcome, transition): count for receiver, outcome, transition, count in tx.rows(query)}


def backlog(tx: Transaction) -> Backlog:
    """Count what has not arrived, over all receivers."""
    query = select(table.c.state, func.count(), func.min(table.c.created_at)).group_by(table.c.state)
    states = {state: (count, oldest) for state, count, oldest in tx.rows(query)}
    waiting, oldest = states.get(Sending.WAITING.value, (0, None))
    return Backlog(waiting, states.get(Sending.DEAD.value, (0, None))[0], oldest)


def _carry(tx: Transaction, oldest: int, receiver: str, fingerprint: str, attempts: int) -> int:
    """Let the newest waiting message about the same thing carry the others; give its row."""
    waiting = and_(
        table.c.state == Sending.WAITING.value, table.c.receiver == receiver, table.c.fingerprint == fingerprint
    )
    newest = tx.rows(select(func.max(table.c.id)).where(waiting)).scalar() or oldest
    if newest != oldest:
        tx.write(update(table).where(waiting, table.c.id < newest).values(carried_by=newest))
        tx.write(update(table).where(table.c.id == newest).values(attempts=attempts))
    return newest


def _receipt(tx: Transaction, receiver: str, fingerprint: str, before: int) -> str | None:
    """Give what the receiver called the last message about this, unless that was over since."""
    same = and_(table.c.receiver == receiver, table.c.fingerprint == fingerprint, table.c.id < before)
    over = tx.rows(select(func.max(table.c.id)).where(same, table.c.transition == "resolved")).scalar() or 0
    known = and_(same, table.c.id > over, table.c.receipt.is_not(None))
    return tx.rows(select(table.c.receipt).where(known).order_by(table.c.id.desc()).limit(1)).scalar()


def _due(now: datetime) -> ColumnElement[bool]:
    """Waiting by itself, its time has come, nobody holds it, and nothing older about the same thing goes first."""
    older = table.alias("older")
    first = ~exists().where(
        older.c.state == Sending.WAITING.value,
        older.c.receiver == table.c.receiver,
        older.c.fingerprint == table.c.fingerprint,
        older.c.carried_by.is_(None),
        older.c.id < table.c.id,
    )
    at, until = table.c.next_attempt_at, table.c.leased_until
    return and_(
        table.c.state == Sending.WAITING.value,
        table.c.carried_by.is_(None),
        or_(at.is_(None), at <= now, at > now + LONGEST_WAIT),
        or_(until.is_(None), until <= now, until > now + LONGEST_WAIT),
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
            queued_at=row["queued_at"],
            state=Sending(row["state"]),
            attempts=row["attempts"],
            next_attempt_at=row["next_attempt_at"],
            unsure=row["unsure"],
            receipt=row["receipt"],
            deliveries=tuple(attempts.get(row["id"], ())),
        )
        for row in rows
    ]

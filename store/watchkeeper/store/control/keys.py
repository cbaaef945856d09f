"""API keys: what is known of each but its secret, of which only a hash is kept.

A key reads ``wk_ID_SECRET``. The secret holds 256 random bits, so one round of SHA-256 is enough: nobody can try them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update

from watchkeeper.schemas.access import Role
from watchkeeper.schemas.errors import InputError, NotFound
from watchkeeper.schemas.findings import Json
from watchkeeper.store.control import audit
from watchkeeper.store.control.connection import Transaction, as_record
from watchkeeper.store.control.records import AuditEntry
from watchkeeper.store.control.tables import api_key as table

PREFIX = "wk"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key. ``services`` None: all. After a rotation the old secret holds until ``old_until``."""

    id: str
    name: str
    roles: tuple[Role, ...]
    services: tuple[str, ...] | None
    service_account: bool
    digest: str
    created_at: datetime
    created_by: str
    old_digest: str | None = None
    old_until: datetime | None = None
    requests_per_minute: int | None = None
    bytes_per_minute: int | None = None
    expires_at: datetime | None = None
    rotated_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def state(self, now: datetime) -> str:
        """Say whether it can be used: active, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def opens(self, digest: str, now: datetime) -> bool:
        """Whether a secret of this hash may be used now; takes as long for a wrong one as for the right one."""
        current = hmac.compare_digest(digest, self.digest)
        grace = self.old_digest is not None and self.old_until is not None and now < self.old_until
        former = hmac.compare_digest(digest, self.old_digest or "") and grace
        return (current or former) and self.state(now) == "active"

    def may_have_changed(self, digest: str, now: datetime) -> bool:
        """Whether a secret of this hash is neither of those known here: it may be the one of a rotation since."""
        known = hmac.compare_digest(digest, self.digest) | hmac.compare_digest(digest, self.old_digest or "")
        return not known and self.state(now) == "active"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a new key is to be allowed."""

    name: str
    roles: tuple[Role, ...]
    services: tuple[str, ...] | None = None
    service_account: bool = False
    requests_per_minute: int | None = None
    bytes_per_minute: int | None = None
    expires_at: datetime | None = None


def digest_of(key: str | bytes) -> str:
    """Hash a whole key as it is kept."""
    return hashlib.sha256(key if isinstance(key, bytes) else key.encode()).hexdigest()


def id_of(key: str) -> str | None:
    """Give the public part of a key, or None for what is no key of ours.

    >>> id_of("wk_3fa9c2d1_secret_with_underscores"), id_of("else")
    ('3fa9c2d1', None)
    """
    parts = key.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == PREFIX else None


def create(tx: Transaction, grant: Grant, now: datetime, actor: str) -> tuple[ApiKey, str]:
    """Make a key; its text is given once and never again."""
    if not grant.roles:
        raise InputError("a key needs at least one role: ingest, viewer, operator or admin")
    if Role.ADMIN in grant.roles and grant.services is not None:
        raise InputError("an admin key is for all services: leave the services out, or give another role")
    tx.serialize("keys")
    if any(key.name == grant.name and key.state(now) == "active" for key in every(tx)):
        raise InputError(
            f"there is an active key named {grant.name!r}: rotate or revoke that one, or take another name"
        )
    key_id, text = _new_text()
    row: dict[str, Any] = {
        "id": key_id,
        "name": grant.name,
        "roles": [role.value for role in grant.roles],
        "services": None if grant.services is None else [*grant.services],
        "service_account": grant.service_account,
        "digest": digest_of(text),
        "requests_per_minute": grant.requests_per_minute,
        "bytes_per_minute": grant.bytes_per_minute,
        "expires_at": grant.expires_at,
    }
    tx.write(insert(table).values(**row, created_at=now, created_by=actor))
    told: dict[str, Json] = {"name": grant.name, "roles": row["roles"], "services": row["services"]}
    told |= {"service_account": grant.service_account, "expires": _text(grant.expires_at)}
    audit.add(tx, AuditEntry(now, actor, "key.created", key_id, told))
    return get(tx, key_id), text


def rotate(tx: Transaction, wanted: str, grace: timedelta, now: datetime, actor: str) -> tuple[ApiKey, str]:
    """Give a key (by id or name) a new secret; the old one holds for ``grace`` longer."""
    key = _changeable(tx, wanted, now)
    _, text = _new_text(key.id)
    until = now + grace
    values = {"digest": digest_of(text), "old_digest": key.digest, "old_until": until, "rotated_at": now}
    tx.write(update(table).where(table.c.id == key.id).values(**values))
    audit.add(tx, AuditEntry(now, actor, "key.rotated", key.id, {"name": key.name, "old_until": _text(until)}))
    return get(tx, key.id), text


def revoke(tx: Transaction, wanted: str, now: datetime, actor: str) -> ApiKey:
    """End a key (by id or name), for good."""
    key = _changeable(tx, wanted, now)
    tx.write(update(table).where(table.c.id == key.id).values(revoked_at=now))
    audit.add(tx, AuditEntry(now, actor, "key.revoked", key.id, {"name": key.name}))
    return get(tx, key.id)


def every(tx: Transaction) -> list[ApiKey]:
    """Give all keys, revoked ones included, the oldest first."""
    return [
        as_record(ApiKey, row) for row in tx.rows(select(table).order_by(table.c.created_at, table.c.id)).mappings()
    ]


def get(tx: Transaction, key_id: str) -> ApiKey:
    """Give one key by its id."""
    row = tx.rows(select(table).where(table.c.id == key_id)).mappings().first()
    if row is None:
        raise NotFound(f"there is no key {key_id!r}: see `watchkeeper keys list`")
    return as_record(ApiKey, row)


def touch(tx: Transaction, used: Mapping[str, datetime]) -> None:
    """Note when keys were last used."""
    for key_id, at in used.items():
        tx.write(update(table).where(table.c.id == key_id).values(last_used_at=at))


def _changeable(tx: Transaction, wanted: str, now: datetime) -> ApiKey:
    tx.serialize("keys")
    found = _named(every(tx), wanted)
    usable = next((key for key in found if key.state(now) != "revoked"), None)
    if usable is None:
        states = "it is revoked" if found else "see `watchkeeper keys list`"
        raise NotFound(f"there is no key {wanted!r} that could be changed: {states}")
    return usable


def _named(keys: Iterable[ApiKey], wanted: str) -> list[ApiKey]:
    return [key for key in keys if wanted in {key.id, key.name}]


def _new_text(key_id: str | None = None) -> tuple[str, str]:
    key_id = key_id or secrets.token_hex(5)
    return key_id, f"{PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()

"""The secrets that links are signed with, one a purpose, made at the first need and shared by all servers."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import select

from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.tables import signing_key as table


def key(control: Control, name: str, now: datetime) -> bytes:
    """Give the secret of one purpose: 256 random bits."""
    known = select(table.c.secret).where(table.c.name == name)
    with control.snapshot() as tx:
        found = tx.rows(known).scalar()
    if found is None:
        with control.transaction() as tx:
            tx.insert_if_absent(table, {"name": name, "secret": secrets.token_hex(32), "created_at": now})
            found = tx.rows(known).scalar_one()
    return bytes.fromhex(found)

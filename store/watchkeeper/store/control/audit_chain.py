"""The hash chain of the audit log. Pure, and frozen: a changed rule would make every older entry look forged.

An entry's hash is SHA-256 over its canonical JSON (sorted names, no spaces, ASCII) together with its number and the
hash of the entry before it. So a changed, removed or inserted entry breaks the chain at its place. What a chain cannot
show by itself: entries cut off at its end, or a chain that someone made anew from the start. Against that, keep the
newest hash somewhere else and give it to ``watchkeeper audit verify --head``.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC

from watchkeeper.store.control.column_types import without_nul
from watchkeeper.store.control.records import AuditEntry

START = "0" * 64
"""What stands for the hash before the first entry."""


def link(number: int, entry: AuditEntry, previous: str) -> str:
    """Give the hash of one entry that follows the entry with hash ``previous``.

    >>> from datetime import datetime
    >>> entry = AuditEntry(datetime(2026, 3, 1, tzinfo=UTC), "ada", "key.created", "k1")
    >>> link(1, entry, START)[:16]
    '0765996fc2474751'
    """
    content = {
        "number": number,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": without_nul(entry.actor),
        "key": None if entry.key is None else without_nul(entry.key),
        "action": without_nul(entry.action),
        "subject": without_nul(entry.subject),
        "detail": entry.detail,
        "previous": previous,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

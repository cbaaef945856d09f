"""Times as a caller of the HTTP API writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from watchkeeper.schemas.errors import InputError

_OFFSET = re.compile(r" (\d\d:?\d\d)$")
"""An unescaped + of a time zone's offset arrives as a space."""


def moment(name: str, text: str | None) -> datetime | None:
    """Read the ISO 8601 time of a parameter; without a zone it is UTC.

    >>> moment("end", "2026-01-31T01:00:00 01:00").isoformat()
    '2026-01-31T01:00:00+01:00'
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(_OFFSET.sub(r"+\1", text))
    except ValueError:
        raise InputError(f"{name}={text!r} is not an ISO 8601 time, as in 2026-01-31T00:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

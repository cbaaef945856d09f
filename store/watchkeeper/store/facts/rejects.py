"""What could not be stored: kept byte for byte with its reason, until it is corrected and sent again.

A reject counts as open until it is replayed. A row that fails again is a new reject with its new reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from watchkeeper.store.facts.connection import FactStore, first


@dataclass(frozen=True, slots=True)
class Which:
    """Which rejects: of a service, of a kind, since a time (naive UTC); open ones unless ``replayed`` ones too."""

    service: str | None = None
    kind: str | None = None
    since: datetime | None = None
    replayed: bool = False


_WHERE = """
    ($service IS NULL OR service = $service) AND ($kind IS NULL OR kind = $kind)
    AND ($since IS NULL OR received_at >= $since) AND ($replayed OR replayed_at IS NULL)
"""


def listed(facts: FactStore, which: Which, limit: int) -> pl.DataFrame:
    """Give the oldest rejects first; ``row_index`` is null where ``raw`` is a whole body, not one of its rows."""
    return facts.read(
        f"SELECT * FROM rejects WHERE {_WHERE} ORDER BY received_at, batch, row_index LIMIT $limit",
        _parameters(which) | {"limit": limit},
    )


def reasons(facts: FactStore, which: Which) -> pl.DataFrame:
    """Count by service, kind, field and reason, the most frequent first."""
    return facts.read(
        f"""SELECT service, kind, field, reason, count(*) AS n, max(received_at) AS last_at FROM rejects
            WHERE {_WHERE} GROUP BY ALL ORDER BY n DESC, reason LIMIT 100""",
        _parameters(which),
    )


def mark_replayed(facts: FactStore, ids: Sequence[str], at: datetime) -> int:
    """Close these rejects, so that nobody sends them a second time; give how many were still open."""
    with facts.transaction() as connection:
        row = first(
            connection,
            "UPDATE rejects SET replayed_at = $at WHERE replayed_at IS NULL AND list_contains($ids, id)",
            {"at": at, "ids": list(ids)},
        )
    return int(str(row[0]))


def _parameters(which: Which) -> dict[str, object]:
    return {"service": which.service, "kind": which.kind, "since": which.since, "replayed": which.replayed}

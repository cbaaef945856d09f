"""Halves that wait: of a prediction whose request and response came apart, the one that is there already.

They are kept, joined and told alone in the transaction that moves the inbox's watermark, so that no crash loses one or
counts it twice. The key of one that was told alone stays for a day: what comes for it then is late, not new.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import duckdb
import polars as pl

from watchkeeper.store.clock import utc
from watchkeeper.store.facts.batch import HELD_COLUMNS, Holding, complete
from watchkeeper.store.facts.connection import FactStore, insert

REMEMBERED = timedelta(days=1)
FAILURES_KEPT = timedelta(minutes=10)
_HALVES = "part IN ('request', 'response')"
_SAME = "key IN (SELECT unnest($keys))"


def found(facts: FactStore, keys: Sequence[str]) -> pl.DataFrame:
    """Give what is kept under these keys: key, part, told, body."""
    return facts.read(f"SELECT key, part, told, body FROM held WHERE {_SAME}", {"keys": list(keys)})


def due(facts: FactStore, before: datetime, limit: int) -> pl.DataFrame:
    """Give the oldest of those that came before a time and were not told yet: key, held_at, body."""
    return facts.read(
        f"""SELECT key, held_at, body FROM held WHERE NOT told AND {_HALVES} AND held_at < $before
            ORDER BY held_at, key LIMIT $limit""",
        {"before": before, "limit": limit},
    )


def waiting(facts: FactStore) -> int:
    """Count those that wait."""
    return int(facts.read(f"SELECT count(*) FROM held WHERE NOT told AND {_HALVES}").item())


def oldest(facts: FactStore) -> datetime | None:
    """Give when the oldest of those that wait came."""
    found: object = facts.read(f"SELECT min(held_at) FROM held WHERE NOT told AND {_HALVES}").item()
    return utc(found) if isinstance(found, datetime) else None


def failures(facts: FactStore) -> list[bytes]:
    """Give the failures that make families known, as they were kept, the oldest first."""
    return facts.read(f"SELECT body FROM held WHERE NOT {_HALVES} ORDER BY held_at")["body"].to_list()


def fates(facts: FactStore) -> dict[str, int]:
    """Count what came of halves since the data folder was made."""
    return dict(facts.read("SELECT fate, sum(n)::BIGINT FROM joins GROUP BY fate ORDER BY fate").rows())


class Told(NamedTuple):
    """A stored prediction: its time (naive UTC), and whether it lacks its response."""

    ts: datetime
    unanswered: bool


def stored(facts: FactStore, ids: Sequence[str], oldest: datetime, newest: datetime) -> dict[tuple[str, str], Told]:
    """Give, by service and id, the predictions that have one of these ids and a time in the range."""
    rows = facts.read(
        """SELECT service, id, ts, status = 'unknown' AND coalesce(error_class = 'no_response', false)
           FROM predictions WHERE ts BETWEEN $oldest AND $newest AND id IN (SELECT unnest($ids))""",
        {"ids": list(ids), "oldest": oldest, "newest": newest},
    )
    return {(service, name): Told(ts, unanswered) for service, name, ts, unanswered in rows.rows()}


def change(connection: duckdb.DuckDBPyConnection, holding: Holding) -> None:
    """Write down what changed, in the caller's transaction."""
    if holding.kept is not None:
        insert(connection, "held", complete(holding.kept, HELD_COLUMNS))
    if holding.met:
        connection.execute(f"DELETE FROM held WHERE {_SAME}", {"keys": list(holding.met)})
    if holding.alone:
        connection.execute(f"UPDATE held SET told = true, body = NULL WHERE {_SAME}", {"keys": list(holding.alone)})
        connection.execute("DELETE FROM held WHERE told AND held_at < $before", {"before": holding.at - REMEMBERED})
    if holding.failures is not None:
        insert(connection, "held", complete(holding.failures, HELD_COLUMNS))
        connection.execute(
            f"DELETE FROM held WHERE NOT {_HALVES} AND held_at < $before", {"before": holding.at - FAILURES_KEPT}
        )
    if holding.fates:
        _count(connection, holding)


def _count(connection: duckdb.DuckDBPyConnection, holding: Holding) -> None:
    hour = holding.at.replace(minute=0, second=0, microsecond=0)
    rows = [(hour, service, fate, n) for (service, fate), n in holding.fates.items()]
    insert(connection, "joins", pl.DataFrame(rows, schema=["hour", "service", "fate", "n"], orient="row"))
    again = [(hour, service, "cloudevents", 0, n, 0) for _, service, fate, n in rows if fate == "duplicate"]
    if again:
        names = ["hour", "service", "kind", "loaded", "duplicates", "rejected"]
        insert(connection, "ingest", pl.DataFrame(again, schema=names, orient="row"))

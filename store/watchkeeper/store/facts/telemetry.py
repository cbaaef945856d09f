"""The ledger of telemetry as analyzers see it: what clients logged and what arrived, as it stood at each look.

A row is written only where a group's numbers moved, so the last row at or before a time is how it stood then. One row
of the service ``watchkeeper`` is written at every look: where these are lacking, nobody looked; its ``seen_at`` is the
time up to which all that had arrived was loaded. Services that keep no book (OTLP exporters) have a row too, of no
clients and without a site: ``seen_at`` is when the newest of their predictions came in. Counts grow from the first
event on; they may fall back where the inbox was lost. After 30 days an hour keeps one row a group.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored, utc
from watchkeeper.store.facts.batch import TIME, complete
from watchkeeper.store.facts.connection import FactStore, registered

PAUSE = timedelta(minutes=3)
"""A longer pause between two looks means that nobody was there to hear."""
FINE = timedelta(days=30)
"""So long every look is kept: gaps between arrivals are learned from 28 days."""
AGAIN = timedelta(hours=1)
"""Arrivals since the last look are looked for so far back at most."""
LOOK = "watchkeeper"
"""The service under which each look is noted."""

TELEMETRY_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "looked_at": TIME,
    "service": pl.String,
    "site": pl.String,
    "version": pl.String,
    "clients": pl.Int64,
    "logged": pl.Int64,
    "accepted": pl.Int64,
    "rejected": pl.Int64,
    "dropped": pl.Int64,
    "missing": pl.Int64,
    "pending": pl.Int64,
    "overdue": pl.Int64,
    "seen_at": TIME,
}
_PAUSES = f"""SELECT looked_at AS began, lead(looked_at) OVER (ORDER BY looked_at) AS ended FROM telemetry
              WHERE service = '{LOOK}' AND looked_at BETWEEN $start AND $end"""
_NEWEST = "QUALIFY row_number() OVER (PARTITION BY service, site, version ORDER BY looked_at DESC) = 1"


@dataclass(frozen=True, slots=True)
class Gaps:
    """How long a service was silent at one site between two arrivals, about this hour: the longest gaps, in seconds."""

    service: str
    site: str
    longest: tuple[float, ...]
    n: int
    days: int


def arrivals(facts: FactStore, booked: Collection[str], now: datetime) -> pl.DataFrame:
    """Give when the newest prediction of each service came in since the last look, but for those that keep a book."""
    look = newest_look(facts, Window(now - AGAIN, now))
    return facts.read(
        """SELECT service, '' AS site, '' AS version, 0::BIGINT AS clients, max(received_at) AS seen_at FROM predictions
           WHERE received_at > $since AND received_at <= $now AND NOT list_contains($booked, service)
           GROUP BY service""",
        {"since": stored(look[1] if look else now - AGAIN), "now": stored(now), "booked": list(booked)},
    )


def write(facts: FactStore, frame: pl.DataFrame, at: datetime, loaded_to: datetime | None = None) -> None:
    """Note a look: append the groups (see TELEMETRY_COLUMNS) whose numbers are not those of their last row.

    ``loaded_to``: up to when all that arrived is loaded; now, where it is not given.
    """
    compared = [name for name in TELEMETRY_COLUMNS if name != "looked_at"]
    same = " AND ".join(f"n.{name} IS NOT DISTINCT FROM l.{name}" for name in compared)
    look = pl.DataFrame({"service": [LOOK], "seen_at": [stored(loaded_to or at)]})
    rows = pl.concat([complete(frame, TELEMETRY_COLUMNS), complete(look, TELEMETRY_COLUMNS)])
    rows = rows.with_columns(pl.lit(stored(at)).cast(TIME).alias("looked_at"))
    with facts.transaction() as connection, registered(connection, "new_groups", rows):
        connection.execute(
            f"""INSERT INTO telemetry BY NAME SELECT n.* FROM new_groups n
                ANTI JOIN (SELECT * FROM telemetry {_NEWEST}) l ON {same}"""
        )


def thin(facts: FactStore, now: datetime) -> None:
    """Keep, of what is older than anyone looks minute by minute, the last row of a group in each hour."""
    with facts.transaction() as connection:
        connection.execute(
            """DELETE FROM telemetry WHERE looked_at < $before AND rowid NOT IN (
                 SELECT max_by(rowid, looked_at) FROM telemetry WHERE looked_at < $before
                 GROUP BY service, site, version, date_trunc('hour', looked_at))""",
            {"before": stored(now) - FINE},
        )


def stood(facts: FactStore, as_of: datetime) -> pl.DataFrame:
    """Give each group as it stood at a time; one that was not known then is left out."""
    return facts.read(
        f"""SELECT * FROM telemetry WHERE looked_at <= $as_of AND service <> '{LOOK}' {_NEWEST}
            ORDER BY service, site, version""",
        {"as_of": stored(as_of)},
    )


def newest_look(facts: FactStore, window: Window) -> tuple[datetime, datetime] | None:
    """Give when the ledger was last looked at in a window, and up to when what had arrived by then was loaded."""
    found = facts.read(
        f"""SELECT looked_at, seen_at FROM telemetry
            WHERE service = '{LOOK}' AND looked_at > $start AND looked_at <= $end ORDER BY looked_at DESC LIMIT 1""",
        {"start": stored(window.start), "end": stored(window.end)},
    ).rows()
    return (utc(found[0][0]), utc(found[0][1])) if found else None


def watched(facts: FactStore, window: Window) -> timedelta:
    """Give for how long of a window somebody looked: the time between two looks of which neither is far off."""
    found = facts.read(
        f"""SELECT coalesce(sum(epoch_us(ended) - epoch_us(began)), 0)::BIGINT FROM ({_PAUSES})
            WHERE ended - began <= $pause""",
        {"start": stored(window.start), "end": stored(window.end), "pause": PAUSE},
    )
    return timedelta(microseconds=int(found.item()))


def gaps(facts: FactStore, silent: Sequence[tuple[str, str, datetime]], window: Window, most: int) -> list[Gaps]:
    """Give the gaps between arrivals that began within an hour of the time of day of ``since``, on the same kind of
    day (Monday to Friday, or not), by service and site; times in which nobody looked are left out.

    Arrivals are known as of each look: a gap that is shorter than the pause between two looks is seen as that long.
    """
    services, sites, since = (list(column) for column in zip(*silent, strict=True))
    rows = facts.read(
        f"""WITH silent AS (
              SELECT unnest($services) AS service, unnest($sites) AS site, unnest($since) AS since),
            arrivals AS (
              SELECT DISTINCT service, site, t.seen_at, s.since
              FROM telemetry t JOIN silent s USING (service, site)
              WHERE t.looked_at BETWEEN $start AND $end AND t.seen_at >= $start),
            every AS (
              SELECT *, lead(seen_at) OVER (PARTITION BY service, site ORDER BY seen_at) AS until FROM arrivals),
            alike AS (
              SELECT *, abs(epoch(seen_at::TIME) - epoch(since::TIME)) AS apart FROM every
              WHERE until IS NOT NULL AND (isodow(seen_at) > 5) = (isodow(since) > 5)),
            heard AS (
              SELECT * FROM alike a ANTI JOIN (SELECT * FROM ({_PAUSES}) WHERE ended - began > $pause) p
              ON p.began < a.until AND p.ended > a.seen_at
              WHERE least(a.apart, 86400 - a.apart) <= 3600)
            SELECT service, site, max(epoch(until - seen_at), $most), count(*), count(DISTINCT seen_at::DATE)
            FROM heard GROUP BY service, site""",
        {
            "services": services,
            "sites": sites,
            "since": list(map(stored, since)),
            "start": stored(window.start),
            "end": stored(window.end),
            "pause": PAUSE,
            "most": most,
        },
    ).rows()
    return [Gaps(service, site, tuple(longest), n, days) for service, site, longest, n, days in rows]


def last_arrival(facts: FactStore, service: str, site: str | None, window: Window) -> datetime | None:
    """Give when the newest prediction of a service (and site) came in, within a window of arrival.

    For senders that keep no book, such as OTLP exporters. It reads the predictions: keep the window short.
    """
    of_site = "AND site = $site" if site is not None else ""
    parameters: dict[str, object] = {"start": stored(window.start), "end": stored(window.end), "service": service}
    found: object = facts.read(
        f"""SELECT max(received_at) AS newest FROM predictions
            WHERE received_at > $start AND received_at <= $end AND service = $service {of_site}""",
        parameters | ({"site": site} if site is not None else {}),
    ).item()
    return utc(found) if isinstance(found, datetime) else None

"""The ledger of telemetry as analyzers see it: what clients logged and what arrived, as it stood at each look.

A row is written only where a group's numbers moved, so the last row at or before a time is how it stood then. One row
of the service ``watchkeeper`` is written at every look: where these are lacking, nobody looked. Counts grow from the
first event on; they may fall back where the inbox was lost.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored, utc
from watchkeeper.store.facts.batch import TIME, complete
from watchkeeper.store.facts.connection import FactStore, registered

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
_NEWEST = "QUALIFY row_number() OVER (PARTITION BY service, site, version ORDER BY looked_at DESC) = 1"


def write(facts: FactStore, frame: pl.DataFrame, at: datetime) -> None:
    """Note a look: append the groups (see TELEMETRY_COLUMNS) whose numbers are not those of their last row."""
    compared = [name for name in TELEMETRY_COLUMNS if name != "looked_at"]
    same = " AND ".join(f"n.{name} IS NOT DISTINCT FROM l.{name}" for name in compared)
    look = pl.DataFrame({"service": [LOOK], "seen_at": [stored(at)]})
    rows = pl.concat([complete(frame, TELEMETRY_COLUMNS), complete(look, TELEMETRY_COLUMNS)])
    rows = rows.with_columns(pl.lit(stored(at)).cast(TIME).alias("looked_at"))
    with facts.transaction() as connection, registered(connection, "new_groups", rows):
        connection.execute(
            f"""INSERT INTO telemetry BY NAME SELECT n.* FROM new_groups n
                ANTI JOIN (SELECT * FROM telemetry {_NEWEST}) l ON {same}"""
        )


def stood(facts: FactStore, as_of: datetime) -> pl.DataFrame:
    """Give each group as it stood at a time; one that was not known then is left out."""
    return facts.read(
        f"""SELECT * FROM telemetry WHERE looked_at <= $as_of AND service <> '{LOOK}' {_NEWEST}
            ORDER BY service, site, version""",
        {"as_of": stored(as_of)},
    )


def looks(facts: FactStore, window: Window) -> list[datetime]:
    """Give when the ledger was looked at, in order."""
    frame = facts.read(
        f"""SELECT looked_at FROM telemetry
            WHERE service = '{LOOK}' AND looked_at > $start AND looked_at <= $end ORDER BY looked_at""",
        {"start": stored(window.start), "end": stored(window.end)},
    )
    return [utc(moment) for moment in frame["looked_at"].to_list()]


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

"""Every number that an analyzer computed, window by window: what the pages draw."""

from __future__ import annotations

import polars as pl

from watchkeeper.store.facts.batch import TIME, complete
from watchkeeper.store.facts.connection import FactStore, registered

READING_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "analyzer": pl.String,
    "metric": pl.String,
    "service": pl.String,
    "model": pl.String,
    "subject": pl.String,
    "window_start": TIME,
    "window_end": TIME,
    "as_of": TIME,
    "value": pl.Float64,
    "lower": pl.Float64,
    "upper": pl.Float64,
    "n": pl.Int64,
    "maturity": pl.Float64,
    "reference": pl.Float64,
    "against": pl.String,
}


def write(facts: FactStore, frame: pl.DataFrame) -> None:
    """Append readings (see READING_COLUMNS); the same reading again changes nothing."""
    if frame.height == 0:
        return
    key = ("analyzer", "metric", "service", "model", "subject", "window_end", "as_of")
    same = " AND ".join(f"n.{name} IS NOT DISTINCT FROM r.{name}" for name in key)
    with facts.transaction() as connection, registered(connection, "new_readings", complete(frame, READING_COLUMNS)):
        connection.execute(
            f"""INSERT INTO readings BY NAME SELECT n.* FROM new_readings n ANTI JOIN (
                  SELECT * FROM readings WHERE as_of IN (SELECT DISTINCT as_of FROM new_readings)) r ON {same}"""
        )

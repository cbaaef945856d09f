"""Predictions as they are stored: a column is made when the first event fills it.

An event has some fifty fields, most services send twenty, and a column of nothing costs as much to append as any other:
a third of a load. So ``prediction_rows`` has the columns that were ever sent. Everyone reads the view ``predictions``,
which has them all.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from watchkeeper.store.facts.tables import PREDICTION_TYPES

TABLE, VIEW = "prediction_rows", "predictions"


def stored(table: str) -> str:
    """Give the table to write to for what is read under a name."""
    return TABLE if table == VIEW else table


def columns(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Give the columns that there are."""
    return {str(column[0]) for column in connection.sql(f"FROM {TABLE} LIMIT 0").description}


def make(connection: duckdb.DuckDBPyConnection, names: Iterable[str]) -> None:
    """Make those of these columns that are not there yet."""
    there = columns(connection)
    new = [name for name in names if name not in there]
    for name in new:
        connection.execute(f"ALTER TABLE {TABLE} ADD COLUMN {name} {PREDICTION_TYPES[name]}")
    if new:
        show(connection)


def show(connection: duckdb.DuckDBPyConnection) -> None:
    """Give the view every column, in one order whatever was made when."""
    there = columns(connection)
    listed = ", ".join(name if name in there else f"NULL::{kind} AS {name}" for name, kind in PREDICTION_TYPES.items())
    connection.execute(f"CREATE OR REPLACE VIEW {VIEW} AS SELECT {listed} FROM {TABLE}")

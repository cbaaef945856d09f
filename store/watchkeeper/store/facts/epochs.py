"""The table of epochs: which bins a feature has, since when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import polars as pl

from watchkeeper.store.facts.batch import TIME
from watchkeeper.store.facts.connection import first, insert
from watchkeeper.store.facts.histograms import Epoch

IN_FORCE_SQL = """
    SELECT epoch, feature, kind, edges, categories, low, high FROM epochs
    WHERE service = $service AND model = $model AND ended_at IS NULL
    QUALIFY row_number() OVER (PARTITION BY feature ORDER BY epoch DESC) = 1 ORDER BY feature
"""
"""The edges that hold now, one epoch a feature: none before a model has a reference."""


def epoch_of(row: tuple[Any, ...]) -> Epoch:
    """Read a row of IN_FORCE_SQL."""
    epoch, feature, kind, edges, categories, low, high = row
    return Epoch(epoch, feature, kind, np.asarray(edges, dtype=np.float64), tuple(categories), low, high)


def next_epoch(connection: duckdb.DuckDBPyConnection) -> int:
    """Give a number that no epoch has."""
    return int(str(first(connection, "SELECT coalesce(max(epoch), 0) + 1 FROM epochs")[0]))


def store(
    connection: duckdb.DuckDBPyConnection,
    pair: tuple[str, str],
    made: Sequence[tuple[Epoch, datetime | None]],
    made_at: datetime,
    since: datetime | None,
) -> None:
    """Add epochs of a (service, model), each with when it ended, where it did; they hold ``since`` then, or always."""
    epochs = [epoch for epoch, _ in made]
    frame = pl.DataFrame(
        {
            "epoch": [e.epoch for e in epochs],
            "feature": [e.feature for e in epochs],
            "kind": [e.kind for e in epochs],
            "edges": [e.edges.tolist() for e in epochs],
            "categories": [list(e.categories) for e in epochs],
            "low": [e.low for e in epochs],
            "high": [e.high for e in epochs],
            "ended_at": [ended_at for _, ended_at in made],
        },
        schema={
            "epoch": pl.Int32,
            "feature": pl.String,
            "kind": pl.String,
            "edges": pl.List(pl.Float64),
            "categories": pl.List(pl.String),
            "low": pl.Float64,
            "high": pl.Float64,
            "ended_at": TIME,
        },
    ).with_columns(
        pl.lit(pair[0]).alias("service"),
        pl.lit(pair[1]).alias("model"),
        pl.lit(made_at).alias("made_at"),
        pl.lit(since, TIME).alias("since"),
    )
    insert(connection, "epochs", frame)

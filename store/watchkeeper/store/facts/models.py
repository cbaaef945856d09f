"""The first and the last prediction of each model, so that nobody has to look through all of them."""

from __future__ import annotations

from datetime import datetime

import duckdb
import polars as pl


class ModelSpans:
    """The spans of all models: read from the file once, then kept in step."""

    def __init__(self) -> None:
        self._spans: dict[tuple[str, str], tuple[datetime, datetime]] = {}
        self._generation = -1

    def refresh(self, connection: duckdb.DuckDBPyConnection, generation: int) -> None:
        """Read them again after an aborted transaction (or for the first time)."""
        if generation != self._generation:
            self._generation = generation
            rows = connection.execute("SELECT service, model, first_ts, last_ts FROM models").fetchall()
            self._spans = {(service, model): (first, last) for service, model, first, last in rows}

    def note(self, connection: duckdb.DuckDBPyConnection, new: pl.DataFrame) -> None:
        """Take in new predictions."""
        seen = new.group_by("service", "model").agg(pl.col("ts").min().alias("first"), pl.col("ts").max().alias("last"))
        for service, model, first, last in seen.iter_rows():
            known = self._spans.get((service, model))
            span = (first, last) if known is None else (min(first, known[0]), max(last, known[1]))
            if span == known:
                continue
            self._spans[service, model] = span
            connection.execute(
                "INSERT INTO models VALUES ($service, $model, $first, $last)"
                if known is None
                else "UPDATE models SET first_ts = $first, last_ts = $last WHERE service = $service AND model = $model",
                {"service": service, "model": model, "first": span[0], "last": span[1]},
            )

"""Late halves: a prediction that was told without its request, or without its response, gets what came later.

It stays one row, at the time at which it was told. The row, its features and segments, the counts, the profiles and
the outcomes that it was compared with change in one transaction: as if both halves had been there, but for its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import duckdb
import msgspec
import polars as pl

from watchkeeper.store.facts import amending, outcomes, prediction_rows, rollups
from watchkeeper.store.facts.batch import PREDICTION_COLUMNS, Completions, ModelRows, complete
from watchkeeper.store.facts.connection import frame_of, registered
from watchkeeper.store.facts.features import PREDICTION, SCORE, FeatureCatalog, FeatureTable, TypedColumns, typed
from watchkeeper.store.facts.histograms import EpochCatalog, Hours
from watchkeeper.store.facts.profiles import Profile, add_bins, add_moments
from watchkeeper.store.sql import quoted

MAX_MS = 1e12
_KEY = ["id", "service", "ts"]
_EITHER = ("model_version", "operation")
_ANSWER = (
    "prediction", "prediction_number", "score", "confidence", "status", "error_class", "finish_reason",
    "tokens_input", "tokens_cache_read", "tokens_cache_write", "tokens_output", "tokens_reasoning",
)  # fmt: skip
"""What the response alone says."""


class Completing:
    """Puts late halves into their rows."""

    def __init__(self, features: FeatureCatalog, epochs: EpochCatalog, values: rollups.SegmentValues) -> None:
        self._features = features
        self._epochs = epochs
        self._values = values

    def complete(self, connection: duckdb.DuckDBPyConnection, late: Completions, now: datetime) -> int:
        """Put late halves into their rows in the caller's transaction; give how many rows changed."""
        said = complete(late.rows.frame, PREDICTION_COLUMNS).with_columns(
            pl.col("ts").alias("own_ts"), pl.Series("ts", late.told, pl.Datetime("us"))
        )
        changes = _changes(connection, said)

        def wide() -> None:
            extra: dict[int, dict[str, object]] = {place: dict(row) for place, row in late.rows.extra.items()}
            for part in late.rows.models:
                for index, more in self._wide(connection, part, said[part.positions]).items():
                    extra.setdefault(int(part.positions[index]), {}).update(more)
            _add_extra(connection, said, extra)

        changed = amending.exchange(connection, changes, self._values, now, wide)
        outcomes.match_again(connection, changes)
        return changed

    def _wide(
        self, connection: duckdb.DuckDBPyConnection, rows: ModelRows, group: pl.DataFrame
    ) -> Mapping[int, Mapping[str, object]]:
        """Fill in the features and segments of one model's rows; give by row what has no column."""
        names = (rows.service, rows.model)
        before = set(self._features.kinds(*names, "feature"))
        self._features.grow(connection, *names, "feature", rows.features)
        table = self._features.grow(connection, *names, "segment", rows.segments)
        values = typed(table, "feature", rows.features, group.height)
        places = typed(table, "segment", rows.segments, group.height)
        _fill(connection, table, group, values, places)
        was, becomes, hours = Profile(), Profile(), Hours.of(group["ts"])
        nothing = {name: series.clear(group.height) for name, series in values.series.items()}
        add_moments(was, *names, hours, {name: nothing[name] for name in before & nothing.keys()}, {})
        add_moments(becomes, *names, hours, values.series, values.mismatched)
        answers = {SCORE: group["score"], PREDICTION: group["prediction"]}
        epochs = self._epochs.of(*names)
        add_bins(was, epochs, hours, nothing | {name: one.clear(group.height) for name, one in answers.items()})
        add_bins(becomes, epochs, hours, values.series | answers)
        becomes.features += [replace(one, total=-one.total, missing=-one.missing) for one in was.features]
        becomes.bins += [(epoch, replace(found, n=-found.n)) for epoch, found in was.bins]
        becomes.write(connection)
        return {row: {**values.extra.get(row, {}), **places.extra.get(row, {})} for row in range(group.height)}


def _changes(connection: duckdb.DuckDBPyConnection, said: pl.DataFrame) -> pl.DataFrame:
    """Give what changes of each stored row."""
    stored = ", ".join(f"p.{name}" for name in (*_KEY, *_ANSWER, *_EITHER))
    with registered(connection, "late_halves", said.select(_KEY)):
        told = frame_of(
            connection.sql(
                f"""SELECT {stored} FROM predictions p JOIN late_halves l USING (id, service, ts)
                    WHERE p.ts BETWEEN $oldest AND $newest""",
                params={"oldest": said["ts"].min(), "newest": said["ts"].max()},
            )
        )
    both = told.join(said, on=_KEY, suffix="_late")
    asked = (pl.col("status_late") == "unknown").fill_null(False)  # the late half is the request
    took = (pl.col("own_ts") - pl.col("ts")).dt.total_microseconds() / 1000
    took = pl.when(asked).then(-took).otherwise(took)
    return both.select(
        *_KEY,
        *(pl.when(asked).then(pl.col(name)).otherwise(pl.col(f"{name}_late")).alias(name) for name in _ANSWER),
        *(
            pl.when(asked)
            .then(pl.coalesce(name, f"{name}_late"))
            .otherwise(pl.coalesce(f"{name}_late", name))
            .alias(name)
            for name in _EITHER
        ),
        latency_ms=pl.when(took.is_between(0, MAX_MS)).then(took),
    )


def _fill(
    connection: duckdb.DuckDBPyConnection,
    table: FeatureTable,
    group: pl.DataFrame,
    values: TypedColumns,
    places: TypedColumns,
) -> None:
    """Write into the wide table what the rows lack there."""
    columns = {c.column_name: values.series[c.name] for c in table.of("feature")}
    columns |= {c.column_name: places.series[c.name] for c in table.of("segment")}
    sent = [series.alias(name) for name, series in columns.items() if series.null_count() < group.height]
    if not sent:
        return
    sets = ", ".join(f"{quoted(one.name)} = coalesce(t.{quoted(one.name)}, n.{quoted(one.name)})" for one in sent)
    with registered(connection, "late_values", group.select("id", "ts").with_columns(sent)):
        connection.execute(
            f"""UPDATE {quoted(table.table_name)} t SET {sets} FROM late_values n
                WHERE t.id = n.id AND t.ts = n.ts AND t.ts BETWEEN $oldest AND $newest""",
            {"oldest": group["ts"].min(), "newest": group["ts"].max()},
        )


def _add_extra(
    connection: duckdb.DuckDBPyConnection, said: pl.DataFrame, extra: Mapping[int, Mapping[str, object]]
) -> None:
    """Put what has no column beside what the row holds already."""
    rows = [
        (*said.select(_KEY).row(place), msgspec.json.encode(more).decode()) for place, more in extra.items() if more
    ]
    if not rows:
        return
    frame = pl.DataFrame(
        rows, {"id": pl.String, "service": pl.String, "ts": pl.Datetime("us"), "more": pl.String}, orient="row"
    )
    prediction_rows.make(connection, ["extra"])
    with registered(connection, "late_extra", frame):
        connection.execute(
            f"""UPDATE {prediction_rows.TABLE} p
               SET extra = json_merge_patch(coalesce(p.extra::JSON, '{{}}'), n.more::JSON)::VARIANT
               FROM late_extra n WHERE p.id = n.id AND p.service = n.service AND p.ts = n.ts
               AND p.ts BETWEEN $oldest AND $newest""",
            {"oldest": frame["ts"].min(), "newest": frame["ts"].max()},
        )

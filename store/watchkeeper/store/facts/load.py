"""One load, one transaction: new facts, their rollups, rejects, and the inbox position that they reach.

An event is known by its service and id: what is already stored with a time inside the chunk's range is a duplicate
and changes nothing. So a chunk that is loaded again after a crash adds nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import cast

import duckdb
import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from watchkeeper.store.facts import attempts, checks, held, outcomes, prediction_rows, rollups
from watchkeeper.store.facts.batch import (
    CHANGE_COLUMNS,
    GPU_COLUMNS,
    OUTCOME_COLUMNS,
    PREDICTION_COLUMNS,
    REJECT_COLUMNS,
    REVIEW_COLUMNS,
    TIME,
    Batch,
    Fields,
    LoadReport,
    ModelRows,
    Predictions,
    complete,
)
from watchkeeper.store.facts.completing import Completing
from watchkeeper.store.facts.connection import FactStore, frame_of, insert, registered
from watchkeeper.store.facts.features import (
    MAX_FEATURES,
    OVERFLOW,
    PREDICTION,
    SCORE,
    FeatureCatalog,
    FeatureTable,
    Kind,
    ModelColumns,
    Role,
    TypedColumns,
    typed,
)
from watchkeeper.store.facts.histograms import EpochCatalog, Hours
from watchkeeper.store.facts.kept import KeptSince, Policy
from watchkeeper.store.facts.lateness import TOO_LATE, turned_away
from watchkeeper.store.facts.model_rows import kept
from watchkeeper.store.facts.models import ModelSpans
from watchkeeper.store.facts.profiles import Profile, add_bins, add_moments
from watchkeeper.store.facts.versions import Runs
from watchkeeper.store.sql import quoted

LARGE = 1_000_000
"""Rows from which a new column is folded into the file before the next one is made."""
COMPACT_EVERY = 200
"""Loads between two compactions of the rollups."""
_ENDLESS = re.compile(r"\d{309}")
"""So many digits may be a number beyond any float."""


class Loader:
    """Writes batches into the facts; keeps the catalogs of features, segments and epochs in step."""

    def __init__(self, facts: FactStore, clock: Callable[[], datetime], policy: Callable[[], Policy] = Policy) -> None:
        self._facts = facts
        self._clock = clock
        self._policy = policy
        self._since = KeptSince()
        self._features = FeatureCatalog()
        self._segments = rollups.SegmentValues()
        self._epochs = EpochCatalog()
        self._completing = Completing(self._features, self._epochs, self._segments)
        self._runs = Runs()
        self._models = ModelSpans()
        self._loads = 0
        self._known: Mapping[tuple[str, str], ModelColumns] = {}

    @property
    def facts(self) -> FactStore:
        """The facts that it writes to."""
        return self._facts

    def watermark(self) -> int:
        """Give the inbox position up to which everything is stored."""
        return self.position()[0]

    def position(self) -> tuple[int, int]:
        """Give that position, and how many rows of the request after it are stored too."""
        [row] = self._facts.read("SELECT seq, into_next FROM inbox_watermark").rows()
        return int(row[0]), int(row[1])

    def kinds(self, service: str, model: str, role: Role) -> Mapping[str, Kind]:
        """Give the columns that a model's features or segments have by now: a hint, good for the writer's thread."""
        return self._features.kinds(service, model, role)

    def known(self, service: str, model: str) -> ModelColumns | None:
        """Give the columns that a model had after the last load, to any thread; None before its first event."""
        return self._known.get((service, model))

    def load(self, batch: Batch) -> LoadReport:
        """Store one batch, all or nothing."""
        now = self._clock().replace(tzinfo=None)
        if batch.predictions is not None:
            self._make_columns(batch.predictions.frame)
        with self._facts.transaction() as connection:
            generation = self._facts.generation
            self._features.refresh(connection, generation)
            self._segments.refresh(connection, generation)
            self._epochs.refresh(connection, generation)
            self._since.refresh(connection, generation)
            batch = turned_away(batch, self._since, self._policy(), now)
            self._runs.refresh(connection, generation)
            self._models.refresh(connection, generation)
            report = self._load(connection, batch, now)
            if batch.holding is not None:
                held.change(connection, batch.holding)
            if batch.watermark is not None:
                connection.execute("UPDATE inbox_watermark SET seq = ?, into_next = ?", [batch.watermark, batch.into])
            self._loads += 1
            if self._loads % COMPACT_EVERY == 0:
                rollups.compact(connection, now)
        self._known = self._features.known()
        return report

    def _make_columns(self, frame: pl.DataFrame) -> None:
        """Make the columns that are filled for the first time, each by itself: until the next checkpoint one takes
        about 5 MB of memory a million rows.
        """
        filled = {column.name for column in frame.iter_columns() if column.null_count() < column.len()}
        with self._facts.transaction() as connection:
            new = filled - prediction_rows.columns(connection)
        for name in sorted(new):
            with self._facts.transaction() as connection:
                prediction_rows.make(connection, [name])
            if self._facts.read(f"SELECT count(*) FROM {prediction_rows.TABLE}").item() > LARGE:
                self._facts.checkpoint()

    def _load(self, connection: duckdb.DuckDBPyConnection, batch: Batch, now: datetime) -> LoadReport:
        loaded = duplicates = matched = 0
        if batch.predictions is not None:
            new, repeated = self._predictions(connection, batch.predictions, now)
            loaded, duplicates = loaded + new.height, duplicates + repeated
            if new.height:
                checks.join(connection, new, self._segments, now)
            if new.height and batch.families is not None:
                attempts.rejoin(connection, batch.families, self._segments, now)
            if new.height:
                matched += outcomes.retry_pending(connection, new)
        if batch.completions is not None:
            self._completing.complete(connection, batch.completions, now)
        if batch.outcomes is not None:
            frame = complete(batch.outcomes, OUTCOME_COLUMNS)
            fresh, found = outcomes.add(connection, frame)
            _count(connection, "outcomes", frame, "known_at", fresh, now)
            loaded, matched = loaded + len(fresh), matched + found
            duplicates += frame.height - len(fresh)
        for kind, rows, columns, key in (
            ("reviews", batch.reviews, REVIEW_COLUMNS, ("prediction_id", "decision", "ts")),
            ("changes", batch.changes, CHANGE_COLUMNS, ("service", "kind", "title", "ts")),
        ):
            if rows is not None:
                frame = complete(rows, columns)
                _append(connection, kind, frame, key)
                fresh = outcomes.services(connection, "fresh_rows")
                _count(connection, kind, frame, "ts", fresh, now)
                loaded, duplicates = loaded + len(fresh), duplicates + frame.height - len(fresh)
        if batch.gpus is not None:
            frame = complete(batch.gpus, GPU_COLUMNS)
            _append(connection, "gpu_samples", frame, ("uuid", "mig", "ts"))
            nobody = pl.lit(None, pl.String).alias("service")
            fresh = outcomes.services(connection, "(SELECT NULL::VARCHAR AS service FROM fresh_rows)")
            _count(connection, "gpu_samples", frame.with_columns(nobody), "ts", fresh, now)
            loaded, duplicates = loaded + len(fresh), duplicates + frame.height - len(fresh)
        if batch.ignored:
            insert(connection, "ignored", _ignored(batch.ignored, now))
        rejected = 0
        if batch.rejects is not None:
            rejected = batch.rejects.height
            insert(connection, "rejects", complete(batch.rejects, REJECT_COLUMNS))
            _count_rejects(connection, batch.rejects, now)
        return LoadReport(loaded, duplicates, rejected, matched)

    def _predictions(
        self, connection: duckdb.DuckDBPyConnection, rows: Predictions, now: datetime
    ) -> tuple[pl.DataFrame, int]:
        frame = complete(rows.frame, PREDICTION_COLUMNS)
        keep = _new_rows(connection, frame)
        repeated = frame.height - keep.size
        new = frame if not repeated else frame[keep]
        _count(connection, "predictions", frame, "ts", new["service"], now)
        if not keep.size:
            return new, repeated
        new = checks.within(new)
        models = kept(rows.models, keep) if repeated else rows.models
        extra: dict[int, dict[str, object]] = (
            {position: dict(rows.extra[old]) for position, old in enumerate(keep.tolist()) if old in rows.extra}
            if rows.extra
            else {}
        )
        profile = Profile()
        places: list[pl.DataFrame] = []
        for part in models:
            typed_segments, unfit = self._wide(connection, part, new[part.positions], profile)
            places.append(rollups.segment_rows(part, typed_segments, self._segments))
            for index, values in unfit.items():
                extra.setdefault(int(part.positions[index]), {}).update(values)
        profile.write(connection)
        self._models.note(connection, new)
        _insert_predictions(connection, new, extra)
        rollups.add(connection, new, pl.concat(places), now)
        return new, repeated

    def _wide(
        self, connection: duckdb.DuckDBPyConnection, rows: ModelRows, group: pl.DataFrame, profile: Profile
    ) -> tuple[Mapping[str, pl.Series], dict[int, dict[str, object]]]:
        """Store one model's features and segments as typed columns, and profile them; give the segments, and by row
        what did not fit.
        """
        names = (rows.service, rows.model)
        self._features.grow(connection, *names, "feature", rows.features)
        table = self._features.grow(connection, *names, "segment", rows.segments)
        values = typed(table, "feature", rows.features, group.height)
        places = typed(table, "segment", rows.segments, group.height)
        columns = {c.column_name: _finite(values.series[c.name]) for c in table.of("feature")}
        columns |= {c.column_name: places.series[c.name] for c in table.of("segment")}
        insert(
            connection,
            quoted(table.table_name),
            group.select("id", "ts").with_columns([series.alias(name) for name, series in columns.items()]),
        )
        hours = Hours.of(group["ts"])
        profiled = values.series | {SCORE: group["score"], PREDICTION: group["prediction"]}
        add_moments(profile, *names, hours, values.series | _overflow(values, group.height), _mismatched(values))
        add_bins(profile, self._epochs.of(*names), hours, profiled)
        for index, more in places.extra.items():
            kept_aside = {name: more[name] for name in more.keys() & places.overflow}
            if kept_aside:
                values.extra.setdefault(index, {}).update(kept_aside)
        turned = self._runs.turned(connection, table, values, group["ts"])
        if turned:
            self._turn(connection, table, turned, group["ts"])
        return places.series, values.extra

    def _turn(
        self, connection: duckdb.DuckDBPyConnection, table: FeatureTable, names: list[str], ts: pl.Series
    ) -> None:
        """Give the rows to come a table in which these features have their new type; their epochs are over."""
        since = ts.dt.truncate("1h").sort()[ts.len() // 2]  # the median: one clock that runs ahead moves nothing
        self._features.turn(connection, table, names, since)
        connection.execute(
            """UPDATE epochs SET ended_at = $since
               WHERE service = $service AND model = $model AND list_contains($names, feature) AND ended_at IS NULL""",
            {"since": since, "service": table.service, "model": table.model, "names": names},
        )
        self._epochs.reload(connection)


def _count(
    connection: duckdb.DuckDBPyConnection, kind: str, frame: pl.DataFrame, time: str, fresh: pl.Series, now: datetime
) -> None:
    """Add to the ingest ledger what came of the events of each service; ``fresh`` names that of each new one."""
    skewed = pl.col("clock_skew").sum() if "clock_skew" in frame.columns else pl.lit(0)
    sent = frame.group_by("service").agg(pl.len(), pl.col(time).max(), skewed.alias("clock_skewed")).rows()
    loaded = dict(fresh.value_counts().iter_rows())
    ledger = {
        "service": pl.Series([service for service, *_ in sent], dtype=pl.String),
        "last_ts": pl.Series([last for _, _, last, _ in sent], dtype=TIME),
        "clock_skewed": [skewed for *_, skewed in sent],
        "loaded": [loaded.get(service, 0) for service, *_ in sent],
        "duplicates": [count - loaded.get(service, 0) for service, count, *_ in sent],
    }
    same = {"hour": now.replace(minute=0, second=0, microsecond=0), "kind": kind, "rejected": 0}
    insert(connection, "ingest", pl.DataFrame(ledger | {name: [value] * len(sent) for name, value in same.items()}))


def _new_rows(connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame) -> NDArray[np.int64]:
    """Give the positions of the rows that are neither stored in the chunk's time range nor earlier in the chunk.

    A row is known by its service and id: two services may number their events alike.
    """
    ids = frame.select("id", "service").with_row_index("position")
    if ids["id"].n_unique() < ids.height:
        ids = ids.unique(["id", "service"], keep="first", maintain_order=True)
    with registered(connection, "candidate", ids):
        known = frame_of(
            connection.sql(
                """SELECT DISTINCT c.position FROM candidate c
                   SEMI JOIN predictions p ON p.id = c.id AND p.service = c.service AND p.ts BETWEEN $low AND $high""",
                params={"low": frame["ts"].min(), "high": frame["ts"].max()},
            )
        )["position"]
    positions = ids["position"]
    if known.len():
        positions = positions.filter(~positions.is_in(known.implode()))
    return positions.cast(pl.Int64).to_numpy()


def _insert_predictions(
    connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame, extra: Mapping[int, Fields]
) -> None:
    """Append the facts; what has no column of its own goes to the VARIANT ``extra``."""
    there = prediction_rows.columns(connection)
    stored = frame.select(name for name in frame.columns if name in there)
    if not extra:
        insert(connection, prediction_rows.TABLE, stored)
        return
    prediction_rows.make(connection, ["extra"])
    texts: list[str | None] = [None] * frame.height
    for position, row in extra.items():
        text = msgspec.json.encode(row).decode()
        texts[position] = msgspec.json.encode(_bounded(row)).decode() if _ENDLESS.search(text) else text
    with registered(connection, "incoming", stored.with_columns(pl.Series("extra_json", texts, pl.String))):
        connection.execute(
            f"""INSERT INTO {prediction_rows.TABLE} BY NAME
               SELECT * EXCLUDE (extra_json), extra_json::JSON::VARIANT AS extra FROM incoming"""
        )


def _bounded(value: object) -> object:
    """Leave out whole numbers beyond any float: the store would give them back as Infinity, which is no JSON."""
    if isinstance(value, dict):
        return {name: _bounded(part) for name, part in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_bounded(part) for part in cast("list[object]", value)]
    return None if isinstance(value, int) and abs(value) > sys.float_info.max else value


def _append(connection: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame, key: tuple[str, ...]) -> None:
    """Append the rows whose key is not stored yet, and leave them in ``fresh_rows``."""
    unique = frame.unique(list(key), keep="first", maintain_order=True)
    same = " AND ".join(f"n.{column} IS NOT DISTINCT FROM t.{column}" for column in key)
    with registered(connection, "new_rows", unique):
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE fresh_rows AS SELECT n.* FROM new_rows n ANTI JOIN (
                  SELECT * FROM {table} WHERE ts BETWEEN (SELECT min(ts) FROM new_rows)
                                                     AND (SELECT max(ts) FROM new_rows)) t ON {same}"""
        )
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM fresh_rows")


def _count_rejects(connection: duckdb.DuckDBPyConnection, rejects: pl.DataFrame, now: datetime) -> None:
    ledger = rejects.group_by("service", "kind").agg(
        pl.len().cast(pl.Int64).alias("rejected"),
        pl.col("reason").str.starts_with(TOO_LATE).sum().cast(pl.Int64).alias("too_late"),
    )
    insert(
        connection,
        "ingest",
        ledger.with_columns(
            pl.lit(now).dt.truncate("1h").cast(pl.Datetime("us")).alias("hour"),
            pl.lit(0, pl.Int64).alias("loaded"),
            pl.lit(0, pl.Int64).alias("duplicates"),
        ),
    )


def _ignored(counts: Mapping[tuple[str, str], int], now: datetime) -> pl.DataFrame:
    rows = [(kind, what, count) for (kind, what), count in counts.items()]
    frame = pl.DataFrame(rows, schema={"kind": pl.String, "what": pl.String, "n": pl.Int64}, orient="row")
    return frame.with_columns(pl.lit(now).dt.truncate("1h").cast(pl.Datetime("us")).alias("hour"))


def _finite(series: pl.Series) -> pl.Series:
    """Let null stand for NaN and infinite in the stored column; the profile has counted them."""
    if series.dtype != pl.Float64:
        return series
    return series.set(series.is_finite().not_().fill_null(False), None)


def _mismatched(values: TypedColumns) -> Mapping[str, list[int]]:
    return values.mismatched | _overflow_rows(values)


def _overflow_rows(values: TypedColumns) -> dict[str, list[int]]:
    """Give the rows with features past the limit."""
    if not values.overflow or len(values.series) < MAX_FEATURES:
        return {}
    return {OVERFLOW: [row for row, names in values.extra.items() if values.overflow & names.keys()]}


def _overflow(values: TypedColumns, height: int) -> dict[str, pl.Series]:
    """Give a column of nulls under the name that features past the limit are counted by, where there are any."""
    return {OVERFLOW: pl.Series([""] * height)} if _overflow_rows(values) else {}

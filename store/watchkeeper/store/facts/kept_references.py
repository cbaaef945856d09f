"""References that people keep by name: rows a bin on the epoch's edges, added up once and never moved.

Made of a window or of one version of the model by the server, or of a file of training data where that lies: only its
edges and counts travel. The same name again is the next version; what compares with the one before goes on doing so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import numpy as np
import polars as pl

from watchkeeper.schemas.errors import InputError, NotFound
from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.bin_counts import BinCounts
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.epochs import IN_FORCE_SQL, epoch_of, next_epoch, store
from watchkeeper.store.facts.features import PREDICTION, SCORE
from watchkeeper.store.facts.histograms import MAX_CATEGORIES, Epoch, category_bins, numeric_bins, numeric_edges
from watchkeeper.store.sql import quoted


@dataclass(frozen=True, slots=True)
class Binned:
    """One feature's rows on its edges; ``epoch`` 0 for edges that are its own, as it has none yet."""

    epoch: Epoch
    counts: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Made:
    """What is to be kept: where it comes from, in words, and its rows."""

    name: str
    origin: str
    detail: str
    features: Sequence[Binned] = field(default=())
    window: Window | None = None


def in_force(facts: FactStore, service: str, model: str) -> list[Epoch]:
    """Give the edges that hold now, one epoch a feature; none before the model has a reference."""
    return [epoch_of(row) for row in facts.read(IN_FORCE_SQL, {"service": service, "model": model}).iter_rows()]


def binned(frame: pl.DataFrame, epochs: Sequence[Epoch]) -> tuple[list[Binned], list[str]]:
    """Count a frame's rows on the edges that hold; features without any get their own. And name what was left out.

    A feature is left out where it is of another type than its edges, or holds no value.
    """
    known = {epoch.feature: epoch for epoch in epochs}
    found: list[Binned] = []
    left_out: list[str] = []
    for series in frame:
        plain = series.cast(pl.Float64) if series.dtype.is_numeric() and series.name != PREDICTION else series
        plain = plain if plain.dtype == pl.Float64 else plain.cast(pl.String)
        kind = "numeric" if plain.dtype == pl.Float64 else "category"
        epoch = known.get(series.name) or _own(plain, kind)
        if epoch is None or epoch.kind != kind:
            left_out.append(series.name)
            continue
        found.append(Binned(epoch, _counts(epoch, plain)))
    return found, left_out


def merged(parts: Iterable[Sequence[Binned]]) -> list[Binned]:
    """Add up the rows of several files (or hosts) that were counted on the same edges."""
    found: dict[str, Binned] = {}
    for one in (one for part in parts for one in part):
        held = found.get(one.epoch.feature)
        counts = Counter(held.counts if held else {}) + Counter(one.counts)
        found[one.epoch.feature] = Binned(held.epoch if held else one.epoch, counts)
    return list(found.values())


def keep(facts: FactStore, service: str, model: str, made: Made, now: datetime) -> dict[str, object]:
    """Keep it under its name, as the next version of it; give its row."""
    with facts.transaction() as connection:
        pair: dict[str, object] = {"service": service, "model": model}
        epochs = _with_numbers(connection, pair, made.features, stored(now))
        rows = [(epoch, place, n) for epoch, one in epochs for place, n in one.counts.items()]
        counts = BinCounts.of(rows)
        if not counts.total:
            raise InputError(f"{made.detail}: no rows of any feature that {service} / {model} is compared in")
        row: dict[str, object] = pair | {
            "name": made.name,
            "version": _next_version(connection, pair | {"name": made.name}),
            "origin": made.origin,
            "detail": made.detail,
            "start_ts": stored(made.window.start) if made.window else None,
            "end_ts": stored(made.window.end) if made.window else None,
            "total": counts.total,
            "made_at": stored(now),
        }
        names = ", ".join(f"${name}" for name in row)
        connection.execute(f"INSERT INTO kept_references VALUES ({names}, $bins)", row | {"bins": counts.packed()})
    facts.generation += 1  # the loader's cached epochs may not be all
    return row


def of_window(facts: FactStore, service: str, model: str, window: Window) -> list[Binned]:
    """Add up a past window from the rollups: no row is scanned, so that any window that rollups hold will do."""
    epochs = {epoch.epoch: epoch for epoch in in_force(facts, service, model)}
    rows = facts.read(
        """SELECT epoch, bin::INTEGER AS bin, sum(n)::BIGINT AS n FROM histogram_hour
           WHERE list_contains($epochs, epoch) AND bucket >= $start_ts AND bucket < $end_ts GROUP BY ALL""",
        {"epochs": list(epochs), "start_ts": stored(window.start), "end_ts": stored(window.end)},
    )
    counts = BinCounts.of((int(epoch), int(place), int(n)) for epoch, place, n in rows.iter_rows())
    return [Binned(epochs[epoch], held) for epoch, held in counts.bins.items()]


def of_version(facts: FactStore, service: str, model: str, version: str) -> list[Binned]:
    """Count the rows of one version of the model, of those that are still kept: rollups do not tell versions apart."""
    epochs = {epoch.feature: epoch for epoch in in_force(facts, service, model)}
    found: list[Binned] = []
    for feature, kind, sql in _sources(facts, service, model):
        epoch = epochs.get(feature)
        if epoch is None or epoch.kind != kind:
            continue
        values = facts.read(sql, {"service": service, "model": model, "version": version})["x"]
        if len(values):
            found.append(Binned(epoch, _counts(epoch, values)))
    return found


def listed(facts: FactStore, service: str | None = None) -> pl.DataFrame:
    """List what is kept, without its rows."""
    where = "WHERE service = $service" if service else ""
    return facts.read(
        f"""SELECT * EXCLUDE (bins), octet_length(bins)::BIGINT AS bytes FROM kept_references {where}
            ORDER BY service, model, name, version""",
        {"service": service} if service else None,
    )


def read(facts: FactStore, service: str, model: str, name: str, version: int) -> BinCounts:
    """Give the rows of one that is kept."""
    found = facts.read(
        """SELECT bins FROM kept_references
           WHERE service = $service AND model = $model AND name = $name AND version = $version""",
        {"service": service, "model": model, "name": name, "version": version},
    )
    if found.is_empty():
        raise NotFound(
            f"{service} / {model} has no reference {name} of version {version}: see `watchkeeper reference list`"
        )
    return BinCounts.unpacked(found["bins"].item())


def _counts(epoch: Epoch, values: pl.Series) -> dict[int, int]:
    if epoch.kind == "numeric":
        bins = numeric_bins(epoch, values.fill_null(0.0).to_numpy(), values.is_null().to_numpy())
    else:
        bins = category_bins(epoch, values)
    places, n = np.unique(bins, return_counts=True)
    return dict(zip(places.tolist(), n.tolist(), strict=True))


def _own(values: pl.Series, kind: str) -> Epoch | None:
    if kind == "category":
        top = values.drop_nulls().value_counts(sort=True).head(MAX_CATEGORIES)
        names = tuple(top[values.name].to_list())
        return Epoch(0, values.name, kind, np.array([]), names) if names else None
    finite = values.drop_nulls().to_numpy()
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        return None
    return Epoch(0, values.name, kind, numeric_edges(finite), (), float(finite.min()), float(finite.max()))


def _with_numbers(
    connection: duckdb.DuckDBPyConnection, pair: dict[str, object], features: Sequence[Binned], now: datetime
) -> list[tuple[int, Binned]]:
    """Number the epochs that are new; refuse edges that were replaced while someone counted on them."""
    known = {str(row[1]): int(row[0]) for row in connection.execute(IN_FORCE_SQL, pair).fetchall()}
    number = next_epoch(connection)
    found: list[tuple[int, Binned]] = []
    new: list[tuple[Epoch, datetime | None]] = []
    for one in features:
        epoch = one.epoch
        if known.get(epoch.feature, 0) != epoch.epoch:
            raise InputError(f"the edges of {epoch.feature} are others now: make this reference once more")
        if epoch.epoch == 0:
            epoch = Epoch(number, epoch.feature, epoch.kind, epoch.edges, epoch.categories, epoch.low, epoch.high)
            new.append((epoch, None))
            number += 1
        found.append((epoch.epoch, one))
    if new:
        store(connection, (str(pair["service"]), str(pair["model"])), new, now, None)
    return found


def _next_version(connection: duckdb.DuckDBPyConnection, named: dict[str, object]) -> int:
    found = connection.execute(
        """SELECT coalesce(max(version), 0) + 1 FROM kept_references
           WHERE service = $service AND model = $model AND name = $name""",
        named,
    ).fetchall()
    return int(found[0][0])


def _sources(facts: FactStore, service: str, model: str) -> list[tuple[str, str, str]]:
    """Give (feature, kind, SQL of its values in one version), in the newest schema version that has it."""
    where = "p.service = $service AND p.model = $model AND p.model_version = $version"
    found = {
        SCORE: (SCORE, "numeric", f"SELECT p.score AS x FROM predictions p WHERE {where}"),
        PREDICTION: (PREDICTION, "category", f"SELECT p.prediction AS x FROM predictions p WHERE {where}"),
    }
    tables = facts.read(
        """SELECT c.name, c.kind, c.table_name, c.column_name FROM feature_columns c JOIN feature_tables t
             USING (table_name)
           WHERE t.service = $service AND t.model = $model AND c.role = 'feature' ORDER BY t.schema_version, c.name""",
        {"service": service, "model": model},
    )
    for name, kind, table, column in tables.iter_rows():
        joined = f"FROM predictions p JOIN {table} f ON f.id = p.id AND f.ts = p.ts WHERE {where}"
        found[name] = (name, kind, f"SELECT f.{quoted(column)} AS x {joined}")
    return list(found.values())

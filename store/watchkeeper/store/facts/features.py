"""Features as typed columns: one wide table a (service, model, schema version), additive, within limits.

The first good batch decides a feature's kind. A value of another type never refuses its event: it is kept in
``extra``, counted as ``mismatched``, and its column is null. So is what exceeds the limit of columns. Where the type
has changed for good (see ``versions``), a new version's table takes the rows from then on.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import duckdb
import polars as pl

from watchkeeper.store.facts.batch import Fields, Wide
from watchkeeper.store.sql import quoted

MAX_FEATURES = 300
MAX_SEGMENTS = 20
SCORE, PREDICTION = "score", "prediction"
"""What every prediction may have is watched like a feature."""
OVERFLOW = "(too many features)"
"""The name under which features past the limit are counted."""

Kind = Literal["numeric", "category"]
Role = Literal["feature", "segment"]


@dataclass(frozen=True, slots=True)
class Column:
    """Where one feature or segment of one model is kept."""

    name: str
    role: Role
    kind: Kind
    column_name: str


@dataclass(frozen=True, slots=True)
class ModelColumns:
    """The features and segments that a model has columns for, and of which kind; never changed once given."""

    features: Mapping[str, Kind]
    segments: Mapping[str, Kind]


@dataclass(slots=True)
class FeatureTable:
    """The wide table of one (service, model, schema version), and the columns that it has so far."""

    service: str
    model: str
    table_name: str
    schema_version: int = 1
    columns: dict[tuple[Role, str], Column] = field(default_factory=dict[tuple[Role, str], Column])

    def of(self, role: Role) -> list[Column]:
        """Give the columns of one role."""
        return [column for column in self.columns.values() if column.role == role]


@dataclass(slots=True)
class TypedColumns:
    """One model's rows as typed series, and what did not fit."""

    series: dict[str, pl.Series]
    mismatched: dict[str, list[int]]
    overflow: set[str]
    extra: dict[int, dict[str, object]]


def kind_of(values: Iterable[object]) -> Kind | None:
    """Decide the kind of a new feature by its first value that is not null; None where none can be kept.

    >>> kind_of([None, 3]), kind_of(["a"]), kind_of([True]), kind_of([[1, 2]])
    ('numeric', 'category', 'category', None)
    """
    for value in values:
        if isinstance(value, bool | str):
            return "category"
        if isinstance(value, int | float):
            return "numeric"
        if value is not None:
            return None
    return None


class FeatureCatalog:
    """Which tables and columns there are: read from the file once, then kept in step."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], FeatureTable] = {}
        self._made = 0
        self._generation = -1
        self._known: Mapping[tuple[str, str], ModelColumns] = {}
        self._changed: set[tuple[str, str]] = set()

    def refresh(self, connection: duckdb.DuckDBPyConnection, generation: int) -> None:
        """Read the catalog again after an aborted transaction (or for the first time)."""
        if generation == self._generation:
            return
        self._generation = generation
        self._tables.clear()
        by_name: dict[str, FeatureTable] = {}
        for service, model, table_name, version in connection.execute(
            "SELECT service, model, table_name, schema_version FROM feature_tables ORDER BY schema_version"
        ).fetchall():
            made = FeatureTable(service, model, table_name, version)
            by_name[table_name] = self._tables[service, model] = made  # the newest version takes the rows
        self._made = len(by_name)
        for table_name, name, role, kind, column_name in connection.execute(
            "SELECT table_name, name, role, kind, column_name FROM feature_columns"
        ).fetchall():
            by_name[table_name].columns[role, name] = Column(name, role, kind, column_name)
        self._changed = {*self._tables}

    def table(self, service: str, model: str) -> FeatureTable | None:
        """Find the table of a model that has one."""
        return self._tables.get((service, model))

    def kinds(self, service: str, model: str, role: Role) -> Mapping[str, Kind]:
        """Give the columns of a model by name; none before its first event is stored."""
        table = self._tables.get((service, model))
        return {column.name: column.kind for column in table.of(role)} if table else {}

    def known(self) -> Mapping[tuple[str, str], ModelColumns]:
        """Give the columns of every model as they are now; any thread may read it, for it never changes."""
        if self._changed:
            fresh = {
                model: ModelColumns(self.kinds(*model, "feature"), self.kinds(*model, "segment"))
                for model in self._changed
            }
            self._known = {**self._known, **fresh}
            self._changed = set()
        return self._known

    def grow(
        self, connection: duckdb.DuckDBPyConnection, service: str, model: str, role: Role, rows: Wide
    ) -> FeatureTable:
        """Make the model's table, and a column for every name that is new, up to the limit."""
        table = self._tables.get((service, model)) or self._create(connection, service, model)
        limit = MAX_FEATURES if role == "feature" else MAX_SEGMENTS
        known = {name for (known_role, name) in table.columns if known_role == role}
        new = sorted(rows.columns.keys() - known)
        for name in new[: max(0, limit - len(known))]:
            kind = "category" if role == "segment" else kind_of(rows.columns[name])
            if kind is not None:
                self._add(connection, table, name, role, kind)
        return table

    def turn(
        self, connection: duckdb.DuckDBPyConnection, table: FeatureTable, names: Collection[str], since: datetime
    ) -> FeatureTable:
        """Make the next version of a model's table, in which these features are of the other kind."""
        new = self._create(connection, table.service, table.model, table.schema_version + 1, since)
        for column in table.columns.values():
            kind = column.kind
            if column.role == "feature" and column.name in names:
                kind = "category" if kind == "numeric" else "numeric"
            self._add(connection, new, column.name, column.role, kind)
        return new

    def _create(
        self,
        connection: duckdb.DuckDBPyConnection,
        service: str,
        model: str,
        version: int = 1,
        since: datetime | None = None,
    ) -> FeatureTable:
        self._made += 1
        name = f"features_{self._made}"
        connection.execute(f"CREATE TABLE {name} (id VARCHAR, ts TIMESTAMP)")
        connection.execute("INSERT INTO feature_tables VALUES (?, ?, ?, ?, ?)", [service, model, name, version, since])
        table = self._tables[service, model] = FeatureTable(service, model, name, version)
        self._changed.add((service, model))
        return table

    def _add(
        self, connection: duckdb.DuckDBPyConnection, table: FeatureTable, name: str, role: Role, kind: Kind
    ) -> None:
        taken = {column.column_name.casefold() for column in table.columns.values()}
        shown = "".join(character if character.isprintable() else "_" for character in name)  # Arrow takes no NUL
        base = column_name = ("f_" if role == "feature" else "s_") + shown
        number = 2
        while column_name.casefold() in taken:  # DuckDB does not tell Age from age
            column_name, number = f"{base}_{number}", number + 1
        sql_type = "DOUBLE" if kind == "numeric" else "VARCHAR"
        connection.execute(f"ALTER TABLE {table.table_name} ADD COLUMN {quoted(column_name)} {sql_type}")
        connection.execute(
            "INSERT INTO feature_columns VALUES (?, ?, ?, ?, ?)", [table.table_name, name, role, kind, column_name]
        )
        table.columns[role, name] = Column(name, role, kind, column_name)
        self._changed.add((table.service, table.model))


def typed(table: FeatureTable, role: Role, rows: Wide, height: int) -> TypedColumns:
    """Give one typed series a known column; say what did not fit."""
    result = TypedColumns({}, {}, set(), {})
    for column in table.of(role):
        result.series[column.name] = _series(column, rows.columns.get(column.name), height, result)
    for index, fields in rows.others.items():
        _keep_aside(result, index, fields)
    for name in rows.columns.keys() - result.series.keys():
        for index, value in enumerate(rows.columns[name]):
            if value is not None:
                _keep_aside(result, index, {name: value})
    return result


def _keep_aside(result: TypedColumns, index: int, fields: Fields) -> None:
    sent = {name: value for name, value in fields.items() if value is not None}
    if sent:
        result.extra.setdefault(index, {}).update(sent)
        result.overflow |= sent.keys()


def _series(
    column: Column, values: pl.Series | Sequence[object] | None, height: int, result: TypedColumns
) -> pl.Series:
    dtype = pl.Float64() if column.kind == "numeric" else pl.String()
    if values is None:
        return pl.Series(column.name, [None], dtype).new_from_index(0, height)
    if isinstance(values, pl.Series) and values.dtype == dtype:
        return values.alias(column.name)
    if isinstance(values, pl.Series):
        values = values.to_list()  # of another type: polars would take the text "3" for a number
    try:
        return pl.Series(column.name, values, dtype, strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        fitted: list[object] = []
        for index, value in enumerate(values):
            fits, kept = _fit(column.kind, value)
            fitted.append(kept)
            if not fits:
                result.mismatched.setdefault(column.name, []).append(index)
                result.extra.setdefault(index, {})[column.name] = value
        return pl.Series(column.name, fitted, dtype, strict=True)


def _fit(kind: Kind, value: object) -> tuple[bool, object]:
    """Say whether a value is of the column's kind, and what to keep in the column.

    >>> _fit("numeric", 3), _fit("numeric", "3"), _fit("category", True), _fit("category", 3)
    ((True, 3.0), (False, None), (True, 'true'), (False, '3'))
    """
    if value is None:
        return True, None
    if kind == "numeric":
        return (True, _number(value)) if isinstance(value, int | float) else (False, None)
    if isinstance(value, bool):
        return True, "true" if value else "false"
    return isinstance(value, str), str(value) if isinstance(value, str | int | float) else None


def _number(value: float) -> float:
    """Give a float; an integer beyond its range is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf

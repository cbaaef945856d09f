"""Writes the facts of a day to Parquet before they are let go: every row once, whoever interrupts it.

One file a service, model and schema version holds the predictions with their features and segments as columns
(``f_...``, ``s_...``); outcomes, reviews and GPU samples have files of their own. What is sealed already is not sealed
again; what came later goes to a further file. Text of prompts and answers is never sealed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.schemas.text import TEXT_KEYS
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.kept import Scope
from watchkeeper.store.sealed import SealedColumn, SealedDays, SealedFile, digest
from watchkeeper.store.sql import quoted

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of facts: the column that says which day a row belongs to, and what tells its rows apart."""

    name: str
    time: str
    key: tuple[str, ...]
    has_service: bool = True


TABLES = (
    Table("outcomes", "known_at", ("prediction_id", "value", "known_at", "evaluation")),
    Table("reviews", "ts", ("prediction_id", "decision", "ts")),
    Table("gpu_samples", "ts", ("uuid", "mig", "ts"), has_service=False),
)
PREDICTIONS = Table("predictions", "ts", ("id", "ts"))


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one future file: what to select from, and what the file will say of itself."""

    table: Table
    service: str | None
    model: str | None = None
    version: int | None = None
    columns: tuple[tuple[str, SealedColumn], ...] = ()
    features: str = ""
    without: tuple[str, ...] = ()


def seal(facts: FactStore, sealed: SealedDays, day: datetime, scope: Scope) -> list[SealedFile]:
    """Seal what is not sealed yet of one day (naive UTC) and these services; give the new files.

    It reads on its own cursor: nobody waits for it.
    """
    name = f"{day:%Y-%m-%d}"
    _remove_leftovers(sealed, name)
    files = [_write(facts, sealed, day, part) for part in _parts(facts, day, scope)]
    return [file for file in files if file is not None]


def _parts(facts: FactStore, day: datetime, scope: Scope) -> list[_Part]:
    span: dict[str, object] = {"day": day, "next": day + DAY}
    parts: list[_Part] = []
    found = facts.read(
        f"""SELECT DISTINCT service, model FROM predictions
            WHERE ts >= $day AND ts < $next AND {scope.sql} ORDER BY ALL""",
        span | scope.parameters,
    )
    for service, model in found.rows():
        wide = _wide(facts, str(service), str(model))
        parts += [_Part(PREDICTIONS, service, model, version, columns, name) for name, version, columns in wide]
        parts.append(_Part(PREDICTIONS, service, model, without=tuple(name for name, _, _ in wide)))
    for table in TABLES:
        if not table.has_service:
            if scope.service is None:
                parts.append(_Part(table, None))
            continue
        services = facts.read(
            f"""SELECT DISTINCT service FROM {table.name}
                WHERE {table.time} >= $day AND {table.time} < $next AND {scope.sql} ORDER BY ALL""",
            span | scope.parameters,
        )["service"]
        parts += [_Part(table, service) for service in services]
    return parts


def _wide(facts: FactStore, service: str, model: str) -> list[tuple[str, int, tuple[tuple[str, SealedColumn], ...]]]:
    """Give each feature table of a model, its schema version, and what its columns hold."""
    rows = facts.read(
        """SELECT table_name, schema_version, name, role, kind, column_name
           FROM feature_tables LEFT JOIN feature_columns USING (table_name)
           WHERE service = $service AND model = $model ORDER BY schema_version, table_name, column_name""",
        {"service": service, "model": model},
    )
    columns: dict[tuple[str, int], list[tuple[str, SealedColumn]]] = {}
    for table, version, name, role, kind, column in rows.rows():
        listed = columns.setdefault((str(table), int(version)), [])
        if column is not None:
            listed.append((str(column), SealedColumn(str(name), str(role), str(kind))))
    return [(table, version, tuple(listed)) for (table, version), listed in columns.items()]


def _write(facts: FactStore, sealed: SealedDays, day: datetime, part: _Part) -> SealedFile | None:
    name = f"{day:%Y-%m-%d}"
    earlier = [
        str(sealed.path(name, file))
        for file in sealed.manifest(name).files
        if (file.table, file.service, file.model) == (part.table.name, part.service, part.model)
    ]
    sql, parameters = _select(facts, part, earlier)
    parameters |= {"day": day, "next": day + DAY}
    rows = int(facts.read(f"SELECT count(*) FROM ({sql})", parameters).item())
    if rows == 0:
        return None
    path = sealed.fresh_path(name)
    facts.copy(sql, parameters, path)
    written = int(facts.read("SELECT count(*) FROM read_parquet($path)", {"path": str(path)}).item())
    if written != rows:
        raise StoreUnavailable(f"{path} holds {written} of {rows} rows: nothing was let go; look at the disk")
    file = SealedFile(
        name=sealed.name(name, part.table.name, part.service, part.model, part.version),
        table=part.table.name,
        service=part.service,
        model=part.model,
        schema_version=part.version,
        rows=rows,
        bytes=path.stat().st_size,
        sha256=digest(path),
        columns=dict(part.columns),
    )
    sealed.replace(name, (), [(path, file)])
    return file


def _select(facts: FactStore, part: _Part, earlier: Sequence[str]) -> tuple[str, dict[str, object]]:
    table, types = part.table, types_of(facts, part.table.name)
    parameters: dict[str, object] = {}
    where = [f"t.{table.time} >= $day", f"t.{table.time} < $next"]
    if table.has_service:
        where.append("t.service IS NOT DISTINCT FROM $service")
        parameters["service"] = part.service
    if part.model is not None:
        where.append("t.model = $model")
        parameters["model"] = part.model
    joins = f"JOIN {quoted(part.features)} f ON f.id = t.id AND f.ts = t.ts" if part.features else ""
    joins += "".join(
        f" ANTI JOIN {quoted(name)} w{number} ON w{number}.id = t.id AND w{number}.ts = t.ts"
        for number, name in enumerate(part.without)
    )
    if earlier:
        same = " AND ".join(
            f"e.{quoted(key)} IS NOT DISTINCT FROM {portable('t', key, types[key])}" for key in table.key
        )
        joins += f" ANTI JOIN read_parquet($earlier, union_by_name = true) e ON {same}"
        parameters["earlier"] = list(earlier)
    listed = [f"{portable('t', name, kind)} AS {quoted(name)}" for name, kind in types.items()]
    listed += [f"f.{quoted(column)}" for column, _ in part.columns]
    chosen = f"SELECT {', '.join(listed)} FROM {table.name} t {joins} WHERE {' AND '.join(where)}"
    return f"{chosen} ORDER BY t.{table.time}, t.{table.key[0]}", parameters


def types_of(facts: FactStore, table: str) -> dict[str, str]:
    """Give the columns of a table and their types."""
    rows = facts.read(f"SELECT column_name, column_type FROM (DESCRIBE {table})").rows()
    return {str(name): str(kind) for name, kind in rows}


def portable(alias: str, name: str, kind: str) -> str:
    """Give the SQL for a column as every engine reads it: times in UTC, JSON as text, what people wrote left out."""
    column = f"{alias}.{quoted(name)}"
    if kind == "TIMESTAMP":
        return f"timezone('UTC', {column})"
    return f"{without_text(column)}::VARCHAR" if kind == "VARIANT" else column


def without_text(column: str) -> str:
    """Give the SQL for a VARIANT column as JSON, less what people and models wrote."""
    patch = json.dumps(dict.fromkeys(TEXT_KEYS))
    return f"CASE WHEN {column} IS NOT NULL THEN json_merge_patch({column}::JSON, '{patch}') END"


def _remove_leftovers(sealed: SealedDays, day: str) -> None:
    """Remove what a crash left: files that the manifest does not name."""
    known = {file.name for file in sealed.manifest(day).files}
    for path in sealed.of(day).glob("*.parquet"):
        if path.name not in known:
            path.unlink()

"""Removes a person's rows: predictions with features and text, what refers to them, rejects, sealed files. Counts stay.

First every prediction is found, stored and sealed, then all that bears its id goes. In counts by segment or unseen
value, and in readings of a segment, the person's own value becomes ``(erased)``; the numbers are what they were.
Mentions in free text are not found: only a name that has the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import msgspec

from watchkeeper.store.facts import measured
from watchkeeper.store.facts.connection import FactStore, first
from watchkeeper.store.facts.prediction_rows import stored
from watchkeeper.store.facts.sealing import PREDICTIONS, TABLES, types_of
from watchkeeper.store.sealed import SealedDays, SealedFile, digest
from watchkeeper.store.sql import quoted
from watchkeeper.store.subjects import Subject, concerns, holds

ERASED = "(erased)"
_BY_PREDICTION = ("outcomes", "pending_outcomes", "matched", "reviews")
_TIMES = {table.name: table.time for table in (*TABLES, PREDICTIONS)}


@dataclass(slots=True)
class Erasure:
    """Rows that went (or would go) by table, and from how many sealed files how many rows."""

    deleted: dict[str, int] = field(default_factory=dict[str, int])
    sealed_rows: int = 0
    sealed_files: int = 0
    relabelled: int = 0

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.deleted.values()) + self.sealed_rows


def erase(facts: FactStore, sealed: SealedDays, subjects: Sequence[Subject], *, dry_run: bool = False) -> Erasure:
    """Remove everything about these subjects; only count it on a dry run.

    The facts go in one transaction, each sealed file in one step; whoever is interrupted runs it again. Bytes of what
    went may stay in free room of the file until that is used again, or until ``compaction.compact``.
    """
    report = Erasure()
    ids = sorted(_found(facts, subjects) | _found_sealed(facts, sealed, subjects))
    rejects = _rejects(facts, subjects, ids)
    halves = _halves(facts, subjects, ids)
    with facts.transaction() as connection:
        for table, column in _places(connection):
            _take(connection, report, table, f"{column} IN (SELECT unnest($ids))", ids, dry_run=dry_run)
        _take(connection, report, "rejects", "id IN (SELECT unnest($ids))", rejects, dry_run=dry_run)
        _take(connection, report, "held", "key IN (SELECT unnest($ids))", halves, dry_run=dry_run)
        if not dry_run:
            report.relabelled = sum(_relabelled(connection, subject) for subject in subjects)
    if not dry_run:
        facts.generation += 1
        facts.checkpoint()
    for day, file in _files(sealed):
        _take_sealed(facts, sealed, day, file, ids, report, dry_run=dry_run)
    return report


def _found(facts: FactStore, subjects: Sequence[Subject]) -> set[str]:
    """Give the ids of stored predictions."""
    ids = {subject.value for subject in subjects if subject.key == "id"}
    texts = {name for name, kind in types_of(facts, "predictions").items() if kind == "VARCHAR"}
    for subject in subjects:
        value = {"value": subject.value}
        if subject.key in texts:
            ids |= _ids(facts, f"SELECT id FROM predictions WHERE {quoted(subject.key)} = $value", value)
        columns = facts.read(
            "SELECT table_name, column_name FROM feature_columns WHERE name = $key", {"key": subject.key}
        )
        for table, column in columns.rows():
            ids |= _ids(facts, f"SELECT id FROM {quoted(table)} WHERE {_equal(quoted(column))}", value)
        ids |= _in_extra(facts, "predictions", "extra::JSON::VARCHAR", subject, {})
    return ids


def _found_sealed(facts: FactStore, sealed: SealedDays, subjects: Sequence[Subject]) -> set[str]:
    """Give the ids of sealed predictions."""
    ids: set[str] = set()
    for day, file in _files(sealed):
        if file.table != PREDICTIONS.name:
            continue
        source, path = "read_parquet($path)", {"path": str(sealed.path(day, file))}
        kinds = {
            str(name): str(kind)
            for name, kind in facts.read(
                f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {source})", path
            ).rows()
        }
        for subject in subjects:
            names = [column for column, held in file.columns.items() if held.name == subject.key]
            names += [subject.key] if kinds.get(subject.key) == "VARCHAR" else []
            for name in names:
                ids |= _ids(
                    facts, f"SELECT id FROM {source} WHERE {_equal(quoted(name))}", path | {"value": subject.value}
                )
            ids |= _in_extra(facts, source, "extra", subject, path)
    return ids


def _equal(column: str) -> str:
    return f"({column}::VARCHAR = $value OR TRY_CAST({column} AS DOUBLE) = TRY_CAST($value AS DOUBLE))"


def _in_extra(facts: FactStore, source: str, extra: str, subject: Subject, parameters: dict[str, str]) -> set[str]:
    """Look into ``extra`` at any depth; the text is searched first, only what holds it is decoded."""
    needle = msgspec.json.encode(subject.value).decode()[1:-1]
    rows = facts.read(
        f"SELECT id, {extra} AS extra FROM {source} WHERE contains({extra}, $value)", {**parameters, "value": needle}
    )
    return {str(row[0]) for row in rows.rows() if holds(msgspec.json.decode(row[1]), subject)}


def _ids(facts: FactStore, sql: str, parameters: dict[str, str]) -> set[str]:
    return set(facts.read(sql, parameters)["id"].to_list())


def _rejects(facts: FactStore, subjects: Sequence[Subject], ids: Sequence[str]) -> list[str]:
    known = set(ids)
    rows = facts.read("SELECT id, raw FROM rejects WHERE raw IS NOT NULL").rows()
    return [str(name) for name, raw in rows if concerns(raw, subjects, known)]


def _halves(facts: FactStore, subjects: Sequence[Subject], ids: Sequence[str]) -> list[str]:
    known = set(ids)
    rows = facts.read("SELECT key, body FROM held WHERE body IS NOT NULL").rows()
    return [str(key) for key, body in rows if concerns(body, subjects, known)]


def _places(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str]]:
    """Give every table with rows about a prediction, and the column of its id."""
    for (name,) in connection.execute("SELECT table_name FROM feature_tables ORDER BY table_name").fetchall():
        yield str(name), "id"
    for name in _BY_PREDICTION:
        yield name, "prediction_id"
    yield "predictions", "id"


def _take(
    connection: duckdb.DuckDBPyConnection,
    report: Erasure,
    table: str,
    where: str,
    ids: Sequence[str],
    *,
    dry_run: bool,
) -> None:
    verb = "SELECT count(*)" if dry_run else "DELETE"
    row = first(connection, f"{verb} FROM {quoted(stored(table))} WHERE {where}", {"ids": list(ids)})
    if int(str(row[0])):
        report.deleted[table] = int(str(row[0]))


def _relabelled(connection: duckdb.DuckDBPyConnection, subject: Subject) -> int:
    """Take the person's own value out of the counts that were made by it."""
    given = {"key": subject.key, "value": subject.value}
    epochs = "epoch IN (SELECT epoch FROM epochs WHERE feature = $key)"
    total = 0
    for sql in (
        *(
            f"UPDATE {table} SET value = '{ERASED}' WHERE dim = $key AND value = $value"
            for table in ("traffic_minute", "traffic_hour", "traffic_unsent_minute", "traffic_unsent_hour")
        ),
        f"UPDATE unseen_hour SET value = '{ERASED}' WHERE value = $value AND {epochs}",
        f"""UPDATE epochs SET categories =
              list_transform(categories, lambda c: CASE WHEN c = $value THEN '{ERASED}' ELSE c END)
            WHERE feature = $key AND list_contains(categories, $value)""",
        f"""UPDATE readings SET subject = CASE subject WHEN concat('segment:', $value) THEN 'segment:{ERASED}'
              ELSE concat('segment:', $key, '={ERASED}') END
            WHERE subject IN (concat('segment:', $value), concat('segment:', $key, '=', $value))""",
    ):
        total += int(str(first(connection, sql, given)[0]))
    return total + measured.relabel(connection, subject.key, subject.value, ERASED)


def _files(sealed: SealedDays) -> Iterator[tuple[str, SealedFile]]:
    for day in sealed.days():
        for file in sealed.manifest(day).files:
            yield day, file


def _take_sealed(
    facts: FactStore,
    sealed: SealedDays,
    day: str,
    file: SealedFile,
    ids: Sequence[str],
    report: Erasure,
    *,
    dry_run: bool,
) -> None:
    """Write one sealed file anew without these predictions, where it holds any."""
    if file.table == "gpu_samples":
        return
    column = "id" if file.table == PREDICTIONS.name else "prediction_id"
    given = {"path": str(sealed.path(day, file)), "ids": list(ids)}
    gone = int(
        facts.read(f"SELECT count(*) FROM read_parquet($path) WHERE {column} IN (SELECT unnest($ids))", given).item()
    )
    if not gone:
        return
    report.sealed_rows += gone
    report.sealed_files += 1
    if dry_run:
        return
    if gone == file.rows:
        sealed.replace(day, [file], [])
        return
    path: Path = sealed.fresh_path(day)
    facts.copy(
        f"""SELECT t.* FROM read_parquet($path) t
            ANTI JOIN (SELECT unnest($ids) AS gone) g ON g.gone = t.{column}
            ORDER BY t.{_TIMES[file.table]}, t.{column}""",
        given,
        path,
    )
    rewritten = msgspec.structs.replace(
        file,
        name=sealed.name(day, file.table, file.service, file.model, file.schema_version),
        rows=file.rows - gone,
        bytes=path.stat().st_size,
        sha256=digest(path),
    )
    sealed.replace(day, [file], [(path, rewritten)])

"""Lets go of what is older than it is kept: day by day, each in one short transaction, never before it is sealed.

What would go is said first (``due``), so that a dry run and a run cannot differ. Counts by the minute have a limit of
their own (see ``rollups``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb

from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.schemas.text import TEXT_KEYS
from watchkeeper.store.clock import utc
from watchkeeper.store.facts import kept, telemetry
from watchkeeper.store.facts.connection import FactStore, first
from watchkeeper.store.facts.kept import Policy, Scope, scopes
from watchkeeper.store.facts.prediction_rows import TABLE, stored
from watchkeeper.store.facts.sealing import DAY, PREDICTIONS, TABLES, Table, seal, without_text
from watchkeeper.store.sealed import SealedDays
from watchkeeper.store.sql import quoted

_FACTS = (
    *TABLES,
    Table("pending_outcomes", "known_at", ()),
    Table("matched", "prediction_ts", ()),
    PREDICTIONS,
)
"""Every table of facts but the wide ones; predictions last, for the wide tables are found by them."""
_ROLLUPS = (
    ("traffic_hour", "bucket", "service"),
    ("latency_hour", "bucket", "service"),
    ("traffic_unsent_hour", "bucket", "service"),
    ("latency_unsent_hour", "bucket", "service"),
    ("feature_hour", "bucket", "service"),
    ("histogram_hour", "bucket", "epoch"),
    ("unseen_hour", "bucket", "epoch"),
    ("readings", "window_end", "service"),
    ("telemetry", "looked_at", "service"),
    ("changes", "ts", "service"),
)


@dataclass(slots=True)
class Report:
    """Rows that went (or would go) by table, text that went, and what was sealed before."""

    deleted: dict[str, int] = field(default_factory=dict[str, int])
    texts: int = 0
    sealed_files: int = 0
    sealed_rows: int = 0
    sealed_bytes: int = 0

    def add(self, table: str, rows: int) -> None:
        """Count rows of a table."""
        if rows:
            self.deleted[table] = self.deleted.get(table, 0) + rows


def run(facts: FactStore, sealed: SealedDays, policy: Policy, now: datetime) -> Report:
    """Let go of everything that is due at ``now`` (naive UTC).

    Facts of a day go in one transaction, after their seal was read back and counted; whoever is interrupted goes on at
    the next run. Raises StoreUnavailable where the disk is full: nothing was lost then.
    """
    report = Report()
    kept.advance(facts, policy, now)
    for scope in scopes(policy, "facts", now):
        for day in _days(facts, scope):
            for file in seal(facts, sealed, day, scope):
                report.sealed_files += 1
                report.sealed_rows += file.rows
                report.sealed_bytes += file.bytes
            _delete_day(facts, sealed, day, scope, report)
    for scope in scopes(policy, "text", now):
        report.texts += _delete_text(facts, scope)
    for table, sql, parameters in _others(policy, now):
        with facts.transaction() as connection:
            report.add(table, _changed(connection, f"DELETE FROM {table} WHERE {sql}", parameters))
    _compact_ledger(facts)
    telemetry.thin(facts, utc(now))
    facts.checkpoint()
    return report


def due(facts: FactStore, policy: Policy, now: datetime) -> Report:
    """Say what ``run`` would let go of; changes nothing."""
    report = Report()
    for scope in scopes(policy, "facts", now):
        for table, where in _fact_tables(facts, scope):
            sql = f"SELECT count(*) FROM {quoted(table.name)} WHERE {table.time} < $before AND {where}"
            report.add(table.name, _count(facts, sql, _given(scope, where) | {"before": scope.before}))
    for scope in scopes(policy, "text", now):
        sql = f"SELECT count(*) FROM predictions WHERE {_has_text()} AND ts < $before AND {scope.sql}"
        report.texts += _count(facts, sql, scope.parameters | {"before": scope.before})
    for table, sql, parameters in _others(policy, now):
        report.add(table, _count(facts, f"SELECT count(*) FROM {table} WHERE {sql}", parameters))
    return report


def _fact_tables(facts: FactStore, scope: Scope) -> Iterator[tuple[Table, str]]:
    """Give every table of facts with the condition that selects the scope's rows."""
    for service, name in facts.read("SELECT service, table_name FROM feature_tables ORDER BY table_name").rows():
        if scope.covers(str(service)):
            yield Table(str(name), "ts", ()), "true"
    for table in _FACTS:
        if table.has_service:
            yield table, scope.sql
        elif scope.service is None:
            yield table, "true"


def _given(scope: Scope, where: str) -> dict[str, object]:
    return {} if where == "true" else scope.parameters


def _days(facts: FactStore, scope: Scope) -> list[datetime]:
    """List the days that hold something which is due."""
    found: set[datetime] = set()
    for table, where in _fact_tables(facts, scope):
        rows = facts.read(
            f"""SELECT DISTINCT date_trunc('day', {table.time})::TIMESTAMP AS day FROM {quoted(table.name)}
                WHERE {table.time} < $before AND {where}""",
            _given(scope, where) | {"before": scope.before},
        )
        found.update(rows["day"].drop_nulls().to_list())
    return sorted(found)


def _delete_day(facts: FactStore, sealed: SealedDays, day: datetime, scope: Scope, report: Report) -> None:
    """Delete one day in one transaction, if all that goes is in sealed files."""
    span = {"day": day, "next": day + DAY}
    files = [file for file in sealed.manifest(f"{day:%Y-%m-%d}").files if scope.covers(file.service)]
    counted: dict[str, int] = {}
    with facts.transaction() as connection:
        for table, where in _fact_tables(facts, scope):
            days = f"{table.time} >= $day AND {table.time} < $next"
            sql = f"DELETE FROM {quoted(stored(table.name))} WHERE {days} AND {where}"
            counted[table.name] = _changed(connection, sql, _given(scope, where) | span)
        for table in (PREDICTIONS, *TABLES):
            there = sum(file.rows for file in files if file.table == table.name)
            if counted.get(table.name, 0) > there:
                raise StoreUnavailable(
                    f"{day:%Y-%m-%d}: {counted[table.name]} rows of {table.name}, {there} of them sealed: "
                    "nothing was deleted. Run retention again"
                )
    for name, rows in counted.items():
        report.add(name, rows)


def _delete_text(facts: FactStore, scope: Scope) -> int:
    """Take the text out of what is old enough, day by day."""
    where = f"{_has_text()} AND {scope.sql}"
    days = facts.read(
        f"""SELECT DISTINCT date_trunc('day', ts)::TIMESTAMP AS day FROM predictions
            WHERE ts < $before AND {where} ORDER BY day""",
        scope.parameters | {"before": scope.before},
    )["day"]
    total = 0
    for day in days:
        with facts.transaction() as connection:
            total += _changed(
                connection,
                f"""UPDATE {TABLE} SET extra = ({without_text("extra")})::VARIANT
                    WHERE ts >= $day AND ts < $next AND {where}""",
                scope.parameters | {"day": day, "next": day + timedelta(days=1)},
            )
    return total


def _has_text() -> str:
    return "(" + " OR ".join(f"variant_extract(extra, '{key}') IS NOT NULL" for key in TEXT_KEYS) + ")"


def _others(policy: Policy, now: datetime) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Give, for rollups and rejects, table, condition and parameters."""
    for scope in scopes(policy, "rollups", now):
        for table, time, owner in _ROLLUPS:
            owned = scope.sql if owner == "service" else f"epoch IN (SELECT epoch FROM epochs WHERE {scope.sql})"
            yield table, f"{time} < $before AND {owned}", scope.parameters | {"before": scope.before}
    for scope in scopes(policy, "rejects", now):
        yield "rejects", f"received_at < $before AND {scope.sql}", scope.parameters | {"before": scope.before}


def _compact_ledger(facts: FactStore) -> None:
    """Sum the ledger of each hour into one row a service and kind: each load adds some."""
    with facts.transaction() as connection:
        names = [row[0] for row in connection.execute("DESCRIBE ingest").fetchall()]
        sums = [f"{'max' if name == 'last_ts' else 'sum'}({name}) AS {name}" for name in names[3:]]
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE ledger AS
                SELECT hour, service, kind, {", ".join(sums)} FROM ingest GROUP BY hour, service, kind"""
        )
        connection.execute("DELETE FROM ingest")
        connection.execute("INSERT INTO ingest BY NAME SELECT * FROM ledger")
        connection.execute("DROP TABLE ledger")


def _changed(connection: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, object]) -> int:
    return int(str(first(connection, sql, parameters)[0]))


def _count(facts: FactStore, sql: str, parameters: dict[str, object]) -> int:
    return int(facts.read(sql, parameters).item())

"""Which requests were attempts of one: siblings of the same operation, one after the other, where all but the last
failed.

What a family of siblings comes to depends on its rows alone, not on the order in which they came or the requests that
brought them: each new member has the whole family judged anew. The last attempt stands for the request; those before it
keep their rows as ``attempt``, which is no request of the traffic. Rows and counts change in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb
import polars as pl

from watchkeeper.store.facts import amending, rollups
from watchkeeper.store.facts.batch import FAMILY_COLUMNS, complete
from watchkeeper.store.facts.connection import registered

MAX_PAUSE_US = 120 * 10**6
"""Waiting between two attempts beyond which they are two requests."""
MAX_ATTEMPTS = 1000
BEFORE, AFTER = timedelta(minutes=10), timedelta(microseconds=MAX_PAUSE_US)
"""How long before the failures that are known a family may have begun, and how long after them it may go on."""
_ROUNDING_US = 2
_SAME = """p.service = f.service AND p.trace_id IS NOT DISTINCT FROM f.trace_id
           AND p.parent_id IS NOT DISTINCT FROM f.parent_id AND coalesce(p.attempt_of, p.operation) = f.operation"""


@dataclass(frozen=True, slots=True)
class Sibling:
    """One row of a family; times are µs since 1970."""

    id: str
    start_us: int
    end_us: int
    status: str
    model: str
    error_class: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a row is in its family: an attempt, or the request that so many attempts and maybe a fallback led to."""

    attempt: bool = False
    attempts: int = 1
    fallback_from: str | None = None
    fallback_reason: str | None = None


@dataclass(slots=True)
class _Run:
    rows: list[Sibling] = field(default_factory=list[Sibling])

    def takes(self, row: Sibling) -> bool:
        """Say whether a row may be the next attempt: the one before failed, and was over."""
        if not self.rows:
            return True
        last = self.rows[-1]
        return last.status == "error" and -_ROUNDING_US <= row.start_us - last.end_us <= MAX_PAUSE_US


def standings(family: Sequence[Sibling]) -> dict[str, Standing]:
    """Give each row of one family its standing, by id.

    >>> rows = [Sibling("b", 20, 30, "ok", "small"), Sibling("a", 0, 10, "error", "big", "timeout")]
    >>> standings(rows)["b"]
    Standing(attempt=False, attempts=2, fallback_from='big', fallback_reason='timeout')
    >>> standings(rows)["a"].attempt
    True
    """
    found = {row.id: Standing() for row in family}
    run = _Run()
    for row in sorted(family, key=lambda one: (one.start_us, one.id)):
        if not run.takes(row):
            run = _Run()
        run.rows.append(row)
        if row.status == "ok":
            if len(run.rows) > 1:
                found |= _chained(run.rows)
            run = _Run()
    return found


def _chained(rows: Sequence[Sibling]) -> dict[str, Standing]:
    first, last = rows[0], rows[-1]
    fell = first.model != last.model
    request = Standing(
        False, min(len(rows), MAX_ATTEMPTS), first.model if fell else None, first.error_class if fell else None
    )
    return {row.id: Standing(attempt=True) for row in rows[:-1]} | {last.id: request}


def rejoin(
    connection: duckdb.DuckDBPyConnection, asked: pl.DataFrame, values: rollups.SegmentValues, now: datetime
) -> int:
    """Judge families (FAMILY_COLUMNS) anew in the caller's transaction; give how many rows changed."""
    families = complete(asked, FAMILY_COLUMNS).with_columns(
        pl.col("oldest") - BEFORE, pl.col("newest") + AFTER, pl.int_range(pl.len()).alias("family")
    )
    changed = [change for stretch in _stretches(families) for change in _changes(connection, stretch)]
    if not changed:
        return 0
    schema = {
        "id": pl.String, "service": pl.String, "ts": pl.Datetime("us"), "attempt_of": pl.String,
        "operation": pl.String, "attempts": pl.Int32, "fallback_from": pl.String, "fallback_reason": pl.String,
    }  # fmt: skip
    changes = pl.DataFrame(changed, schema=schema, orient="row")
    return amending.exchange(connection, changes, values, now)


def _stretches(families: pl.DataFrame) -> list[pl.DataFrame]:
    """Part families whose times lie apart, so that a very old one lets nothing between be read."""
    ordered = families.sort("oldest", "newest")
    begins = ordered["oldest"] > ordered["newest"].cum_max().shift(1)
    return ordered.with_columns(begins.fill_null(False).cum_sum().alias("stretch")).partition_by("stretch")


def _changes(connection: duckdb.DuckDBPyConnection, families: pl.DataFrame) -> list[tuple[object, ...]]:
    with registered(connection, "families", families):
        rows = connection.execute(
            f"""SELECT f.family, p.id, p.service, p.ts, f.operation, epoch_us(p.ts), p.latency_ms, p.status, p.model,
                       p.error_class, p.attempt_of IS NOT NULL, p.attempts, p.fallback_from, p.fallback_reason
                FROM predictions p JOIN families f ON {_SAME}
                WHERE p.ts BETWEEN $low AND $high AND p.ts BETWEEN f.oldest AND f.newest
                  AND p.server_ts IS DISTINCT FROM true
                ORDER BY f.family""",
            {"low": families["oldest"].min(), "high": families["newest"].max()},
        ).fetchall()
    members: dict[int, list[Sibling]] = {}
    for family, name, _, _, _, start, latency, status, model, error, *_ in rows:
        end = start + round((latency or 0) * 1000)
        members.setdefault(family, []).append(Sibling(name, start, end, status, model, error))
    judged = {family: standings(siblings) for family, siblings in members.items()}
    changes: list[tuple[object, ...]] = []
    for family, name, service, ts, operation, *_, was_attempt, attempts, fallback, reason in rows:
        stands = judged[family][name]
        if stands != Standing(was_attempt, attempts, fallback, reason):
            becomes = amending.ATTEMPT if stands.attempt else operation
            of = operation if stands.attempt else None
            changes.append(
                (name, service, ts, of, becomes, stands.attempts, stands.fallback_from, stands.fallback_reason)
            )
    return changes

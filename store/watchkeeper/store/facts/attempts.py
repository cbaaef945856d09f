"""Which requests were attempts of one: siblings of the same operation, one after the other, where all but the last
failed.

What a family of siblings comes to depends on its rows alone, not on the order in which they came, how late, or the
requests that brought them: each new member has its part of the family judged anew. Two rows are of one run, or not, by
themselves alone; so rows are read as far before and after the new ones as their runs go, and no further. The last
attempt stands for the request; those before it keep their rows as ``attempt``, which is no request of the traffic. Rows
and counts change in one transaction.

Misleads where a failed attempt took over 8 minutes and its success comes over 10 minutes after it: they stay two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import polars as pl

from watchkeeper.store.clock import utc
from watchkeeper.store.facts import amending, rollups
from watchkeeper.store.facts.batch import FAMILY_COLUMNS, TIME, complete
from watchkeeper.store.facts.connection import registered

MAX_PAUSE_US = 120 * 10**6
"""Waiting between two attempts beyond which they are two requests."""
MAX_ATTEMPTS = 1000
BEFORE, AFTER = timedelta(minutes=10), timedelta(microseconds=MAX_PAUSE_US)
"""How long before the rows that are known a run may have begun, and how long after them it may go on."""
ROUNDS = 50
"""How often a run that goes on beyond what was read is read further."""
_ROUNDING_US = 2
_BEFORE_US = round(BEFORE.total_seconds() * 1e6)
_Reach = tuple[int, datetime, datetime]
"""A family, and from when to when it is to be read."""
_REACH: dict[str, pl.DataType | type[pl.DataType]] = {"family": pl.Int64, "low": TIME, "high": TIME}
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


def standings(family: Sequence[Sibling]) -> dict[str, Standing]:
    """Give each row of one family its standing, by id.

    >>> rows = [Sibling("b", 20, 30, "ok", "small"), Sibling("a", 0, 10, "error", "big", "timeout")]
    >>> standings(rows)["b"]
    Standing(attempt=False, attempts=2, fallback_from='big', fallback_reason='timeout')
    >>> standings(rows)["a"].attempt
    True
    """
    found = {row.id: Standing() for row in family}
    for run in runs(family):
        if run[-1].status == "ok" and len(run) > 1:
            found |= _chained(run)
    return found


def runs(family: Iterable[Sibling]) -> list[list[Sibling]]:
    """Part a family into runs, in the order of time: failures that may lead to the next row, and what they led to."""
    found: list[list[Sibling]] = []
    for row in sorted(family, key=lambda one: (one.start_us, one.id)):
        if found and _leads(found[-1][-1], row):
            found[-1].append(row)
        else:
            found.append([row])
    return found


def _leads(last: Sibling, row: Sibling) -> bool:
    """Say whether a row may be the next attempt: the one before failed, and was over."""
    return last.status == "error" and -_ROUNDING_US <= row.start_us - last.end_us <= MAX_PAUSE_US


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
        (pl.col("oldest") - BEFORE).alias("low"),
        (pl.col("newest") + AFTER).alias("high"),
        pl.int_range(pl.len()).alias("family"),
    )
    changed: list[tuple[object, ...]] = []
    for left in reversed(range(ROUNDS)):
        further: list[_Reach] = []
        for stretch in stretches(families):
            changes, cut = _changes(connection, stretch, last=not left)
            changed += changes
            further += cut
        if not further:
            break
        reached = pl.DataFrame(further, schema=_REACH, orient="row")
        families = families.drop("low", "high").join(reached, on="family")
    if not changed:
        return 0
    schema = {
        "id": pl.String, "service": pl.String, "ts": pl.Datetime("us"), "attempt_of": pl.String,
        "operation": pl.String, "attempts": pl.Int32, "fallback_from": pl.String, "fallback_reason": pl.String,
    }  # fmt: skip
    changes = pl.DataFrame(changed, schema=schema, orient="row")
    return amending.exchange(connection, changes, values, now)


def stretches(families: pl.DataFrame) -> list[pl.DataFrame]:
    """Part rows whose spans (``low`` to ``high``) lie apart, so that a very old one lets nothing between be read."""
    ordered = families.sort("low", "high")
    begins = ordered["low"] > ordered["high"].cum_max().shift(1)
    return ordered.with_columns(begins.fill_null(False).cum_sum().alias("stretch")).partition_by("stretch")


def _changes(
    connection: duckdb.DuckDBPyConnection, families: pl.DataFrame, *, last: bool
) -> tuple[list[tuple[object, ...]], list[_Reach]]:
    """Give what changes of these families, and which of them must be read further (never in the last round)."""
    with registered(connection, "families", families):
        rows = connection.execute(
            f"""SELECT f.family, p.id, p.service, p.ts, f.operation, epoch_us(p.ts), p.latency_ms, p.status, p.model,
                       p.error_class, p.attempt_of IS NOT NULL, p.attempts, p.fallback_from, p.fallback_reason
                FROM predictions p JOIN families f ON {_SAME}
                WHERE p.ts BETWEEN $low AND $high AND p.ts BETWEEN f.low AND f.high
                  AND p.server_ts IS DISTINCT FROM true
                WINDOW one AS (PARTITION BY f.family)
                QUALIFY count(*) OVER one > 1 AND bool_or(p.status = 'error') OVER one
                ORDER BY f.family""",
            {"low": families["low"].min(), "high": families["high"].max()},
        ).fetchall()
    members: dict[int, list[Sibling]] = {}
    for family, name, _, _, _, start, latency, status, model, error, *_ in rows:
        end = start + round((latency or 0) * 1000)
        members.setdefault(family, []).append(Sibling(name, start, end, status, model, error))
    spans = {int(one["family"]): one for one in families.iter_rows(named=True)}
    judged: dict[int, dict[str, Standing]] = {}
    further: list[_Reach] = []
    for family, siblings in members.items():
        whole, reach = _whole(siblings, spans[family], last=last)
        judged[family] = {} if reach else standings(whole)
        further += [(family, *reach)] if reach else []
    changes: list[tuple[object, ...]] = []
    for family, name, service, ts, operation, *_, was_attempt, attempts, fallback, reason in rows:
        stands = judged[family].get(name)
        if stands is not None and stands != Standing(was_attempt, attempts, fallback, reason):
            becomes = amending.ATTEMPT if stands.attempt else operation
            of = operation if stands.attempt else None
            changes.append(
                (name, service, ts, of, becomes, stands.attempts, stands.fallback_from, stands.fallback_reason)
            )
    return changes, further


def _whole(
    siblings: Sequence[Sibling], span: Mapping[str, datetime], *, last: bool
) -> tuple[list[Sibling], tuple[datetime, datetime] | None]:
    """Give the rows whose runs are read as far as they go, and how far to read where one with new rows is not."""
    oldest, newest, low, high = (_us(span[name]) for name in ("oldest", "newest", "low", "high"))
    before, after = low, high
    whole: list[Sibling] = []
    for run in runs(siblings):
        # Any row may hang on a failure before it, but only a failure on what comes after.
        early = run[0].start_us - low < _BEFORE_US
        late = run[-1].status == "error" and run[-1].end_us + MAX_PAUSE_US > high
        if last or not (early or late):
            whole += run
        elif any(oldest <= row.start_us <= newest for row in run):
            before = min(before, run[0].start_us - _BEFORE_US)
            after = max(after, run[-1].end_us + MAX_PAUSE_US)
    if (before, after) == (low, high):
        return whole, None
    less, more = timedelta(microseconds=low - before), timedelta(microseconds=after - high)
    return whole, (span["low"] - less, span["high"] + more)


def _us(naive: datetime) -> int:
    return round(utc(naive).timestamp() * 1e6)

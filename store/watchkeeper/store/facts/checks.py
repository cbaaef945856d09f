"""The checks of an answer: what guardrails and evaluators that are its children found, beside rows of their own.

Nothing waits: a check is a row as soon as it comes, and one of its answer's as soon as both are there, whichever came
first, however late, and whatever requests and loads brought them. Each pair of them is joined once, in the transaction
that stores the later one, and the counts with it: so what is told depends on the rows alone. A check belongs to its
answer where it began within 10 minutes of the answer's begin, or before the answer's end; a minute is let for clocks
that differ.

Misleads where an evaluator looks again hours later, as a child of the answer's span: that stays a row of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import duckdb
import polars as pl

from watchkeeper.store.facts import amending, rollups
from watchkeeper.store.facts.attempts import stretches
from watchkeeper.store.facts.connection import frame_of, registered

OPERATIONS = ("guardrail", "evaluation")
MAX_CHECKS = 50
NEAR_US, SKEW_US, LONGEST_US = 600 * 10**6, 60 * 10**6, 86_400 * 10**6
"""How long after its answer's begin a check may begin; how far clocks may differ; so long an answer may take."""
_ROW = ["id", "service", "ts"]
_IS_CHECK = f"coalesce(p.operation IN {OPERATIONS}, false)"
_ANSWERS = f"""
    SELECT p.id, p.service, p.ts, p.checks, a.found, p.id AS other
    FROM predictions p JOIN asked a ON a.answer = p.id AND a.service = p.service AND a.trace_id = p.trace_id
    WHERE NOT {_IS_CHECK} AND a.begun BETWEEN p.ts - to_microseconds({SKEW_US}) AND p.ts + to_microseconds(
      greatest({NEAR_US}, floor(least(coalesce(p.latency_ms, 0) * 1000, {LONGEST_US}))::BIGINT + {SKEW_US}))"""
_CHECKS = f"""
    SELECT a.id, a.service, a.ts, a.checks, p.checks AS found, p.id AS other
    FROM predictions p JOIN asked a ON p.parent_id = a.id AND p.service = a.service AND p.trace_id = a.trace_id
    WHERE {_IS_CHECK} AND len(p.checks) > 0 AND p.ts BETWEEN $low AND $high AND p.ts BETWEEN a.low AND a.high"""


def within(new: pl.DataFrame) -> pl.DataFrame:
    """Give new predictions (PREDICTION_COLUMNS) with the checks that came among them."""
    asked = _checks(new)
    if not asked.height:
        return new
    answers = _answers(new)
    pairs = answers.join(asked, left_on=["id", "service", "trace_id"], right_on=["answer", "service", "trace_id"])
    pairs = pairs.filter(pl.col("begun").is_between(pl.col("low"), pl.col("high")))
    if not pairs.height:
        return new
    joined = _merged(pairs).rename({"checks": "joined"})
    rows = new.join(joined, on=_ROW, how="left", maintain_order="left")
    return rows.with_columns(pl.coalesce("joined", "checks").alias("checks")).select(new.columns)


def join(connection: duckdb.DuckDBPyConnection, new: pl.DataFrame, values: rollups.SegmentValues, now: datetime) -> int:
    """Join new predictions, which are stored by now, with what was stored before; give how many rows changed."""
    if new["trace_id"].null_count() == new.height:
        return 0
    found = [
        frame.join(new, left_on=["other", "service"], right_on=["id", "service"], how="anti")  # those joined ``within``
        for frame in (*_older_answers(connection, _checks(new)), *_older_checks(connection, _answers(new)))
        if frame.height
    ]
    pairs = pl.concat(found) if found else pl.DataFrame()
    return amending.exchange(connection, _merged(pairs), values, now) if pairs.height else 0


def _checks(new: pl.DataFrame) -> pl.DataFrame:
    """Give the checks among rows: whose they are, when they began, what they found."""
    asked = new.lazy().filter(
        pl.col("operation").is_in(OPERATIONS),
        pl.col("trace_id").is_not_null() & pl.col("parent_id").is_not_null(),
        pl.col("checks").list.len() > 0,
    )
    named = asked.select("service", "trace_id", answer="parent_id", begun="ts", found="checks")
    return named.collect() if new["operation"].null_count() < new.height else named.limit(0).collect()


def _answers(new: pl.DataFrame) -> pl.DataFrame:
    """Give the rows that may have checks, and from when to when those may have begun."""
    took = (pl.col("latency_ms").fill_null(0) * 1000).clip(0, LONGEST_US).floor().cast(pl.Int64)
    until = pl.max_horizontal(pl.lit(NEAR_US), took + SKEW_US).cast(pl.Duration("us"))
    rows = new.lazy().filter(pl.col("trace_id").is_not_null(), ~pl.col("operation").is_in(OPERATIONS).fill_null(False))
    skew = timedelta(microseconds=SKEW_US)
    return rows.select(*_ROW, "trace_id", "checks", low=pl.col("ts") - skew, high=pl.col("ts") + until).collect()


def _older_answers(connection: duckdb.DuckDBPyConnection, asked: pl.DataFrame) -> list[pl.DataFrame]:
    """Find the stored answers of new checks; of those that began long before, only what took long is looked at."""
    near, skew, longest = (timedelta(microseconds=us) for us in (NEAR_US, SKEW_US, LONGEST_US))
    spans = asked.with_columns(low=pl.col("begun") - near, high=pl.col("begun") + skew)
    found: list[pl.DataFrame] = []
    for part in stretches(spans):
        low: object = part["low"].min()
        span = {"low": low, "high": part["high"].max()}
        far = {"low": low, "far": (part["begun"] - longest - skew).min(), "slow": (NEAR_US - 2 * SKEW_US) / 1000}
        for where, params in (
            ("p.ts BETWEEN $low AND $high", span),
            ("p.ts >= $far AND p.ts < $low AND p.latency_ms >= $slow", far),
        ):
            found.append(_read(connection, part, f"{_ANSWERS} AND {where}", params))
    return found


def _older_checks(connection: duckdb.DuckDBPyConnection, answers: pl.DataFrame) -> list[pl.DataFrame]:
    """Find the stored checks of new answers."""
    return [
        _read(connection, part, _CHECKS, {"low": part["low"].min(), "high": part["high"].max()})
        for part in stretches(answers)
    ]


def _read(
    connection: duckdb.DuckDBPyConnection, asked: pl.DataFrame, query: str, params: Mapping[str, object]
) -> pl.DataFrame:
    with registered(connection, "asked", asked):
        return frame_of(connection.sql(query, params=dict(params)))


def _merged(pairs: pl.DataFrame) -> pl.DataFrame:
    """Give each answer (id, service, ts) its checks and those that were found.

    The worst stand first and, in the end, the order is that of their names: so it does not matter which came first, and
    what is cut off beyond the limit is what passed.
    """
    own = pairs.select(*_ROW, "checks").unique(_ROW)
    every = pl.concat([own, pairs.select(*_ROW, checks="found")]).explode("checks").drop_nulls("checks")
    field = pl.col("checks").struct.field
    ranked = every.sort(~field("blocked"), field("passed"), *(field(name) for name in ("name", "kind", "score")))
    return ranked.group_by(_ROW).agg(pl.col("checks").head(MAX_CHECKS))

"""Which rows could someone look at? A bounded sample of a model's reference and of a window, raw values side by side.

Rows are drawn by a hash of their id: the same question has the same answer, and a row's value has no say in it. It
scans the rows of both windows, so it is for a person who asks, never for a schedule. Rows that retention has taken are
not there: a reference may be older than what is kept.
"""

from __future__ import annotations

import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored, utc
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.features import PREDICTION, SCORE
from watchkeeper.store.sql import quoted

ROWS = 10_000
"""At most so many rows of each part."""
PART = "watchkeeper_part"
REFERENCE, CURRENT = "reference", "current"


def sample(facts: FactStore, service: str, model: str, window: Window, rows: int = ROWS) -> pl.DataFrame:
    """Give features, score and prediction, a row a prediction; ``PART`` says whether it is of the reference."""
    parts = [(CURRENT, window), *((REFERENCE, kept) for kept in _reference(facts, service, model))]
    joins, columns = _features(facts, service, model)
    frames = [
        facts.read(
            f"""WITH drawn AS (
                  SELECT id, ts, score, prediction FROM predictions
                  WHERE service = $service AND model = $model AND ts >= $start_ts AND ts < $end_ts
                  ORDER BY hash(id), id, ts LIMIT $rows)
                SELECT $part AS {PART}, {", ".join(columns)} FROM drawn {" ".join(joins)}
                ORDER BY drawn.ts, drawn.id""",
            {
                "service": service,
                "model": model,
                "start_ts": stored(span.start),
                "end_ts": stored(span.end),
                "rows": rows,
                "part": part,
            },
        )
        for part, span in parts
    ]
    return pl.concat(frames)


def _reference(facts: FactStore, service: str, model: str) -> list[Window]:
    found = facts.read(
        "SELECT start_ts, end_ts FROM reference_profiles WHERE service = $service AND model = $model",
        {"service": service, "model": model},
    )
    return [Window(utc(start), utc(end)) for start, end in found.iter_rows()]


def _features(facts: FactStore, service: str, model: str) -> tuple[list[str], list[str]]:
    """Join every version's table; a feature is of the kind that it has in the newest, and null where it was another."""
    found = facts.read(
        """SELECT table_name, name, kind, column_name FROM feature_columns JOIN feature_tables USING (table_name)
           WHERE service = $service AND model = $model AND role = 'feature' ORDER BY schema_version DESC, name""",
        {"service": service, "model": model},
    )
    tables: list[str] = found["table_name"].unique(maintain_order=True).to_list()
    kinds: dict[str, str] = {}
    places: dict[str, list[str]] = {}
    for table, name, kind, column in found.iter_rows():
        if kinds.setdefault(name, kind) == kind:
            places.setdefault(name, []).append(f"{table}.{quoted(column)}")
    own = [name for name in (SCORE, PREDICTION) if name not in places]
    columns = [f"coalesce({', '.join(at)}) AS {quoted(name)}" for name, at in sorted(places.items())]
    joins = [f"LEFT JOIN {table} ON {table}.id = drawn.id AND {table}.ts = drawn.ts" for table in tables]
    return joins, [*columns, *(f"drawn.{name}" for name in own)]

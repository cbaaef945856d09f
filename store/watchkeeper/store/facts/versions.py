"""When a feature's type has changed for good, its model's rows go to a new wide table, and its drift starts anew.

A single value of another type, or a mixture, stays where it is: aside in ``extra``, counted as ``mismatched``. Only a
run of nothing else makes a new schema version.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import polars as pl

from watchkeeper.store.facts.features import FeatureTable, TypedColumns, kind_of

MIN_VALUES = 1_000
"""So many values in a row: by then it is no sample of odd senders."""
MIN_SPAN = timedelta(hours=1)
"""For so long: the finest step in which distributions are kept, and longer than most bad deploys last."""
SHARE = 0.99
"""So much of the run must be of the other type: a straggler of the old release does not hold it up, a mixture does."""


@dataclass(frozen=True, slots=True)
class Run:
    """Values of the other kind since a feature last had enough of its own."""

    first_ts: datetime
    last_ts: datetime
    values: int
    wrong: int

    def joined(self, other: Run) -> Run:
        """Add what came later."""
        return Run(
            min(self.first_ts, other.first_ts),
            max(self.last_ts, other.last_ts),
            self.values + other.values,
            self.wrong + other.wrong,
        )

    @property
    def holds(self) -> bool:
        """Whether nearly all of it is of the other kind."""
        return self.wrong > 0 and self.wrong >= SHARE * self.values

    @property
    def for_good(self) -> bool:
        """Whether it is long enough."""
        return self.values >= MIN_VALUES and self.last_ts - self.first_ts >= MIN_SPAN


class Runs:
    """The runs of all features; kept in the file, so that a restart does not begin them anew."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], Run] = {}
        self._generation = -1

    def refresh(self, connection: duckdb.DuckDBPyConnection, generation: int) -> None:
        """Read them again after an aborted transaction (or for the first time)."""
        if generation != self._generation:
            self._generation = generation
            rows = connection.execute(
                "SELECT table_name, name, first_ts, last_ts, n, wrong FROM feature_runs"
            ).fetchall()
            self._runs = {(table, name): Run(*run) for table, name, *run in rows}

    def turned(
        self, connection: duckdb.DuckDBPyConnection, table: FeatureTable, values: TypedColumns, ts: pl.Series
    ) -> list[str]:
        """Add one load; name the features whose type has now changed for good."""
        found: list[str] = []
        running = {name for table_name, name in self._runs if table_name == table.table_name}
        for name in sorted(running | values.mismatched.keys()):
            new = _run(table, name, values, ts)
            if new is None:
                continue
            key = (table.table_name, name)
            before = self._runs.pop(key, None)
            run = before.joined(new) if before else new
            if before:
                connection.execute("DELETE FROM feature_runs WHERE table_name = ? AND name = ?", key)
            if not run.holds:
                continue
            if run.for_good:
                found.append(name)
                continue
            self._runs[key] = run
            connection.execute(
                "INSERT INTO feature_runs VALUES (?, ?, ?, ?, ?, ?)",
                [*key, run.first_ts, run.last_ts, run.values, run.wrong],
            )
        return found


def _run(table: FeatureTable, name: str, values: TypedColumns, ts: pl.Series) -> Run | None:
    """Count one load's values of one feature; None where it had none."""
    column = table.columns["feature", name]
    series = values.series[name]
    other = [
        index
        for index in values.mismatched.get(name, ())
        if kind_of([values.extra[index][name]]) not in (None, column.kind)
    ]
    present = series.len() - series.null_count()
    total = present if column.kind == "category" else present + len(other)  # a number stays in a text column, as text
    if total == 0:
        return None
    seen: list[datetime] = (ts[other] if other else ts).sort().to_list()
    return Run(seen[0], seen[-1], total, len(other))

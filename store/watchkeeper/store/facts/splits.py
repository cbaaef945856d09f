"""Where the error of a window comes from, by every segment column: reads what ``store.split`` works with.

The error is the share wrong; of numbers the mean absolute error. All outcomes known at ``as_of`` count, in the
reference and in the window. Values beyond the twenty of most rows, and those of fewer than thirty, are taken together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.outcomes import in_force
from watchkeeper.store.facts.raw_rows import FeatureColumn, feature_columns, joined_columns
from watchkeeper.store.split import Slice, Split, Sums, ranked, split
from watchkeeper.store.sql import literal, quoted

NONE, OTHER = "(none)", "(other)"
MOST, FEWEST = 20, 30
FEWEST_OF_GROUP = 20
"""A count of a protected attribute below this is not told."""
SCHEMA: dict[str, type[pl.DataType]] = {
    "dim": pl.String,
    "value": pl.String,
    "cause": pl.String,
    "stands_out": pl.Float64,
    "reference_n": pl.Int64,
    "n": pl.Int64,
    "reference_rate": pl.Float64,
    "rate": pl.Float64,
    "mix": pl.Float64,
    "mix_lower": pl.Float64,
    "mix_upper": pl.Float64,
    "inside": pl.Float64,
    "inside_lower": pl.Float64,
    "inside_upper": pl.Float64,
    "total": pl.Float64,
    "metric": pl.String,
}


def error_splits(
    facts: FactStore, pair: tuple[str, str], reference: Window, window: Window, as_of: datetime
) -> tuple[str, list[Split]]:
    """Split the change of the error from the reference to a window, by each segment column; say which error it is."""
    counted = _Counted.read(facts, pair, (reference, window), as_of)
    if all(bool(frame["judged"].sum()) for frame in counted.windows):
        return "error_rate", counted.splits(("judged", "wrong", "wrong"))
    return "mean_absolute_error", counted.splits(("measured", "off", "off_square"))


def value_splits(
    facts: FactStore,
    pair: tuple[str, str],
    spans: tuple[Window, Window],
    as_of: datetime,
    values: Mapping[str, float],
) -> list[Split]:
    """Split the change of what a decision is worth, from the first span to the second; ``values`` by kind of outcome.

    Kinds are those of a value model: the four of a yes/no prediction where any is given, else correct and wrong.
    """
    return _Counted.read(facts, pair, spans, as_of, values).splits(("valued", "worth", "worth_square"))


@dataclass(frozen=True, slots=True)
class _Counted:
    """Both windows, counted by column, value and day; no windows where there are no segment columns."""

    columns: list[FeatureColumn]
    windows: list[pl.DataFrame]

    @classmethod
    def read(
        cls,
        facts: FactStore,
        pair: tuple[str, str],
        spans: tuple[Window, Window],
        as_of: datetime,
        values: Mapping[str, float] | None = None,
    ) -> _Counted:
        columns = [one for one in feature_columns(facts, pair, spans[1].end) if one.role == "segment"]
        worth = _worth_sql(values or {})
        return cls(columns, [_counted(facts, pair, span, as_of, columns, worth) for span in spans if columns])

    def splits(self, names: tuple[str, str, str]) -> list[Split]:
        if not self.windows:
            return []
        before, after = self.windows
        tables = [_table(one.name, before, after, names) for one in self.columns]
        compete = 2 * sum(len(values) for values, _, _ in tables)
        found = [split(one.name, *table, compete) for one, table in zip(self.columns, tables, strict=True)]
        return [one for one in found if one is not None]


_MATRIX = {"true_positive": (1, 1), "false_positive": (1, 0), "false_negative": (0, 1), "true_negative": (0, 0)}


def _worth_sql(values: Mapping[str, float]) -> str:
    """Give what an outcome is worth; NULL where that is not known."""
    if any(kind in values for kind in _MATRIX):
        cases = " ".join(
            f"WHEN m.prediction_number = {said} AND m.value_number = {true} "
            f"THEN {float(values.get(kind, 0.0))!r}::DOUBLE"
            for kind, (said, true) in _MATRIX.items()
        )
        return f"CASE {cases} END"
    if "correct" not in values and "wrong" not in values:
        return "NULL::DOUBLE"
    right, wrong = float(values.get("correct", 0.0)), float(values.get("wrong", 0.0))
    return f"CASE WHEN m.correct THEN {right!r}::DOUBLE WHEN NOT m.correct THEN {wrong!r}::DOUBLE END"


def _counted(
    facts: FactStore,
    pair: tuple[str, str],
    window: Window,
    as_of: datetime,
    columns: Sequence[FeatureColumn],
    worth: str,
) -> pl.DataFrame:
    """Count the errors of a window by day, for each value of each column."""
    where = "service = $service AND model = $model AND prediction_ts >= $start_ts AND prediction_ts < $end_ts"
    parameters: dict[str, object] = {
        "service": pair[0],
        "model": pair[1],
        "start_ts": stored(window.start),
        "end_ts": stored(window.end),
        "as_of": stored(as_of),
    }
    kept, joined = joined_columns(columns, "m.prediction_id", "m.prediction_ts")
    by_column = " UNION ALL ".join(
        f"""SELECT {literal(one.name)} AS dim, coalesce({quoted(one.column)}::VARCHAR, {literal(NONE)}) AS value,
                   day, count(correct) AS judged, count(*) FILTER (NOT correct) AS wrong, count(error) AS measured,
                   sum(error) AS off, sum(error * error) AS off_square, count(worth) AS valued,
                   sum(worth) AS worth, sum(worth * worth) AS worth_square FROM known GROUP BY ALL"""
        for one in columns
    )
    return facts.read(
        f"""WITH known AS (
              SELECT time_bucket(INTERVAL 1 DAY, m.prediction_ts) AS day, m.correct,
                     abs(m.prediction_number - m.value_number) AS error, {worth} AS worth{kept}
              FROM {in_force(facts, where, parameters)} m {joined})
            {by_column} ORDER BY ALL""",
        parameters,
    )


def _table(
    column: str, before: pl.DataFrame, after: pl.DataFrame, names: tuple[str, str, str]
) -> tuple[list[str], Sums, Sums]:
    """Give the values, and both windows as days by values."""
    windows = [frame.filter(dim=column) for frame in (before, after)]
    rows = pl.concat(windows).group_by("value").agg(pl.col(names[0]).sum().alias("n")).filter(pl.col("n") > 0)
    rows = rows.sort("n", "value", descending=[True, False])
    own = [str(value) for value in rows.head(MOST).filter(pl.col("n") >= FEWEST)["value"]]
    few = [str(value) for value in rows["value"] if value not in own]
    values = own + (few if len(few) == 1 else [OTHER] * bool(few))
    first, second = (_sums(frame, values, names) for frame in windows)
    return values, first, second


def _sums(frame: pl.DataFrame, values: Sequence[str], names: tuple[str, str, str]) -> Sums:
    place = {value: at for at, value in enumerate(values)}
    days = {day: at for at, day in enumerate(frame["day"].unique().sort())}
    tables = [np.zeros((max(len(days), 1), len(values))) for _ in names]
    for row in frame.filter(pl.col(names[0]) > 0).iter_rows(named=True):
        for table, name in zip(tables, names, strict=True):
            table[days[row["day"]], place.get(row["value"], len(values) - 1)] += float(row[name] or 0.0)
    return Sums(*tables)


def rows_of(metric: str, splits: Sequence[Split]) -> pl.DataFrame:
    """Give the splits as rows, the value first that most stands out."""
    totals = {one.column: one.total for one in splits}
    rows = [_row(column, one) | {"total": totals[column], "metric": metric} for column, one in ranked(splits)]
    return pl.DataFrame(rows, schema=SCHEMA)


def without_few(rows: pl.DataFrame, protected: Collection[str]) -> pl.DataFrame:
    """Leave out the groups of protected attributes that have few rows in either window."""
    few = pl.min_horizontal("n", "reference_n") < FEWEST_OF_GROUP
    return rows.filter(~(pl.col("dim").is_in(list(protected)) & few))


def _row(column: str, one: Slice) -> dict[str, str | float | None]:
    return {
        "dim": column,
        "value": one.value,
        "cause": one.cause,
        "stands_out": one.stands_out,
        "reference_n": one.reference_n,
        "n": one.n,
        "reference_rate": one.reference_rate,
        "rate": one.rate,
        "mix": one.mix.points,
        "mix_lower": one.mix.lower,
        "mix_upper": one.mix.upper,
        "inside": one.inside.points,
        "inside_lower": one.inside.lower,
        "inside_upper": one.inside.upper,
    }

"""What would have been noticed, and when: a file of the past, replayed through the very schedule of a live server.

Nothing looks ahead: what is said on a day rests on the rows up to the end of that day, and on the outcomes that were
known by then. A finding is reported on the day on which it opens or becomes more severe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from watchkeeper.analyzers.evaluation import Analyzer, Evaluation
from watchkeeper.analyzers.registry import discover
from watchkeeper.analyzers.schedule import Schedule
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.findings import Finding, Severity
from watchkeeper.store.clock import stored
from watchkeeper.store.facts import references
from watchkeeper.store.facts.batch import Batch, ModelRows, Predictions, Wide
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.load import Loader
from watchkeeper.store.facts.reader import FactReader

DAY = timedelta(days=1)
STRETCH = timedelta(days=28)
"""How much of the file is loaded at a time."""
SEGMENT = "segment"
MODEL = "model"
LOUDNESS = {Severity.NOTICE: 0, Severity.TICKET: 1, Severity.PAGE: 2}

_RENAMED = {"tokens_in": "tokens_input", "tokens_out": "tokens_output"}
_OPERATIONS = ("score", "latency_ms", "attempts", "tokens_in", "tokens_out", "cost")
_KNOWN = {"ts", "prediction", "outcome", "outcome_ts", SEGMENT, "ok", *_OPERATIONS}


def backtest(file: Path, reference_days: int) -> dict[str, object]:
    """Replay a Parquet file day by day; the result is the contract of the detection bench.

    Needs a column ``ts``; ``prediction``, ``score``, ``outcome``, ``outcome_ts``, ``segment``, ``latency_ms``, ``ok``,
    ``attempts``, ``tokens_in``, ``tokens_out`` and ``cost`` are known by name, every other column is a feature.
    """
    frame = _read(file)
    first = _day_of(frame["ts"].min())
    days = (_day_of(frame["ts"].max()) - first).days + 1
    end = first + days * DAY
    told = _Told(first)
    facts = FactStore(threads=1)
    try:
        loader = Loader(facts, lambda: end + 30 * DAY)  # late enough that nothing is kept by the minute
        schedule = Schedule(
            _useful(frame.columns),
            FactReader(facts),
            Declarations,
            lambda: end,
            told.take,
            {},
            maintain=_Reference(facts, reference_days).make,
            min_every=DAY,
        )
        for batch, until in _batches(frame, file.stem, first, end):
            loader.load(batch)
            schedule.run_due(until)
    finally:
        facts.close()
    return {
        "reference_days": reference_days,
        "first_day": first.date().isoformat(),
        "days": days,
        "findings": told.findings,
    }


def _useful(columns: Sequence[str]) -> dict[str, Analyzer]:
    """Leave out what no such file holds (GPUs, objectives, values, books of clients, prices unless there is a cost).

    And what never alerts: readings and notices alone tell nobody anything, and are most of the work.
    """
    without = (
        "gpu.",
        "slo.",
        "impact.",
        "drift.",
        "quality.",
        "data.telemetry",
        *(() if "cost" in columns else ("cost.",)),
    )
    return {name: analyzer for name, analyzer in discover().items() if not name.startswith(without)}


class _Reference:
    """Makes the reference of the file's one model once it is due."""

    def __init__(self, facts: FactStore, days: int) -> None:
        self._facts = facts
        self._days = days
        self._made = False

    def make(self, at: datetime) -> None:
        """Make it if it is due and not made."""
        if not self._made:
            self._made = bool(references.make_due(self._facts, at, self._days))


class _Told:
    """Keeps what is new on each day."""

    def __init__(self, first: datetime) -> None:
        self._first = first
        self._open: dict[str, int] = {}
        self.findings: list[dict[str, object]] = []

    def take(self, evaluations: Sequence[Evaluation], _watermarks: Mapping[str, datetime]) -> None:
        """Take everything of one evening."""
        for evaluation in evaluations:
            for finding in evaluation.findings:
                if not finding.active:
                    self._open.pop(finding.fingerprint, None)
                elif LOUDNESS[finding.severity] > self._open.get(finding.fingerprint, -1):
                    self._open[finding.fingerprint] = LOUDNESS[finding.severity]
                    self.findings.append(self._line(finding))

    def _line(self, finding: Finding) -> dict[str, object]:
        return {
            "day": (finding.as_of - self._first).days - 1,
            "severity": finding.severity.value,
            "subjects": list(finding.subjects),
            "metric": finding.metric,
            "summary": finding.summary,
        }


def _read(file: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"cannot read {file} as Parquet: {error}") from None
    if "ts" not in frame.columns or frame.height == 0:
        raise InputError(f"{file} needs at least one row and a column ts (the time of the row, UTC)")
    return frame.with_columns(_naive(frame, name) for name in ("ts", "outcome_ts") if name in frame.columns)


def _naive(frame: pl.DataFrame, name: str) -> pl.Expr:
    dtype = frame.schema[name]
    if not isinstance(dtype, pl.Datetime):
        raise InputError(f"column {name} must hold times, not {dtype}")
    column = pl.col(name)
    if dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(pl.Datetime("us"))


def _day_of(time: object) -> datetime:
    if not isinstance(time, datetime):
        raise InputError("column ts holds no time at all")
    return time.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)


def _batches(frame: pl.DataFrame, service: str, first: datetime, end: datetime) -> Iterator[tuple[Batch, datetime]]:
    """Hand out the file in stretches of time: rows by when they were made, outcomes by when they became known."""
    frame = frame.with_columns(pl.int_range(pl.len()).cast(pl.String).alias("row_id"))
    outcomes = _outcomes(frame, service)
    start = first
    while start < end:
        until = min(start + STRETCH, end)
        low, high = stored(start), stored(until)
        rows = frame.filter((pl.col("ts") >= low) & (pl.col("ts") < high))
        known = None
        if outcomes is not None:
            since_first = (pl.col("known_at") >= low) | (start == first)
            known = outcomes.filter(since_first & (pl.col("known_at") < high))
        yield Batch(predictions=_predictions(rows, service), outcomes=known), until
        start = until


def _predictions(frame: pl.DataFrame, service: str) -> Predictions:
    columns = set(frame.columns)
    operations = [name for name in _OPERATIONS if name in columns and name != "attempts"]
    made = frame.select(
        pl.col("row_id").alias("id"),
        "ts",
        pl.col("ts").alias("received_at"),
        pl.lit(service).alias("service"),
        pl.lit(MODEL).alias("model"),
        *(_text_and_number(frame, "prediction", "prediction") if "prediction" in columns else ()),
        *(pl.col(name).alias(_RENAMED.get(name, name)) for name in operations),
        (pl.col("attempts") if "attempts" in columns else pl.lit(1)).alias("attempts"),
        _status() if "ok" in columns else pl.lit("ok").alias("status"),
    )
    features = [_feature(name, dtype) for name, dtype in frame.schema.items() if name not in {*_KNOWN, "row_id"}]
    segments = [pl.col(SEGMENT).cast(pl.String)] if SEGMENT in columns else []
    positions = np.arange(frame.height)
    rows = ModelRows(service, MODEL, positions, _wide(frame.select(features)), _wide(frame.select(segments)))
    return Predictions(made, [rows], {})


def _wide(frame: pl.DataFrame) -> Wide:
    return Wide({column.name: column for column in frame})


def _outcomes(frame: pl.DataFrame, service: str) -> pl.DataFrame | None:
    if not {"outcome", "outcome_ts"} <= set(frame.columns):
        return None
    known = frame.filter(pl.col("outcome").is_not_null() & pl.col("outcome_ts").is_not_null())
    return known.select(
        pl.col("row_id").alias("prediction_id"),
        pl.col("ts").alias("prediction_ts"),
        pl.lit(service).alias("service"),
        *_text_and_number(frame, "outcome", "value"),
        pl.col("outcome_ts").alias("known_at"),
        pl.col("outcome_ts").alias("received_at"),
    )


def _text_and_number(frame: pl.DataFrame, column: str, name: str) -> tuple[pl.Expr, pl.Expr]:
    dtype = frame.schema[column]
    text = pl.col(column).cast(pl.String).alias(name)
    countable = dtype.is_numeric() or dtype == pl.Boolean
    number = pl.col(column).cast(pl.Float64) if countable else pl.lit(None, pl.Float64)
    return text, number.alias(f"{name}_number")


def _status() -> pl.Expr:
    return pl.when(pl.col("ok").cast(pl.Boolean)).then(pl.lit("ok")).otherwise(pl.lit("error")).alias("status")


def _feature(name: str, dtype: pl.DataType) -> pl.Expr:
    return pl.col(name).cast(pl.Float64 if dtype.is_numeric() else pl.String)

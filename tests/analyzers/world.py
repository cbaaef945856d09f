"""A real fact store in memory, filled with made traffic, and what tests ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from watchkeeper.analyzers import backtest_rows
from watchkeeper.analyzers.evaluation import Analyzer, Evaluation
from watchkeeper.analyzers.memo import remembering
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Finding, Window
from watchkeeper.store.facts import references
from watchkeeper.store.facts.batch import Batch
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.load import Loader
from watchkeeper.store.facts.reader import FactReader

DAY = timedelta(days=1)
START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
REFERENCE_DAYS = 14
NOTHING = Declarations()


def made(days: int = 24, rows: int = 200, seed: int = 1, first_day: int = 0) -> pl.DataFrame:
    """Give traffic that does not change: days differ a little, as real ones do."""
    rng = np.random.default_rng([seed, first_day])
    n = days * rows
    day = np.repeat(np.arange(days), rows) + first_day
    seconds = np.sort(rng.integers(0, 86_400, (days, rows)), axis=1).ravel()
    mood = rng.normal(0, 1, days)[day - first_day]
    yes = rng.random(n) < 0.3
    wrong = rng.random(n) < np.clip(0.15 + 0.02 * mood, 0, 1)
    midnight = np.datetime64(START.replace(tzinfo=None), "us")
    return pl.DataFrame(
        {
            "ts": midnight + day.astype("timedelta64[D]") + seconds.astype("timedelta64[s]"),
            "temp": rng.normal(15, 5, n) + mood,
            "distance": rng.uniform(100, 3000, n),
            "carrier": rng.choice(["AA", "B6", "UA", "WN"], n, p=[0.4, 0.16, 0.3, 0.14]),
            "prediction": yes.astype(int),
            "outcome": np.where(wrong, ~yes, yes).astype(int),
            "score": np.clip(rng.beta(2, 5, n) + 0.3 * yes, 0, 1),
            "latency_ms": rng.lognormal(5, 0.4, n),
            "tokens_in": rng.poisson(800, n),
            "tokens_out": rng.poisson(100, n),
            "cost": rng.gamma(20, 0.0005, n),
            "ok": np.ones(n, dtype=int),
        }
    ).with_columns((pl.col("ts") + timedelta(days=2)).alias("outcome_ts"))


def day(number: int) -> datetime:
    return START + number * DAY


def from_day(number: int) -> pl.Expr:
    return pl.col("ts") >= day(number).replace(tzinfo=None)


@dataclass
class World:
    """One fact store and its reader."""

    facts: FactStore = field(default_factory=lambda: FactStore(threads=1))  # sums in one order, to the last bit
    now: datetime = START + 400 * DAY
    loads: int = 0

    def __post_init__(self) -> None:
        self.loader = Loader(self.facts, lambda: self.now)
        self.reader = FactReader(self.facts)

    def load(
        self,
        frame: pl.DataFrame,
        service: str = "flights",
        model: str = "m1",
        *,
        fields: pl.DataFrame | None = None,
        segments: pl.DataFrame | None = None,
        extra: Sequence[Mapping[str, object]] = (),
    ) -> World:
        """Load traffic; ``fields``, ``segments`` and ``extra`` hold, row by row, what no file of a backtest has."""
        self.loads += 1
        number = pl.int_range(pl.len()).cast(pl.String)
        frame = frame.with_columns((pl.lit(f"{service}/{model}/{self.loads}/") + number).alias(backtest_rows.ROW))
        batch = backtest_rows.predictions(frame, service)
        models = [replace(rows, model=model) for rows in batch.models]
        if segments is not None:
            models = [replace(rows, segments=backtest_rows.wide(segments)) for rows in models]
        made = batch.frame.with_columns(
            pl.lit(model).alias("model"), *(pl.DataFrame() if fields is None else fields).iter_columns()
        )
        named = replace(batch, frame=made, models=models, extra=dict(enumerate(map(dict, extra))))
        self.loader.load(Batch(predictions=named, outcomes=backtest_rows.outcomes(frame, service)))
        return self

    def with_reference(self, at: datetime | None = None, days: int = REFERENCE_DAYS) -> World:
        references.make_due(self.facts, at or day(days), days)
        return self

    def evaluate(self, analyzer: Analyzer, at: datetime, declared: Declarations = NOTHING) -> Evaluation:
        reader = remembering(self.reader)
        return analyzer.evaluate(reader, declared, Window(at - analyzer.span, at), at)

    def findings(self, analyzer: Analyzer, at: datetime, declared: Declarations = NOTHING) -> tuple[Finding, ...]:
        return self.evaluate(analyzer, at, declared).findings

"""Real facts, and events made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, Phase, settings

from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts.batch import (
    OUTCOME_COLUMNS,
    PREDICTION_COLUMNS,
    TIME,
    Batch,
    LoadReport,
    Predictions,
)
from watchkeeper.store.facts.connection import MEMORY, FactStore
from watchkeeper.store.facts.load import Loader
from watchkeeper.store.facts.model_rows import from_rows
from watchkeeper.store.facts.outcomes import text_and_number
from watchkeeper.store.facts.reader import FactReader

START = datetime(2026, 1, 5)  # noqa: DTZ001 - a Monday; times are stored without a zone
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
NOW = START + DAY
WEEK = Window(START.replace(tzinfo=UTC), (START + 7 * DAY).replace(tzinfo=UTC))
SERVICE, MODEL = "shop", "ranker"

PROPERTY = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)
"""A store is opened for each example, so that few must do; the same ones each time."""

_numbers = count(1)


def window(start: timedelta, end: timedelta) -> Window:
    return Window((START + start).replace(tzinfo=UTC), (START + end).replace(tzinfo=UTC))


def event(**parts: object) -> dict[str, object]:
    """One prediction; what is not given has no value, but for what every prediction has."""
    base = {"id": f"p{next(_numbers)}", "ts": START, "service": SERVICE, "model": MODEL, "status": "ok", "attempts": 1}
    return base | parts


def predictions(*rows: Mapping[str, object]) -> Predictions:
    columns = {name: [row.get(name) for row in rows] for name in PREDICTION_COLUMNS}
    for name in ("prediction", "prediction_number"):
        columns[name] = [text_and_number(row.get("prediction"))[name.endswith("number")] for row in rows]
    return from_rows(
        pl.DataFrame(columns, schema=PREDICTION_COLUMNS),
        features=[row.get("features") for row in rows],
        segments=[row.get("segments") for row in rows],
        extra=[row.get("extra") for row in rows],
    )


def outcome(prediction_id: str, value: object, known_at: datetime, **parts: object) -> dict[str, object]:
    text, number = text_and_number(value)
    made = {"prediction_id": prediction_id, "value": text, "value_number": number, "known_at": known_at}
    return {"service": SERVICE, "received_at": known_at} | made | parts


class Made:
    """A store with its loader and reader; ``now`` is what the loader's clock says."""

    def __init__(self, path: Path | str = MEMORY, now: datetime = NOW) -> None:
        self._clock = lambda: now.replace(tzinfo=UTC)  # no reference to self: a store must go when its test does
        self.facts = FactStore(path)
        self.loader = self.new_loader()
        self.reader = FactReader(self.facts)

    def new_loader(self) -> Loader:
        return Loader(self.facts, self._clock)

    def load(self, *rows: Mapping[str, object], **parts: object) -> LoadReport:
        batch = Batch(**parts)
        return self.loader.load(replace(batch, predictions=predictions(*rows)) if rows else batch)

    def outcomes(self, *rows: Mapping[str, object]) -> LoadReport:
        frame = pl.DataFrame(rows, schema_overrides={n: t for n, t in OUTCOME_COLUMNS.items() if n in rows[0]})
        return self.loader.load(Batch(outcomes=frame))

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return self.facts.read(sql).rows()

    def value(self, sql: str) -> object:
        return self.facts.read(sql).item()


def times(*moments: datetime) -> pl.Series:
    return pl.Series("ts", moments, TIME)

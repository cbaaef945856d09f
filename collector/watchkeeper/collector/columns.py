"""Turns decoded events into the columns that the store takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct, structs

from watchkeeper.collector import framed, times
from watchkeeper.collector.shapes import Shapes, fields_of
from watchkeeper.schemas.events import EMPTY, Change, GpuSample, Outcome, Prediction, Review, Tokens
from watchkeeper.store.facts.batch import CHECK, PREDICTION_COLUMNS, TIME, Fields, ModelRows, Predictions
from watchkeeper.store.facts.model_rows import by_model
from watchkeeper.store.facts.outcomes import text_and_number

_TIMES = ("ts", "needed_by", "used_at")
_NESTED = frozenset({"prediction", "tokens", "fallback", *_TIMES, "reason_codes", "checks"})
_OWN = frozenset(Prediction.__struct_fields__) - {"segments", "features", "extra"}


def predictions(
    events: Sequence[Prediction], received_us: int | Sequence[int], unknown: Mapping[int, Fields], shapes: Shapes
) -> Predictions:
    """Give predictions of one type as columns; ``unknown`` holds, by position, the fields that the schema has not."""
    values = fields(events, type(events[0]).__struct_fields__)
    moments = received_us if isinstance(received_us, Sequence) else [received_us] * len(events)
    received = pl.Series("received_at", moments, pl.Int64).cast(TIME)
    frame = framed.stamped(pl.DataFrame(own(values)), received)
    return Predictions(frame, _models(values, shapes), _extra(values["extra"], unknown))


def own(values: Mapping[str, Sequence[Any]]) -> list[pl.Series]:
    """Give the columns that events have under the schema's own names; what none of them sent is left out."""
    sent = {name: column for name, column in values.items() if name in _OWN and not _nothing(column)}
    columns = [_column(name, column) for name, column in sent.items() if name not in _NESTED]
    columns += _answers(sent.get("prediction", ()))
    columns += [times.series(name, sent[name]) for name in _TIMES if name in sent]
    columns += _parts(sent.get("tokens", ()), {name: f"tokens_{name}" for name in Tokens.__struct_fields__})
    columns += _parts(sent.get("fallback", ()), {"from_model": "fallback_from", "reason": "fallback_reason"})
    if "reason_codes" in sent:
        columns.append(pl.Series("reason_codes", sent["reason_codes"], pl.List(pl.String)))
    if "checks" in sent:
        checks = [[structs.asdict(check) for check in row] if row else None for row in sent["checks"]]
        columns.append(pl.Series("checks", checks, pl.List(CHECK)))
    return columns


def _nothing(column: Sequence[object]) -> bool:
    return column[0] is None and column == (None,) * len(column)


def _column(name: str, values: Sequence[object]) -> pl.Series:
    dtype = PREDICTION_COLUMNS[name]
    if values == (values[0],) * len(values):
        return pl.Series(name, values[:1], dtype, strict=False).new_from_index(0, len(values))
    return pl.Series(name, values, dtype, strict=False)


def _answers(values: Sequence[Any]) -> list[pl.Series]:
    """Give what was predicted, as text and as a number."""
    types = set(map(type, values)) - {type(None)}
    if not types:
        return []
    if types == {str}:
        return [pl.Series("prediction", values, pl.String)]
    if types == {float}:
        texts = [None if value is None else repr(value) for value in values]
        return [pl.Series("prediction", texts, pl.String), pl.Series("prediction_number", values, pl.Float64)]
    pairs = [text_and_number(value) for value in values]
    return [
        pl.Series("prediction", [text for text, _ in pairs], pl.String),
        pl.Series("prediction_number", [number for _, number in pairs], pl.Float64),
    ]


def _parts(values: Sequence[Struct | None], names: Mapping[str, str]) -> list[pl.Series]:
    """Give the columns of a nested struct that is not always there."""
    struct = next((type(value) for value in values if value is not None), None)
    if struct is None:
        return []
    parts = fields(values, struct.__struct_fields__)
    return [_column(column, parts[name]) for name, column in names.items() if not _nothing(parts[name])]


def fields(rows: Sequence[Struct | None], names: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Give what each field holds, row by row, under these names; None in a row that is not there."""
    nothing = (None,) * len(names)
    flat: list[Any] = []
    for (
        row
    ) in rows:  # each row's tuple is let go while it is at hand: a thousand that wait for a zip cost twice as much
        flat += nothing if row is None else structs.astuple(row)
    return {name: tuple(flat[place :: len(names)]) for place, name in enumerate(names)}


def _models(values: Mapping[str, Sequence[Any]], shapes: Shapes) -> list[ModelRows]:
    models: list[ModelRows] = []
    for (service, model), positions in by_model(values["service"], values["model"]).items():
        features, segments = values["features"], values["segments"]
        if len(positions) < len(features):
            features, segments = [features[i] for i in positions], [segments[i] for i in positions]
        models.append(
            ModelRows(
                service,
                model,
                np.asarray(positions, dtype=np.int64),
                shapes.decode(service, model, "feature", features),
                shapes.decode(service, model, "segment", segments),
            )
        )
    return models


def _extra(values: Sequence[msgspec.Raw], unknown: Mapping[int, Fields]) -> dict[int, Fields]:
    sent = {position: fields_of(raw) for position, raw in enumerate(values) if raw is not EMPTY}
    own = {position: row for position, row in sent.items() if row}
    return own | {position: {**own.get(position, {}), **row} for position, row in unknown.items()}


def outcomes(events: Sequence[Outcome], received_us: Sequence[int]) -> pl.DataFrame:
    """Give outcomes as columns; an outcome that does not say when it was known was known when it came."""
    received = pl.Series("received_at", received_us, pl.Int64).cast(TIME)
    known = times.series("known_at", [event.known_at for event in events])
    values = [text_and_number(event.value) for event in events]
    return pl.DataFrame(
        {
            "prediction_id": [event.prediction_id for event in events],
            "prediction_ts": times.series("prediction_ts", [event.prediction_ts for event in events]),
            "service": [event.service for event in events],
            "value": [text for text, _ in values],
            "value_number": pl.Series([number for _, number in values], dtype=pl.Float64),
            "known_at": known.zip_with(known.is_not_null(), received),
            "received_at": received,
            "source": [event.source for event in events],
            "evaluation": [event.evaluation for event in events],
        },
        schema_overrides={"service": pl.String, "source": pl.String, "evaluation": pl.String},
    )


def reviews(events: Sequence[Review], received_us: Sequence[int]) -> pl.DataFrame:
    """Give human reviews as columns."""
    return _records(events, received_us).with_columns(
        times.series("prediction_ts", [event.prediction_ts for event in events])
    )


def changes(events: Sequence[Change], received_us: Sequence[int]) -> pl.DataFrame:
    """Give change markers as columns."""
    return _records(events, received_us)


def gpus(events: Sequence[GpuSample]) -> pl.DataFrame:
    """Give GPU samples as columns."""
    return _records(events, [0] * len(events)).drop("received_at")


def newest(frame: pl.DataFrame, column: str) -> datetime | None:
    """Give the newest time of a column, aware."""
    value = frame[column].max()
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None


def _records(
    events: Sequence[Review] | Sequence[Change] | Sequence[GpuSample], received_us: Sequence[int]
) -> pl.DataFrame:
    received = pl.Series("received_at", received_us, pl.Int64).cast(TIME)
    sent = times.series("ts", [event.ts for event in events])
    names = [name for name in type(events[0]).__struct_fields__ if name not in ("ts", "prediction_ts")]
    frame = pl.DataFrame({name: [getattr(event, name) for event in events] for name in names})
    return frame.with_columns(sent.zip_with(sent.is_not_null(), received).alias("ts"), received)

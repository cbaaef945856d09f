"""Reads a file of logs and sends it as predictions and outcomes, in batches that may be repeated without harm."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import polars as pl

from watchkeeper.app.remote import Remote
from watchkeeper.schemas.errors import InputError, Unavailable, WatchkeeperError
from watchkeeper.schemas.events import Prediction

BATCH = 2_000
ALIASES = {"timestamp": "ts", "time": "ts", "outcome_ts": "known_at", "label": "outcome", "segment": "segments"}
"""Column names that logs use for what we call otherwise."""
TOKENS = {"tokens_in": "input", "tokens_input": "input", "tokens_out": "output", "tokens_output": "output"}
_NESTED = frozenset({"extra", "tokens", "checks", "fallback"})
"""Objects of our own events, as an NDJSON file has them."""
_OWN = frozenset(Prediction.__struct_encode_fields__) - _NESTED - {"features"}


@dataclass(frozen=True, slots=True)
class Target:
    """Whose rows they are, and the name of the file that they come from."""

    name: str
    service: str
    model: str


def import_rows(
    frame: pl.DataFrame, target: Target, remote: Remote, start_row: int = 0, sent: Callable[[int], object] = int
) -> dict[str, int]:
    """Send the rows from ``start_row`` on; give how many were accepted and rejected. Unknown columns become features.

    A row without an id gets one from service, model, the file's name and its place, so that a second run adds nothing.
    ``sent`` hears after each batch how many rows of the file are stored. What ends it early says where to go on.
    """
    counts = {"rows": 0, "accepted": 0, "rejected": 0, "outcomes": 0}
    row = start_row
    try:
        for predictions, outcomes in _batches(frame, target, start_row):
            key = f"import/{target.name}/{target.service}/{target.model}/{row}"
            reply = remote.send("predictions", _lines(predictions), _keyed(key, predictions))
            if outcomes:
                counts["outcomes"] += remote.send("outcomes", _lines(outcomes), _keyed(key, outcomes))["accepted"]
            row += len(predictions)
            counts["rows"] += len(predictions)
            counts["accepted"] += reply["accepted"]
            counts["rejected"] += reply["rejected"]
            sent(row)
    except (KeyboardInterrupt, WatchkeeperError) as error:
        known = isinstance(error, WatchkeeperError)
        if known and row == 0:
            raise
        what = f"{error if known else 'interrupted'}. The first {row} rows are stored: go on with --start-row {row}"
        raise (type(error) if known else Unavailable)(what) from None
    return counts


def too_old(frame: pl.DataFrame, facts_days: int, now: datetime) -> int:
    """Count the rows from before the days that facts are kept; a time that is a number or odd is left to the server."""
    if not facts_days or "ts" not in frame.columns:
        return 0
    ts = frame["ts"]
    if isinstance(ts.dtype, pl.String):
        ts = ts.str.to_datetime(strict=False, time_zone="UTC")
    if not isinstance(ts.dtype, pl.Datetime):
        return 0
    aware = ts.dt.replace_time_zone("UTC") if ts.dtype.time_zone is None else ts
    return int((aware < now - timedelta(days=facts_days)).sum())


def read(file: Path) -> pl.DataFrame:
    """Read a Parquet, CSV or NDJSON file."""
    readers = {".parquet": pl.read_parquet, ".csv": _csv, ".ndjson": _ndjson, ".jsonl": _ndjson}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise InputError(f"{file}: cannot tell the format from {file.suffix!r}; known: {', '.join(readers)}")
    try:
        frame = reader(file)
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{file} cannot be read as {file.suffix[1:]}: {str(error).splitlines()[0]}") from None
    return frame.rename({name: ALIASES[name] for name in frame.columns if name in ALIASES})


def _csv(file: Path) -> pl.DataFrame:
    return pl.read_csv(file, try_parse_dates=True, infer_schema_length=10_000)


def _ndjson(file: Path) -> pl.DataFrame:
    return pl.read_ndjson(file, infer_schema_length=None)  # a field that comes late is a field too


def _batches(
    frame: pl.DataFrame, target: Target, row: int
) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    service, model = target.service, target.model
    for part in frame[row:].iter_slices(BATCH):
        predictions: list[dict[str, Any]] = []
        outcomes: list[dict[str, Any]] = []
        for values in part.iter_rows(named=True):
            prediction = _prediction(values, f"{service}/{model}/{target.name}/{row}", service, model)
            predictions.append(prediction)
            if values.get("outcome") is not None:
                outcomes.append(_outcome(values, prediction))
            row += 1
        yield predictions, outcomes


def _prediction(values: dict[str, Any], fallback_id: str, service: str, model: str) -> dict[str, Any]:
    event: dict[str, Any] = {"id": fallback_id, "service": service, "model": model}
    features: dict[str, Any] = {}
    tokens: dict[str, Any] = {}
    for column, value in values.items():
        if value is None or column in ("outcome", "known_at"):
            continue
        if column == "segments":
            event["segments"] = cast("object", value) if isinstance(value, dict) else {"segment": str(value)}
        elif column in _NESTED:
            event[column] = _without_nulls(value)
        elif column == "features" and isinstance(value, dict):
            features |= _without_nulls(value)
        elif column in TOKENS:
            tokens[TOKENS[column]] = value
        elif column == "ok":
            event["status"] = "ok" if value else "error"
        elif column in _OWN:
            event[column] = str(value) if column == "id" else value
        else:
            features[column] = value
    return event | ({"features": features} if features else {}) | ({"tokens": tokens} if tokens else {})


def _without_nulls(value: Any) -> Any:
    """Let go of the nulls that a reader of columns puts where a row lacked a field."""
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {name: _without_nulls(part) for name, part in pairs if part is not None}
    return [_without_nulls(part) for part in cast("list[Any]", value)] if isinstance(value, list) else value


def _outcome(values: dict[str, Any], prediction: dict[str, Any]) -> dict[str, Any]:
    known_at = {"known_at": values["known_at"]} if values.get("known_at") is not None else {}
    return {
        "prediction_id": prediction["id"],
        "prediction_ts": prediction.get("ts"),
        "service": prediction["service"],
        "value": values["outcome"],
    } | known_at


def _lines(events: list[dict[str, Any]]) -> bytes:
    return b"\n".join(map(msgspec.json.encode, events))


def _keyed(key: str, events: list[dict[str, Any]]) -> str:
    """Tell a changed file from the same one sent again: the key says what the batch holds."""
    return f"{key}/{hashlib.sha256(_lines(events)).hexdigest()[:16]}"

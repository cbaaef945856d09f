"""Files of logs, read batch by batch: what lies in memory does not grow with the file."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from watchkeeper.schemas.errors import InputError

BATCH = 2_000
ALIASES = {"timestamp": "ts", "time": "ts", "outcome_ts": "known_at", "label": "outcome", "segment": "segments"}
"""Column names that logs use for what we call otherwise."""
_INFERRED = 10_000
_LONGEST = 16 << 20
"""Bytes of the longest record of a CSV file."""
Row = dict[str, Any]
_READABLE = (".parquet", ".csv", ".ndjson", ".jsonl")


@dataclass(frozen=True, slots=True)
class Survey:
    """How many rows a file has, and how many of them are older than facts are kept."""

    rows: int
    too_old: int


def survey(file: Path, facts_days: int, now: datetime) -> Survey:
    """Look through the times of a file; one that is a number or odd is left to the server."""
    oldest = now - timedelta(days=facts_days) if facts_days else None
    total = old = 0
    with _told(file):
        for frame in _times(file):
            total += frame.height
            old += _before(frame, oldest) if oldest else 0
    return Survey(total, old)


def whole(file: Path) -> pl.DataFrame:
    """Read a file at once: for whom a sample of it is not enough.

    Raises:
        InputError: as ``rows``.

    """
    with _told(file):
        frame = _scanned(file).collect()
    return frame.rename({name: ALIASES[name] for name in frame.columns if name in ALIASES})


def rows(file: Path, start_row: int = 0) -> Iterator[Sequence[Row]]:
    """Give the rows of a Parquet, CSV or NDJSON file from one on, at most ``BATCH`` at a time.

    Raises:
        InputError: there is no such file, its format is not known, or a row cannot be read. Those before it were given.

    """
    kind = _kind(file)
    with _told(file):
        if kind == "ndjson":
            found = _batched(islice(_lines(file), start_row, None))
        else:
            found = (frame.to_dicts() for frame in _from(_frames(file, None), start_row))
        for batch in found:
            yield [_renamed(row) for row in batch]


def _kind(file: Path) -> str:
    suffix = file.suffix.lower()
    if suffix not in _READABLE:
        raise InputError(f"{file}: cannot tell the format from {file.suffix!r}; known: {', '.join(_READABLE)}")
    return "ndjson" if suffix == ".jsonl" else suffix[1:]


@contextmanager
def _told(file: Path) -> Generator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:  # what pyarrow raises is a ValueError or OSError
        raise InputError(f"{file} cannot be read as {file.suffix[1:]}: {str(error).splitlines()[0]}") from None


def _times(file: Path) -> Iterator[pl.DataFrame]:
    """Give just the time of each row, as ``ts``; null where there is none."""
    if _kind(file) == "ndjson":
        for batch in _batched(_lines(file)):
            found = [_renamed(row).get("ts") for row in batch]
            yield pl.DataFrame({"ts": [one if isinstance(one, str) else None for one in found]}, {"ts": pl.String})
        return
    for frame in _frames(file, _time_column(file)):
        yield frame.rename({name: ALIASES.get(name, name) for name in frame.columns})


def _time_column(file: Path) -> str | None:
    names = _scanned(file).collect_schema().names()
    return next((name for name in names if ALIASES.get(name, name) == "ts"), names[0] if names else None)


def _before(frame: pl.DataFrame, oldest: datetime) -> int:
    ts = frame.to_series()
    if isinstance(ts.dtype, pl.String):
        ts = ts.str.to_datetime(strict=False, time_zone="UTC")
    if ts.name != "ts" or not isinstance(ts.dtype, pl.Datetime):
        return 0
    aware = ts.dt.replace_time_zone("UTC") if ts.dtype.time_zone is None else ts
    return int((aware < oldest).sum())


def _scanned(file: Path) -> pl.LazyFrame:
    kind = _kind(file)
    if kind == "parquet":
        return pl.scan_parquet(file)
    if kind == "ndjson":
        return pl.scan_ndjson(file, infer_schema_length=None)  # a field that comes late is a field too
    return pl.scan_csv(file, try_parse_dates=True, infer_schema_length=_INFERRED)


def _frames(file: Path, column: str | None) -> Iterator[pl.DataFrame]:
    """Give a Parquet or CSV file as frames, all columns or one."""
    yield from _parquet(file, column) if _kind(file) == "parquet" else _csv(file, column)


def _csv(file: Path, column: str | None) -> Iterator[pl.DataFrame]:
    """Read pieces that end where a row does, by the types that the first rows have: readers of whole files run ahead
    of whoever takes their rows.
    """
    schema = _scanned(file).collect_schema()
    columns = None if column is None else [column]
    with file.open("rb") as opened:
        pieces = _records(opened)
        header = next(pieces, b"")
        while piece := list(islice(pieces, BATCH)):
            yield pl.read_csv(header + b"".join(piece), schema_overrides=schema, columns=columns, try_parse_dates=True)


def _records(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Put lines together that a quoted text spans."""
    record: list[bytes] = []
    size, quotes = 0, 0
    for line in lines:
        record.append(line)
        size += len(line)
        quotes += line.count(b'"')
        if quotes % 2 == 0:
            yield b"".join(record)
            record, size, quotes = [], 0, 0
        elif size > _LONGEST:
            raise ValueError(f"a quoted text of over {_LONGEST >> 20} MiB: is its quote not closed?")
    if record:
        yield b"".join(record)


def _parquet(file: Path, column: str | None) -> Iterator[pl.DataFrame]:
    parquet: Any = importlib.import_module("pyarrow.parquet")
    with parquet.ParquetFile(file, pre_buffer=False) as opened:
        columns = None if column is None else [column]
        for batch in opened.iter_batches(batch_size=BATCH, columns=columns, use_threads=False):
            yield pl.DataFrame(batch)


def _from(frames: Iterator[pl.DataFrame], start_row: int) -> Iterator[pl.DataFrame]:
    for frame in frames:
        if start_row < frame.height:
            yield frame[start_row:]
        start_row = max(0, start_row - frame.height)


def _batched(found: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(found, BATCH)):
        yield batch


def _lines(file: Path) -> Iterator[Row]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with file.open("rb") as opened:
        for number, line in enumerate(opened, start=1):
            if not line.strip():
                continue
            try:
                yield decode(line)
            except (msgspec.DecodeError, RecursionError) as error:
                raise InputError(f"{file}: line {number} is no JSON object: {error}") from None


def _renamed(row: Mapping[str, Any]) -> Row:
    return {ALIASES.get(name, name): value for name, value in row.items()}

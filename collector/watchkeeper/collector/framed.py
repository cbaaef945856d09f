"""Predictions as columns in the inbox: an Arrow stream that was written here, after every value was looked at.

A body that is kept so is decoded once in its life: the loader reads it some forty times as fast as JSON. Columns are
named like the store's; a feature's name begins with ``features.``, a segment's with ``segments.``.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np
import polars as pl

from watchkeeper.schemas.errors import NotDecodable
from watchkeeper.store.facts.batch import PREDICTION_COLUMNS, TIME, ModelRows, Predictions, Wide

ENCODING = "columns"
FEATURES, SEGMENTS = "features.", "segments."
SKEW = timedelta(minutes=5)
DEFAULTS: Mapping[str, str | int] = {"model": "default", "status": "ok", "currency": "USD", "attempts": 1}
_SUM_BYTES = 4


def write(frame: pl.DataFrame) -> bytes:
    """Give the bytes to keep: a checksum, for a damaged stream would end the process that reads it, and the stream."""
    out = io.BytesIO()
    out.write(bytes(_SUM_BYTES))
    frame.write_ipc_stream(out, compat_level=pl.CompatLevel.newest())
    with out.getbuffer() as body:
        body[:_SUM_BYTES] = zlib.crc32(body[_SUM_BYTES:]).to_bytes(_SUM_BYTES)
    return out.getvalue()


def read(body: bytes) -> pl.DataFrame:
    """Read what ``write`` gave.

    Raises:
        NotDecodable: the bytes are others.

    """
    stream = memoryview(body)[_SUM_BYTES:]
    if zlib.crc32(stream).to_bytes(_SUM_BYTES) != body[:_SUM_BYTES]:
        raise NotDecodable("the kept columns are damaged: check the disk of the data directory")
    return pl.read_ipc_stream(io.BytesIO(stream))


def as_lines(body: bytes) -> bytes:
    """Give the rows as NDJSON, for people; the bytes themselves where they cannot be read."""
    try:
        return read(body).write_ndjson().encode()
    except NotDecodable:
        return body


def predictions(frame: pl.DataFrame, received: pl.Series) -> Predictions:
    """Give them to the store, with what the server knows: when each came."""
    own = stamped(frame.select(name for name in frame.columns if not name.startswith((FEATURES, SEGMENTS))), received)
    return Predictions(own, _models(own, frame), {})


def stamped(own: pl.DataFrame, received: pl.Series) -> pl.DataFrame:
    """Add when each came, which took that for its time, and whose clock runs ahead; fill what has a default."""
    ts = own["ts"] if "ts" in own.columns else pl.Series("ts", [None], TIME).new_from_index(0, own.height)
    without = ts.is_null()
    return own.with_columns(
        received,
        without.alias("server_ts"),
        ts if not ts.null_count() else ts.zip_with(~without, received).alias("ts"),
        *(
            (pl.col(name).fill_null(value) if name in own.columns else pl.lit(value, PREDICTION_COLUMNS[name])).alias(
                name
            )
            for name, value in DEFAULTS.items()
        ),
    ).with_columns(clock_skew=pl.col("ts") > pl.col("received_at") + SKEW)


def _models(own: pl.DataFrame, frame: pl.DataFrame) -> Sequence[ModelRows]:
    keys = own.select("service", "model")
    if all(column.n_unique() == 1 for column in keys.iter_columns()):
        every = np.arange(frame.height, dtype=np.int64)
        service, model = keys.row(0)
        return [ModelRows(service, model, every, _wide(frame, FEATURES), _wide(frame, SEGMENTS))]
    models: list[ModelRows] = []
    for (service, model), group in keys.with_row_index("place").group_by("service", "model", maintain_order=True):
        positions = group["place"].to_numpy().astype(np.int64)
        rows = frame[positions]
        models.append(ModelRows(str(service), str(model), positions, _wide(rows, FEATURES), _wide(rows, SEGMENTS)))
    return models


def _wide(rows: pl.DataFrame, prefix: str) -> Wide:
    """Give the columns of one model's rows; one that is all null was not sent by them."""
    return Wide(
        {
            series.name.removeprefix(prefix): series.to_list() if series.dtype == pl.Boolean else series
            for series in rows.iter_columns()
            if series.name.startswith(prefix) and series.null_count() < rows.height
        }
    )

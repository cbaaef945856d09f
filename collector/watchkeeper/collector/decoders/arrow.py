"""Predictions as an Arrow IPC stream: for bulk, where JSON costs several times as much."""

from __future__ import annotations

import io

import msgspec
import polars as pl
import polars.selectors as cs

from watchkeeper.collector.arrow import rows, stream
from watchkeeper.collector.decoding import Door, Events, PlainJson, Rejected, Sent, Taken, plain_reply
from watchkeeper.schemas.errors import NotDecodable
from watchkeeper.schemas.settings import Ingest

KIND = "predictions_arrow"
ARROW = "application/vnd.apache.arrow.stream"


def build(ingest: Ingest) -> Arrow:  # noqa: ARG001 - no setting concerns it
    """Make the decoder."""
    return Arrow()


class Arrow(PlainJson):
    """Shares the path of predictions."""

    kinds = (KIND,)
    doors = (
        Door(
            "/v1/predictions",
            KIND,
            "Take predictions as an Arrow stream",
            {ARROW: "arrow"},
            {"content": {ARROW: {"schema": {"type": "string", "format": "binary"}}}},
        ),
    )

    def check(self, sent: Sent) -> Taken:
        """Read the stream and look at every value; rows that cannot be used are taken out."""
        frame = stream.read(sent.body, sent.max_rows)
        try:
            made = rows.columns(frame)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise NotDecodable(f"the columns of the Arrow stream cannot be used: {str(error)[:300]}") from None
        problems = dict(made.problems)
        if sent.services is not None:
            foreign = ~made.frame["service"].is_in(sorted(sent.services))
            for row in foreign.fill_null(value=True).arg_true():
                problems.setdefault(row, ("service", "is not what this API key is for"))
        plain = frame.with_columns(cs.temporal().to_physical()) if problems else frame
        rejected = [Rejected(row, *problems[row], _raw(plain, row)) for row in sorted(problems)]
        body = sent.body
        if rejected:
            index = pl.Series(range(frame.height), dtype=pl.Int64)
            body = _written(frame.filter(~index.is_in(list(problems))))
        good = frame.height - len(rejected)
        return Taken(body, good, plain_reply(good, rejected), rejected)

    def events(self, kind: str, encoding: str, body: bytes) -> Events:  # noqa: ARG002 - there is one of each
        """Read it again; its values were looked at."""
        frame = stream.read(body, 2**62)
        return Events(columns=[rows.checked(frame)])


def _written(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_ipc_stream(out, compat_level=pl.CompatLevel.oldest())
    return out.getvalue()


def _raw(frame: pl.DataFrame, row: int) -> bytes:
    """Write a row as JSON, so that a person can read it."""
    return msgspec.json.encode({k: v for k, v in frame.row(row, named=True).items() if v is not None}, enc_hook=str)

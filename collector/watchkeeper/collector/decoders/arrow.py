"""Predictions as an Arrow IPC stream: for bulk, where JSON costs several times as much."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import polars.selectors as cs

from watchkeeper.collector import framed
from watchkeeper.collector.arrow import rows, stream
from watchkeeper.collector.arrow.as_event import as_event
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
        rejected = [Rejected(row, *problems[row], as_event(plain.row(row, named=True))) for row in sorted(problems)]
        good = replace(made, problems=problems).good()
        return Taken(framed.write(good), good.height, plain_reply(good.height, rejected), rejected, framed.ENCODING)

    def events(self, kind: str, encoding: str, body: bytes) -> Events:  # noqa: ARG002 - there is one of each
        """Read what was kept; its values were looked at."""
        return Events(columns=[framed.read(body)])

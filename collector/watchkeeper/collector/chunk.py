"""Some batches of the inbox as one unit of work for the store: events as columns, rejects, and what waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import msgspec
import polars as pl

from watchkeeper.collector import columns, framed, pairing
from watchkeeper.collector.decoding import Events, Rejected
from watchkeeper.collector.families import Families, Touched
from watchkeeper.collector.inbox import StoredBatch
from watchkeeper.collector.otlp.turned_away import service_of
from watchkeeper.collector.ownership import as_json
from watchkeeper.collector.pairing import Arrived, Paired
from watchkeeper.collector.shapes import Shapes
from watchkeeper.collector.slices import Slices
from watchkeeper.store.facts.batch import REJECT_COLUMNS, TIME, Batch, Completions, Holding
from watchkeeper.store.facts.connection import FactStore

WHOLE_BATCH = -1
"""The index of a reject that is a whole body, not one of its rows."""
_AS_EVENTS = {"predictions_arrow": "predictions"}
"""Kinds whose rows are turned away as events."""
_NAMES = ("service", "inferenceservicename")


class Chunk:
    """Gathers what batches hold."""

    def __init__(self, shapes: Shapes, families: Families, at_us: int) -> None:
        self._families = families
        self._at_us = at_us
        self.touched = Touched(at_us)
        self._slices, self._late = Slices(shapes), Slices(shapes)
        self._told: list[datetime] = []
        self._whole = Events()
        self._received: dict[str, list[int]] = {"outcomes": [], "reviews": [], "changes": []}
        self._rejected: list[tuple[StoredBatch, Rejected]] = []
        self._ignored: Counter[tuple[str, str]] = Counter()
        self._halves: list[Arrived] = []
        self._holding: Holding | None = None

    def add_rejects(self, batch: StoredBatch, rejected: Sequence[Rejected]) -> None:
        """Take what was turned away."""
        self._rejected += [(batch, reject) for reject in rejected]

    def add(self, batch: StoredBatch, one: Events) -> None:
        """Take what a batch holds."""
        self.add_rejects(batch, one.rejected)
        if one.predictions:
            if one.linked:
                self._families.look(one.predictions, one.linked, self.touched)
            self._slices.add(one.predictions, one.unknown, batch.received_us)
        for made in one.columns:
            self._slices.add_columns(made, batch.received_us)
        self._ignored.update({(batch.kind, what): count for what, count in one.ignored.items()})
        self._whole.gpus += one.gpus
        for kind, moments in self._received.items():
            rows = getattr(one, kind)
            getattr(self._whole, kind).extend(rows)
            moments.extend([batch.received_us] * len(rows))
        self._halves += [(batch, half) for half in one.halves]

    def pair(self, facts: FactStore) -> None:
        """Bring the halves together, once all batches were taken."""
        if self._halves:
            self.add_paired(pairing.paired(facts, self._halves, self._at_us))

    def add_paired(self, found: Paired) -> None:
        """Take what came of halves."""
        for prediction, received_us in found.made:
            self._slices.add([prediction], {}, received_us)
        for prediction, told in found.late:
            self._late.add([prediction], {}, self._at_us)
            self._told.append(told)
        self._rejected += found.rejected
        self._holding = found.holding

    def batch(self, watermark: int | None, into: int) -> tuple[Batch, datetime | None]:
        """Give the unit of work; say how new its newest prediction or GPU sample is."""
        rows, whole, received = self._slices.joined(), self._whole, self._received
        gpus = columns.gpus(whole.gpus) if whole.gpus else None
        late = self._late.joined()
        ends = [columns.newest(frame, "ts") for frame in (rows.frame if rows else None, gpus) if frame is not None]
        batch = Batch(
            predictions=rows,
            outcomes=columns.outcomes(whole.outcomes, received["outcomes"]) if whole.outcomes else None,
            reviews=columns.reviews(whole.reviews, received["reviews"]) if whole.reviews else None,
            changes=columns.changes(whole.changes, received["changes"]) if whole.changes else None,
            gpus=gpus,
            rejects=_rejects(self._rejected),
            ignored=self._ignored,
            completions=Completions(late, self._told) if late else None,
            holding=self.touched.holding(self._holding),
            families=self.touched.touched(),
            watermark=watermark,
            into=into,
        )
        return batch, max((end for end in ends if end is not None), default=None)


def poisoned(batch: StoredBatch, reason: str) -> Batch:
    """Give a batch that cannot be stored as one reject, beside those that it had already."""
    if batch.encoding == framed.ENCODING:
        whole = Rejected(WHOLE_BATCH, "", reason, framed.as_lines(batch.body), "predictions")
    else:
        whole = Rejected(WHOLE_BATCH, "", reason, batch.body)
    rejects = _rejects([(batch, reject) for reject in (whole, *batch.rejected)])
    return Batch(rejects=rejects, watermark=batch.seq)


def unstorable(found: Paired, reason: str) -> Batch:
    """Give a half that cannot be told as rejects: the predictions that it would have been."""
    rows: list[tuple[StoredBatch, Rejected]] = []
    for prediction, received_us in found.made:
        batch = StoredBatch(0, "predictions", "json", received_us, f"held/{prediction.id}", 0, b"", ())
        rows.append((batch, Rejected(received_us // 1000 % 2**31, "", reason, as_json(prediction))))
    return Batch(rejects=_rejects(rows), holding=found.holding)


def _rejects(rows: Sequence[tuple[StoredBatch, Rejected]]) -> pl.DataFrame | None:
    if not rows:
        return None
    frame = pl.DataFrame(
        {
            "id": [f"{batch.seq}.{reject.index}" for batch, reject in rows],
            "received_us": [batch.received_us for batch, _ in rows],
            "kind": [reject.kind or _AS_EVENTS.get(batch.kind, batch.kind) for batch, reject in rows],
            "batch": [batch.batch_key or str(batch.seq) for batch, _ in rows],
            "row_index": [None if reject.index == WHOLE_BATCH else reject.index for _, reject in rows],
            "field": [reject.field for _, reject in rows],
            "reason": [reject.reason for _, reject in rows],
            "service": [_service(reject.raw) for _, reject in rows],
            "raw": [reject.raw for _, reject in rows],
        },
        schema_overrides={name: dtype for name, dtype in REJECT_COLUMNS.items() if name != "received_at"},
    )
    return frame.with_columns(pl.col("received_us").cast(TIME).alias("received_at"))


def _service(raw: bytes) -> str | None:
    """Name the service of a rejected row, where it can be read at all."""
    try:
        value: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    row = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    name = next((row[key] for key in _NAMES if row.get(key)), None) or service_of(row)
    return name[:200] if isinstance(name, str) else None

"""Moves what the inbox holds into the facts, in big chunks, each with its watermark in one transaction.

After a crash it starts again after the watermark: what was stored is not read again, what was not is. A batch that
cannot be stored at all is kept as one reject with its reason, so that it never blocks those behind it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec
import polars as pl

from watchkeeper.collector import columns
from watchkeeper.collector.decoding import Events, Rejected
from watchkeeper.collector.inbox import Inbox, StoredBatch
from watchkeeper.collector.ownership import own_only
from watchkeeper.collector.registry import by_kind, discover
from watchkeeper.collector.shapes import Shapes
from watchkeeper.collector.slices import Slices
from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.schemas.settings import Ingest
from watchkeeper.store.facts.batch import REJECT_COLUMNS, TIME, Batch
from watchkeeper.store.facts.load import Loader

log = logging.getLogger("watchkeeper.loader")
WHOLE_BATCH = -1
"""The index of a reject that is a whole body, not one of its rows."""
_ANY = (Exception, pl.exceptions.PanicException)
"""A panic of polars is no Exception; it too may cost no more than the batch that brought it on."""


class InboxLoader:
    """One thread that loads whatever arrived, at most ``max_age`` seconds late."""

    def __init__(
        self,
        inbox: Inbox,
        loader: Loader,
        *,
        max_rows: int,
        max_age: float,
        loaded: Callable[[datetime], None],
        ingest: Ingest | None = None,
    ) -> None:
        self._inbox = inbox
        self._loader = loader
        self._max_rows = max_rows
        self._max_age = max_age
        self._loaded = loaded
        self._decoders = by_kind(discover(ingest or Ingest()))
        self._shapes = Shapes(loader.kinds)
        self._stopping = threading.Event()
        self._watermark = loader.watermark()
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)

    @property
    def watermark(self) -> int:
        """The inbox position up to which everything is in the facts."""
        return self._watermark

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start loading in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Load what is there, then stop."""
        self._stopping.set()
        self._inbox.arrived.set()
        self._thread.join()

    def load_pending(self) -> int:
        """Load everything that waits; give the number of batches."""
        total = 0
        while batches := self._inbox.after(self._watermark, self._max_rows):
            self._load(batches)
            total += len(batches)
        return total

    def _load_full_chunks(self) -> None:
        """Load until less than half a chunk was there: what has come meanwhile gathers again before it is loaded."""
        while batches := self._inbox.after(self._watermark, self._max_rows):
            self._load(batches)
            if sum(batch.rows for batch in batches) < self._max_rows / 2:
                return

    def _run(self) -> None:
        stopping = False
        while not stopping:
            self._inbox.arrived.wait(1.0)
            self._inbox.arrived.clear()
            if self._max_age and not self._stopping.is_set():
                self._stopping.wait(self._max_age)  # let a chunk gather: big loads cost half as much a row
            stopping = self._stopping.is_set()
            try:
                if stopping:
                    self.load_pending()
                else:
                    self._load_full_chunks()
            except _ANY:
                log.exception("loading failed; trying again in a second")
                self._stopping.wait(1.0)

    def _load(self, batches: Sequence[StoredBatch]) -> None:
        try:
            batch, newest = self._batch(batches)
            self._loader.load(batch)
        except StoreUnavailable:
            raise
        except _ANY as error:
            if len(batches) > 1:
                for one in batches:
                    self._load([one])
                return
            log.exception("one batch cannot be stored; it is kept as a reject")
            newest = None
            self._loader.load(_poisoned(batches[0], f"cannot be stored: {type(error).__name__}: {error}"))
        self._watermark = batches[-1].seq
        if newest is not None:
            self._loaded(newest)
        self._inbox.trim(self._watermark)

    def _events(self, batch: StoredBatch) -> Events:
        events = self._decoders[batch.kind].events(batch.kind, batch.encoding, batch.body)
        if batch.services is None:
            return events
        first = 1 + max((reject.index for reject in (*batch.rejected, *events.rejected)), default=-1)
        return own_only(events, batch.services, first)

    def _batch(self, batches: Sequence[StoredBatch]) -> tuple[Batch, datetime | None]:
        """Decode the chunk into one unit of work; say how new its newest prediction or GPU sample is."""
        whole = Events()
        slices = Slices(self._shapes)
        received: dict[str, list[int]] = {"outcomes": [], "reviews": [], "changes": []}
        rejected: list[tuple[StoredBatch, Rejected]] = []
        ignored: Counter[tuple[str, str]] = Counter()
        for batch in batches:
            rejected += [(batch, reject) for reject in batch.rejected]
            if not batch.rows:
                continue
            one = self._events(batch)
            rejected += [(batch, reject) for reject in one.rejected]
            if one.predictions:
                slices.add(one.predictions, one.unknown, batch.received_us)
            for made in one.columns:
                slices.add_columns(made, batch.received_us)
            ignored.update({(batch.kind, what): count for what, count in one.ignored.items()})
            whole.gpus += one.gpus
            for kind, moments in received.items():
                rows = getattr(one, kind)
                getattr(whole, kind).extend(rows)
                moments.extend([batch.received_us] * len(rows))
        rows = slices.joined()
        gpus = columns.gpus(whole.gpus) if whole.gpus else None
        ends = [columns.newest(frame, "ts") for frame in (rows.frame if rows else None, gpus) if frame is not None]
        batch = Batch(
            predictions=rows,
            outcomes=columns.outcomes(whole.outcomes, received["outcomes"]) if whole.outcomes else None,
            reviews=columns.reviews(whole.reviews, received["reviews"]) if whole.reviews else None,
            changes=columns.changes(whole.changes, received["changes"]) if whole.changes else None,
            gpus=gpus,
            rejects=_rejects(rejected),
            ignored=ignored,
            watermark=batches[-1].seq,
        )
        return batch, max((end for end in ends if end is not None), default=None)


def _rejects(rows: Sequence[tuple[StoredBatch, Rejected]]) -> pl.DataFrame | None:
    if not rows:
        return None
    frame = pl.DataFrame(
        {
            "id": [f"{batch.seq}.{reject.index}" for batch, reject in rows],
            "received_us": [batch.received_us for batch, _ in rows],
            "kind": [batch.kind for batch, _ in rows],
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
    name = cast("dict[str, object]", value).get("service") if isinstance(value, dict) else None
    return name[:200] if isinstance(name, str) else None


def _poisoned(batch: StoredBatch, reason: str) -> Batch:
    whole = Rejected(WHOLE_BATCH, "", reason, batch.body)
    rejects = _rejects([(batch, reject) for reject in (whole, *batch.rejected)])
    return Batch(rejects=rejects, watermark=batch.seq)

"""Moves what the inbox holds into the facts, in big chunks, each with its watermark in one transaction.

After a crash it starts again after the watermark: what was stored is not read again, what was not is. A batch that
cannot be stored at all is kept as one reject with its reason, so that it never blocks those behind it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import polars as pl

from watchkeeper.collector import pairing
from watchkeeper.collector.chunk import Chunk, poisoned, unstorable
from watchkeeper.collector.decoding import Events
from watchkeeper.collector.families import Families
from watchkeeper.collector.inbox import Inbox
from watchkeeper.collector.ownership import own_only
from watchkeeper.collector.pairing import Paired
from watchkeeper.collector.portion import ROW_GROUP, Part, Portion, portion
from watchkeeper.collector.registry import by_kind, discover
from watchkeeper.collector.shapes import Shapes
from watchkeeper.schemas.errors import NotDecodable, StoreUnavailable
from watchkeeper.schemas.settings import Ingest
from watchkeeper.store.facts import held
from watchkeeper.store.facts.features import ModelColumns
from watchkeeper.store.facts.load import Loader

log = logging.getLogger("watchkeeper.loader")
MAX_TOLD = 10_000
"""Halves that are told alone in one load."""
FILLING_SECONDS, STEP_SECONDS = 5.0, 0.25
"""So long may a load wait where it will be a whole chunk by then, and how often that is asked."""
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
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._inbox = inbox
        self._loader = loader
        self._max_rows = max_rows
        self._group = max(1, max_rows // ROW_GROUP) * ROW_GROUP
        self._max_age = max_age
        self._loaded = loaded
        self._now_us = now_us
        limits = ingest or Ingest()
        self._join_us = int(limits.join_seconds * 1e6)
        self._decoders = by_kind(discover(limits))
        self._shapes = Shapes(loader.kinds)
        self._stopping = threading.Event()
        self._watermark: int
        self._into: int
        self._watermark, self._into = loader.position()
        self._waiting = held.waiting(loader.facts) > 0
        self._families = Families(loader.facts)
        self._generation = loader.facts.generation
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)

    @property
    def touched(self) -> int:
        """The last inbox position of which anything is in the facts."""
        return self._watermark + (self._into > 0)

    def known(self, service: str, model: str) -> ModelColumns | None:
        """Give the columns that a model has in the store by now."""
        return self._loader.known(service, model)

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
        while taken := self._next():
            self._load(taken)
            total += len(taken.parts)
        return total

    def _next(self) -> Portion | None:
        self._look_where_we_are()
        batches = self._inbox.after(self._watermark, self._max_rows + self._into)
        if not batches:
            if self._inbox.waiting_rows:  # stored by now, but it could not be let go: a full disk, a crash
                self._inbox.trim(self._watermark)
            return None
        # Rows of a batch are stored already: another one has its number only where the inbox was lost.
        return portion(batches, self._into if batches[0].seq == self._watermark + 1 else 0, self._group)

    def _look_where_we_are(self) -> None:
        """After a load that failed: where only the very end of a commit did, it may be stored all the same."""
        generation = self._loader.facts.generation
        if generation == self._generation:
            return
        stored = self._loader.position()
        if stored != (self._watermark, self._into):
            self._watermark, self._into = stored
            self._families, self._waiting = Families(self._loader.facts), True
        self._generation = generation

    def _load_full_chunks(self) -> None:
        """Load while whole chunks wait, and then what there is: what comes meanwhile gathers again."""
        while taken := self._next():
            self._load(taken)
            if taken.rows < self._max_rows / 2:
                break
        if self._waiting_rows():
            self._inbox.arrived.set()

    def _waiting_rows(self) -> int:
        return self._inbox.waiting_rows - self._into

    def _gather(self) -> None:
        """Let a chunk gather, for big loads cost half as much a row: longer where it fills up soon."""
        least = math.ceil(self._max_age / STEP_SECONDS)
        step = self._max_age / least
        taken, rate, waiting = 0, 0.0, self._waiting_rows()
        while waiting < self._max_rows and not self._stopping.is_set():
            if taken >= least and waiting + rate * (FILLING_SECONDS - taken * step) < self._max_rows:
                break
            self._stopping.wait(step)
            taken += 1
            before, waiting = waiting, self._waiting_rows()
            rate = (waiting - before) / step

    def _run(self) -> None:
        stopping = False
        while not stopping:
            self._inbox.arrived.wait(1.0)
            self._inbox.arrived.clear()
            if self._max_age and not self._stopping.is_set():
                self._gather()
            stopping = self._stopping.is_set()
            try:
                if stopping:
                    self.load_pending()
                else:
                    self._load_full_chunks()
                    self.tell_alone()
            except StoreUnavailable as error:
                log.warning("loading failed; trying again in a second: %s", error)
                self._stopping.wait(1.0)
            except _ANY:
                log.exception("loading failed; trying again in a second")
                self._stopping.wait(1.0)

    def _load(self, taken: Portion) -> None:
        try:
            chunk = self._chunk(taken.parts)
            batch, newest = chunk.batch(taken.seq, taken.into)
            self._loader.load(batch)
            self._families.commit(chunk.touched)
            self._waiting |= batch.holding is not None
        except StoreUnavailable:
            raise
        except _ANY as error:
            if len(taken.parts) > 1:
                for part in taken.parts:
                    whole = replace(part, rows=part.batch.rows - part.start)
                    self._load(Portion([whole], part.batch.seq, 0))
                return
            log.exception("one batch cannot be stored; it is kept as a reject")
            [part] = taken.parts
            self._loader.load(poisoned(part.batch, f"cannot be stored: {type(error).__name__}: {error}"))
            newest, taken = None, Portion(taken.parts, part.batch.seq, 0)
        self._watermark, self._into = taken.seq, taken.into
        if newest is not None:
            self._loaded(newest)
        self._inbox.trim(self._watermark)

    def _events(self, part: Part) -> Events:
        batch = part.batch
        if not batch.body:
            raise NotDecodable("its body is lost: a file in inbox.bodies was removed or cut short. Send it again")
        events = self._decoders[batch.kind].events(batch.kind, batch.encoding, batch.body)
        if part.rows < batch.rows:
            events.columns = [frame.slice(part.start, part.rows) for frame in events.columns]
        if batch.services is None:
            return events
        first = 1 + max((reject.index for reject in (*batch.rejected, *events.rejected)), default=-1)
        return own_only(events, batch.services, first)

    def _chunk(self, parts: Sequence[Part]) -> Chunk:
        """Decode some requests into one unit of work."""
        chunk = Chunk(self._shapes, self._families, self._now_us())
        for part in parts:
            if not part.start:
                chunk.add_rejects(part.batch, part.batch.rejected)
            if part.rows:
                chunk.add(part.batch, self._events(part))
        chunk.pair(self._loader.facts)
        return chunk

    def tell_alone(self) -> int:
        """Tell halves whose other did not come in time; give their number.

        The deadline runs from what the inbox still holds: a half that waits there is not late because we are.
        """
        if not self._waiting:
            return 0
        now_us = self._now_us()
        ahead = self._inbox.after(self._watermark, 1)
        before_us = (ahead[0].received_us if ahead else now_us) - self._join_us
        told, limit = 0, MAX_TOLD
        while found := pairing.alone(self._loader.facts, before_us, now_us, limit):
            try:
                self._tell(found)
            except StoreUnavailable:
                raise
            except _ANY as error:
                if len(found.made) > 1 and limit > 1:
                    limit = 1
                    continue
                log.exception("a half cannot be stored; it is kept as a reject")
                self._loader.load(unstorable(found, f"cannot be stored: {type(error).__name__}: {error}"))
            told += len(found.holding.alone)
        self._waiting = held.waiting(self._loader.facts) > 0
        return told

    def _tell(self, found: Paired) -> None:
        chunk = Chunk(self._shapes, self._families, self._now_us())
        chunk.add_paired(found)
        batch, newest = chunk.batch(None, 0)
        self._loader.load(batch)
        if newest is not None:
            self._loaded(newest)

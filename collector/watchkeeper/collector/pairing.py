"""Brings halves together: those of one chunk with each other, and with what waits in the facts from before.

It only reads; what it decides is written by the load that also writes the predictions and the watermark. So a chunk
that is loaded again after a crash decides the same again. One thread loads, nobody else writes halves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl

from watchkeeper.collector.decoding import Rejected
from watchkeeper.collector.halves import NO_RESPONSE, Half, item_id, possible_ids, predictions
from watchkeeper.collector.inbox import StoredBatch
from watchkeeper.collector.ownership import as_json
from watchkeeper.schemas.events import Prediction
from watchkeeper.store.facts import held
from watchkeeper.store.facts.batch import TIME, Holding
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.held import Told

NEAR = timedelta(days=1)
"""A half that is sent again names nearly the same time: so far around it the stored predictions are looked through."""
NO_REQUEST = "no_request"
LATE_INDEX = 1_000_000
"""Where the numbers of late halves among a batch's rejects begin: no batch has so many rows."""
Arrived = tuple[StoredBatch, Half]
_half = msgspec.json.Decoder(Half).decode


@dataclass(slots=True)
class Paired:
    """What came of the halves of one chunk: predictions and when they came, rejects, and what waits from now on.

    ``late`` is what late halves say alone, each with the time of the prediction that was told without it.
    """

    holding: Holding
    made: list[tuple[Prediction, int]] = field(default_factory=list[tuple[Prediction, int]])
    late: list[tuple[Prediction, datetime]] = field(default_factory=list[tuple[Prediction, datetime]])
    rejected: list[tuple[StoredBatch, Rejected]] = field(default_factory=list[tuple[StoredBatch, Rejected]])


def paired(facts: FactStore, arrived: Sequence[Arrived], at_us: int) -> Paired:
    """Join what belongs together; keep what is alone; drop what came before."""
    timed = [(batch, _timed(half, batch.received_us)) for batch, half in arrived]
    known: dict[str, dict[str, Half | None]] = {}
    for key, part, told, body in held.found(facts, list({half.key for _, half in timed})).rows():
        known.setdefault(key, {})[part] = None if told else _half(body)
    before = _before(facts, [half for _, half in timed if None in known.get(half.key, {None: None}).values()])
    desk = _Desk(known, before)
    for batch, half in timed:
        desk.take(batch, half)
    holding = Holding(moment(at_us), _kept(desk.new), desk.met, fates=desk.fates)
    return Paired(holding, desk.made, desk.late, desk.rejected)


def alone(facts: FactStore, before_us: int, at_us: int, limit: int) -> Paired | None:
    """Tell what waited since before a time without its other half; None where nothing did."""
    fates: Counter[tuple[str, str]] = Counter()
    keys: list[str] = []
    made: list[tuple[Prediction, int]] = []
    for key, held_at, body in held.due(facts, moment(before_us), limit).rows():
        half = _half(body)
        request, response = (half, None) if half.part == "request" else (None, half)
        received_us = int(held_at.replace(tzinfo=UTC).timestamp() * 1e6)
        made += [(prediction, received_us) for prediction in predictions(request, response)]
        keys.append(key)
        fates[half.service, NO_RESPONSE if request else NO_REQUEST] += 1
    return Paired(Holding(moment(at_us), alone=keys, fates=fates), made) if keys else None


def moment(us: int) -> datetime:
    """Give µs since 1970 as naive UTC."""
    return datetime.fromtimestamp(us / 1e6, UTC).replace(tzinfo=None)


class _Desk:
    """Takes halves in the order of their arrival."""

    def __init__(self, known: dict[str, dict[str, Half | None]], before: Mapping[tuple[str, str], Told]) -> None:
        self._known = known
        self._before = before
        self._done: set[str] = set()
        self.new: dict[str, tuple[Half, int]] = {}
        self.met: list[str] = []
        self.made: list[tuple[Prediction, int]] = []
        self.late: list[tuple[Prediction, datetime]] = []
        self.rejected: list[tuple[StoredBatch, Rejected]] = []
        self.fates: Counter[tuple[str, str]] = Counter()

    def take(self, batch: StoredBatch, half: Half) -> None:
        """Join a half with its other, let it wait, or find that it came before or late."""
        there = self._known.setdefault(half.key, {})
        if half.part in there or half.key in self._done:
            self.fates[half.service, "duplicate"] += 1
        elif there:
            self._meet(batch, half, next(iter(there.values())))
        elif told := self._told(half):
            if half.part == "response" and any(one.unanswered for one in told):
                self._late(batch, half)  # it was told so long ago that its key is forgotten
            else:
                self.fates[half.service, "duplicate"] += 1
        else:
            there[half.part] = half
            self.new[half.key] = (half, batch.received_us)

    def _told(self, half: Half) -> list[Told]:
        keys = ((half.service, name) for name in possible_ids(half))
        return [told for key in keys if (told := self._before.get(key))]

    def _meet(self, batch: StoredBatch, half: Half, other: Half | None) -> None:
        if other is None:
            self._late(batch, half)
            return
        request, response = (half, other) if half.part == "request" else (other, half)
        self.made += [(prediction, batch.received_us) for prediction in predictions(request, response)]
        self.fates[half.service, "joined"] += 1
        self._done.add(half.key)
        if self.new.pop(half.key, None) is None:
            self.met.append(half.key)

    def _late(self, batch: StoredBatch, half: Half) -> None:
        """Let a half complete what was told without it; where that is no more, keep it as what it makes alone."""
        self.fates[half.service, "late"] += 1
        self._done.add(half.key)
        self.met.append(half.key)
        request, response = (half, None) if half.part == "request" else (None, half)
        for made in predictions(request, response):
            told = self._before.get((half.service, made.id))
            if told is not None:
                self.late.append((made, told.ts))
                continue
            reason = f"late: the other half of {half.id} was told alone, and is not kept any more"
            index = LATE_INDEX + len(self.rejected)
            self.rejected.append((batch, Rejected(index, "", reason, as_json(made), "predictions")))


def _timed(half: Half, received_us: int) -> Half:
    return half if half.ts is not None else msgspec.structs.replace(half, ts=received_us * 1000)


def _before(facts: FactStore, halves: Sequence[Half]) -> Mapping[tuple[str, str], Told]:
    """Find the predictions of halves that are stored: the halves are sent again, or late."""
    if not halves:
        return {}
    times = [half.ts // 1000 for half in halves if half.ts is not None]
    ids = {name for half in halves for name in (*possible_ids(half), *_items(half))}
    return held.stored(facts, list(ids), moment(min(times)) - NEAR, moment(max(times)) + NEAR)


def _items(half: Half) -> list[str]:
    return [item_id(half.id, number, len(half.rows)) for number in range(len(half.rows))]


def _kept(new: dict[str, tuple[Half, int]]) -> pl.DataFrame | None:
    if not new:
        return None
    rows = [(key, half.part, half.service, us, False, msgspec.json.encode(half)) for key, (half, us) in new.items()]
    frame = pl.DataFrame(rows, schema=["key", "part", "service", "held_at", "told", "body"], orient="row")
    return frame.with_columns(pl.col("held_at").cast(pl.Int64).cast(TIME))

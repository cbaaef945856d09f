"""Events become columns slice by slice: only one slice at a time lies in memory as objects, a tenth as dense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from watchkeeper.collector import columns, framed
from watchkeeper.collector.shapes import Shapes
from watchkeeper.schemas.events import Prediction
from watchkeeper.store.facts.batch import TIME, Fields, Predictions
from watchkeeper.store.facts.model_rows import joined

ROWS = 1_000
"""Events of a slice: some ms of Python, after which the other threads get their turn."""


class Slices:
    """Gathers the predictions of one chunk."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._done: list[Predictions] = []
        self._framed: dict[tuple[tuple[str, pl.DataType], ...], list[tuple[pl.DataFrame, int]]] = {}
        self._events: list[Prediction] = []
        self._received: list[int] = []
        self._unknown: dict[int, Fields] = {}

    def add(self, events: Sequence[Prediction], unknown: Mapping[int, Fields], received_us: int) -> None:
        """Take the events of one body; ``unknown`` holds, by position, fields that the schema does not have."""
        if self._events and type(self._events[0]) is not type(events[0]):
            self._columns()
        offset = len(self._events)
        self._unknown |= {offset + position: fields for position, fields in unknown.items()}
        self._events += events
        self._received += [received_us] * len(events)
        if len(self._events) >= ROWS:
            self._columns()

    def add_columns(self, frame: pl.DataFrame, received_us: int) -> None:
        """Take predictions that are columns already; those of the same columns are put together before all else."""
        self._framed.setdefault(tuple(frame.schema.items()), []).append((frame, received_us))

    def joined(self) -> Predictions | None:
        """Give all of them as columns; None where there are none."""
        if self._events:
            self._columns()
        for parts in self._framed.values():
            moments = np.repeat([received for _, received in parts], [frame.height for frame, _ in parts])
            received = pl.Series("received_at", moments, pl.Int64).cast(TIME)
            self._done.append(framed.predictions(pl.concat([frame for frame, _ in parts], rechunk=True), received))
        return joined(self._done) if self._done else None

    def _columns(self) -> None:
        self._done.append(columns.predictions(self._events, self._received, self._unknown, self._shapes))
        self._events, self._received, self._unknown = [], [], {}

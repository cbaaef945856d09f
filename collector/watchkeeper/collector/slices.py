"""Events become columns slice by slice: only one slice at a time lies in memory as objects, a tenth as dense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from watchkeeper.collector import columns
from watchkeeper.collector.arrow import rows
from watchkeeper.collector.arrow.rows import Columns
from watchkeeper.collector.shapes import Shapes
from watchkeeper.schemas.events import Prediction
from watchkeeper.store.facts.batch import Fields, Predictions
from watchkeeper.store.facts.model_rows import joined

ROWS = 1_000
"""Events of a slice: some ms of Python, after which the other threads get their turn."""


class Slices:
    """Gathers the predictions of one chunk."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._done: list[Predictions] = []
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

    def add_columns(self, made: Columns, received_us: int) -> None:
        """Take predictions that are columns already."""
        if self._events:
            self._columns()
        self._done.append(rows.predictions(made, received_us))

    def joined(self) -> Predictions | None:
        """Give all of them as columns; None where there are none."""
        if self._events:
            self._columns()
        return joined(self._done) if self._done else None

    def _columns(self) -> None:
        self._done.append(columns.predictions(self._events, self._received, self._unknown, self._shapes))
        self._events, self._received, self._unknown = [], [], {}

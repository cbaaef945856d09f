"""Which of what waits makes one load: a whole row group of DuckDB where enough waits, for that costs half as much.

Rows that fill a row group go to the file at once, packed; any other number goes to the log first and is packed later.
So a load may end inside of a request: the position says how many of its rows are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from watchkeeper.collector import framed
from watchkeeper.collector.inbox import StoredBatch

ROW_GROUP = 122_880
"""Rows of a row group of DuckDB."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one request, from ``start`` on."""

    batch: StoredBatch
    start: int
    rows: int


@dataclass(frozen=True, slots=True)
class Portion:
    """What one load takes, and what is stored then: all up to ``seq``, and ``into`` rows of the request after it."""

    parts: Sequence[Part]
    seq: int
    into: int

    @property
    def rows(self) -> int:
        """How many they are."""
        return sum(part.rows for part in self.parts)


def portion(batches: Sequence[StoredBatch], into: int = 0, group: int = ROW_GROUP) -> Portion:
    """Take a whole row group off the front, or everything; ``into`` rows of the first request are stored already.

    Only what is kept as columns can be taken in part: with anything else among it, everything is taken.
    """
    parts = [Part(batch, 0, batch.rows) for batch in batches]
    if into:
        parts[0] = Part(batches[0], into, batches[0].rows - into)
    left = group
    sliceable = all(batch.encoding == framed.ENCODING or not batch.rows for batch in batches)
    if sliceable and sum(part.rows for part in parts) > group:
        for number, part in enumerate(parts):
            if part.rows > left:
                cut = [*parts[:number], Part(part.batch, part.start, left)] if left else parts[:number]
                return Portion(cut, part.batch.seq - 1, part.start + left)
            left -= part.rows
    return Portion(parts, batches[-1].seq, 0)

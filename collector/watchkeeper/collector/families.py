"""Families of sibling requests some of which failed: those in which a request may have had several attempts.

Only a failure makes a family known, for ten minutes, in memory and in the facts; which of its rows are attempts is
judged where they are stored, whenever one more comes (see ``store.facts.attempts``). For a row that comes so late that
a failure before it may be forgotten by now, the store is asked in any case. So the order in which siblings come does
not matter, nor how late, nor which requests bring them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import msgspec
import polars as pl
from msgspec import Struct

from watchkeeper.collector.pairing import moment
from watchkeeper.schemas.events import INNER_OPERATIONS, Prediction
from watchkeeper.store.facts import attempts, held
from watchkeeper.store.facts.batch import FAMILY_COLUMNS, TIME, Holding
from watchkeeper.store.facts.connection import FactStore

PART = "attempt"
MAX_FAMILIES = 100_000
"""Families that are known at a time; beyond, the oldest are forgotten."""
MAX_LATENCY_MS = 86_400_000.0
"""A failure that took longer has its next attempt looked for a day after its begin, no longer."""
_WAIT_US = int(held.FAILURES_KEPT.total_seconds() * 1e6)
_LATE_US = _WAIT_US - attempts.MAX_PAUSE_US
"""What began longer ago may follow a failure that is forgotten."""
By = Literal["", "parent", "trace"]


class Family(NamedTuple):
    """What siblings have in common."""

    service: str
    trace_id: str | None
    parent_id: str | None
    operation: str


class Failures(Struct, frozen=True):
    """When a family's failures began and ended, and when the newest came; µs since 1970."""

    oldest_us: int
    newest_us: int
    came_us: int

    def __or__(self, other: Failures) -> Failures:
        """Give what both span."""
        return Failures(
            min(self.oldest_us, other.oldest_us),
            max(self.newest_us, other.newest_us),
            max(self.came_us, other.came_us),
        )


class Kept(Struct, frozen=True):
    """One failure as the facts keep it."""

    family: Family
    failures: Failures


def family_of(row: Prediction, by: By) -> Family | None:
    """Give the family of a row, or None where it can be no attempt."""
    if row.operation is None or row.operation in INNER_OPERATIONS or row.ts is None:
        return None
    if by == "parent":
        return Family(row.service, row.trace_id, row.parent_id, row.operation) if row.parent_id else None
    return Family(row.service, row.trace_id, row.parent_id, row.operation) if row.trace_id else None


@dataclass(slots=True)
class Touched:
    """The families that a chunk brings a row of, the failures among these, and the rows that came late."""

    at_us: int
    new: dict[Family, Failures] = field(default_factory=dict[Family, Failures])
    known: dict[Family, Failures] = field(default_factory=dict[Family, Failures])
    late: dict[Family, Failures] = field(default_factory=dict[Family, Failures])

    def touched(self) -> pl.DataFrame | None:
        """Give the families as the store takes them."""
        found = dict(self.known)
        for more in (self.new, self.late):
            for family, spans in more.items():
                before = found.get(family)
                found[family] = spans if before is None else spans | before
        if not found:
            return None
        rows = [(*family, moment(spans.oldest_us), moment(spans.newest_us)) for family, spans in found.items()]
        return pl.DataFrame(rows, schema=FAMILY_COLUMNS, orient="row")

    def holding(self, base: Holding | None) -> Holding | None:
        """Give the new failures as the store keeps them, beside the halves of the same chunk."""
        if not self.new:
            return base
        rows = [
            (PART, PART, family.service, self.at_us, False, msgspec.json.encode(Kept(family, failures)))
            for family, failures in self.new.items()
        ]
        frame = pl.DataFrame(rows, schema=["key", "part", "service", "held_at", "told", "body"], orient="row")
        frame = frame.with_columns(pl.col("held_at").cast(pl.Int64).cast(TIME))
        return replace(base or Holding(moment(self.at_us)), failures=frame)


class Families:
    """The families that are known; ``look`` only reads them, ``commit`` changes them once a chunk is stored."""

    def __init__(self, facts: FactStore) -> None:
        self._known: dict[Family, Failures] = {}
        decode = msgspec.json.Decoder(Kept).decode
        for body in held.failures(facts):
            kept = decode(body)
            self._note(kept.family, kept.failures)

    def look(self, rows: Iterable[Prediction], by: By, chunk: Touched) -> None:
        """Note the families of the rows of one request that have failures by now or bring one."""
        for row in rows:
            self._look(row, by, chunk)

    def _look(self, row: Prediction, by: By, chunk: Touched) -> None:
        failed = row.status == "error"
        start_us = row.ts // 1000 if isinstance(row.ts, int) else chunk.at_us
        late = not 0 <= chunk.at_us - start_us <= _LATE_US
        if not (failed or late or self._known):
            return
        family = family_of(row, by)
        if family is None:
            return
        known = self._known.get(family)
        if known is not None:
            chunk.known[family] = known
        if failed or late:
            end_us = start_us + round(min(row.latency_ms or 0, MAX_LATENCY_MS) * 1000)
            span, noted = Failures(start_us, end_us, chunk.at_us), chunk.new if failed else chunk.late
            before = noted.get(family)
            noted[family] = span if before is None else span | before

    def commit(self, chunk: Touched) -> None:
        """Take over the new failures, and forget what waited long enough."""
        for family, failures in chunk.new.items():
            self._note(family, failures)
        old = chunk.at_us - _WAIT_US
        while self._known:
            first, failures = next(iter(self._known.items()))
            if failures.came_us >= old and len(self._known) <= MAX_FAMILIES:
                break
            del self._known[first]

    def __len__(self) -> int:
        """Count the families that are known."""
        return len(self._known)

    def _note(self, family: Family, failures: Failures) -> None:
        before = self._known.pop(family, None)  # the newest stands last
        self._known[family] = failures if before is None else failures | before

"""What belongs together among spans that came in different requests: checks of an answer, attempts of one request.

A check is joined with its answer where both come in one request, amends an answer that is stored, and else waits for
it, in memory and in the facts, for ten minutes. For attempts it is noted which siblings failed (see ``families``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta

import msgspec
import polars as pl
from msgspec import Struct

from watchkeeper.collector import families
from watchkeeper.collector.families import By, Families, Touched
from watchkeeper.collector.genai.joining import MAX_CHECKS, checked
from watchkeeper.collector.genai.mapping import CHECKS
from watchkeeper.collector.pairing import moment
from watchkeeper.schemas.events import Check, Prediction
from watchkeeper.store.facts import held
from watchkeeper.store.facts.batch import AMENDMENT_COLUMNS, TIME, Holding
from watchkeeper.store.facts.connection import FactStore

BEFORE, AFTER = timedelta(minutes=10), timedelta(minutes=1)
"""How long before its check an answer may have begun, and how far clocks may differ."""
_WAIT_US = int(held.ENDS_WAIT.total_seconds() * 1e6)


class End(Struct, frozen=True, omit_defaults=True):
    """One loose end: the prediction that it is, when it began (ns), and what it found."""

    id: str
    service: str
    start_ns: int
    checks: tuple[Check, ...]


@dataclass(slots=True)
class Linked:
    """What one chunk changes: stored predictions, and the ends that wait."""

    at_us: int
    amendments: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    new: dict[str, list[End]] = field(default_factory=dict[str, list[End]])
    met: set[str] = field(default_factory=set[str])
    seen: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """What the chunk brought by now."""
    families: Touched = field(init=False)

    def __post_init__(self) -> None:
        """Note families of the same moment."""
        self.families = Touched(self.at_us)

    def sort_out(self, rows: Sequence[Prediction]) -> tuple[list[Prediction], list[Prediction]]:
        """Give the rows that the chunk did not have yet, and those sent again: the store keeps the first of each."""
        fresh: list[Prediction] = []
        again: list[Prediction] = []
        for row in rows:
            name = (row.service, row.id)
            (again if name in self.seen else fresh).append(row)
            self.seen.add(name)
        return fresh, again

    def amended(self) -> pl.DataFrame | None:
        """Give the amendments as the store takes them."""
        if not self.amendments:
            return None
        return pl.DataFrame(self.amendments, schema=AMENDMENT_COLUMNS)

    def holding(self, base: Holding | None) -> Holding | None:
        """Give the ends and failures as the store keeps them, beside the halves of the same chunk."""
        rows = [
            (key, "check", end.service, self.at_us, False, msgspec.json.encode(end))
            for key, ends in self.new.items()
            for end in ends
        ]
        rows += self.families.kept()
        if not rows and not self.met:
            return base
        frame = pl.DataFrame(rows, schema=["key", "part", "service", "held_at", "told", "body"], orient="row")
        frame = frame.with_columns(pl.col("held_at").cast(pl.Int64).cast(TIME))
        whole = base or Holding(moment(self.at_us))
        return replace(whole, met=[*whole.met, *self.met], ends=frame if rows else None)


class Links:
    """The ends that wait; ``join`` only reads them, ``commit`` changes them once a chunk is stored."""

    def __init__(self, facts: FactStore) -> None:
        self._ends: dict[str, list[tuple[int, End]]] = {}
        self._families = Families()
        decode = msgspec.json.Decoder(End).decode
        for key, part, held_at, body in held.ends(facts).rows():
            if part == families.PART:
                self._families.restore(body)
                continue
            at_us = int(held_at.replace(tzinfo=UTC).timestamp() * 1e6)
            self._ends.setdefault(key, []).append((at_us, decode(body)))

    def join(self, rows: Sequence[Prediction], by: By, chunk: Linked) -> list[Prediction]:
        """Give the predictions of one request, joined with what came in others; note those that may be attempts."""
        fresh, again = chunk.sort_out(rows)
        here = {row.id for row in fresh} if self._ends or any(row.operation in CHECKS for row in fresh) else set[str]()
        joined = checked(fresh) if here else fresh
        for place, row in enumerate(joined):
            if self._ends:
                joined[place] = self._met(row, here, chunk)
            self._families.look(row, by, chunk.families)
        for row in fresh:
            if row.operation in CHECKS and row.parent_id and row.checks:
                _add_check(row, chunk, together=row.parent_id in here)
        return joined + again

    def commit(self, chunk: Linked) -> None:
        """Take over what a chunk changed, and forget what waited long enough."""
        self._families.commit(chunk.families)
        for key in chunk.met:
            self._ends.pop(key, None)
        for key, ends in chunk.new.items():
            self._ends.setdefault(key, []).extend((chunk.at_us, end) for end in ends)
        if chunk.new:
            old = chunk.at_us - _WAIT_US
            self._ends = {
                key: kept for key, ends in self._ends.items() if (kept := [one for one in ends if one[0] >= old])
            }

    def waiting(self) -> tuple[int, int]:
        """Count the checks and the families that wait."""
        return sum(map(len, self._ends.values())), len(self._families)

    def _met(self, row: Prediction, here: Collection[str], chunk: Linked) -> Prediction:
        """Give a row with the checks that waited for it; it has those that came ``here``, in its own request.

        Those that came in the same chunk find it stored, and amend it.
        """
        key = _checks_of(row.service, row.id)
        if key not in self._ends or key in chunk.met:
            return row
        chunk.met.add(key)
        waited = {end.id: end for _, end in self._ends[key]}  # one that was sent again is one
        more = [check for end in waited.values() if end.id not in here for check in end.checks]
        return msgspec.structs.replace(row, checks=[*(row.checks or ()), *more][:MAX_CHECKS])


def _checks_of(service: str, name: str | None) -> str:
    return f"check {service} {name}"


def _add_check(row: Prediction, chunk: Linked, *, together: bool) -> None:
    """Amend the parent, where it is stored by then; where it did not come in the same request, wait for it too."""
    end = End(row.id, row.service, row.ts if isinstance(row.ts, int) else 0, tuple(row.checks or ()))
    if not together:
        chunk.new.setdefault(_checks_of(row.service, row.parent_id), []).append(end)
    at = moment((end.start_ns or chunk.at_us * 1000) // 1000)
    chunk.amendments.append(
        {
            "source": row.id,
            "id": row.parent_id,
            "service": row.service,
            "oldest": at - BEFORE,
            "newest": at + AFTER,
            "checks": [_whole(check) for check in end.checks],
            "together": together,
        }
    )


def _whole(check: Check) -> Mapping[str, object]:
    return msgspec.structs.asdict(check)

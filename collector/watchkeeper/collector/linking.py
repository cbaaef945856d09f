"""What belongs together among spans that came in different requests: checks of an answer, attempts of one request.

Spans of one request are joined where they are decoded. Here are their loose ends: a check whose parent was not among
them, a failure that no later attempt followed. They wait in memory and in the facts, for ten minutes, and meet what
comes later. A check whose answer is stored already amends it; so does a success the failures before it.

Not found is a failure that comes in after the success that followed it: both stay requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta

import msgspec
import polars as pl
from msgspec import Struct

from watchkeeper.collector.genai.joining import MAX_CHECKS, MAX_PAUSE_NS
from watchkeeper.collector.genai.mapping import CHECKS
from watchkeeper.collector.pairing import moment
from watchkeeper.schemas.events import INNER_OPERATIONS, Check, Fallback, Prediction
from watchkeeper.store.facts import held
from watchkeeper.store.facts.batch import AMENDMENT_COLUMNS, TIME, Holding
from watchkeeper.store.facts.connection import FactStore

BEFORE, AFTER = timedelta(minutes=10), timedelta(minutes=1)
"""How long before its check an answer may have begun, and how far clocks may differ."""
_WAIT_US = int(held.ENDS_WAIT.total_seconds() * 1e6)


class End(Struct, frozen=True, omit_defaults=True):
    """One loose end: the prediction that it is, when it ended (ns), and what of it counts."""

    id: str
    service: str
    start_ns: int
    end_ns: int
    model: str
    error_class: str | None = None
    checks: tuple[Check, ...] = ()


@dataclass(slots=True)
class Linked:
    """What one chunk changes: stored predictions, and the ends that wait."""

    at_us: int
    amendments: dict[tuple[str, str], dict[str, object]] = field(
        default_factory=dict[tuple[str, str], dict[str, object]]
    )
    new: dict[str, list[End]] = field(default_factory=dict[str, list[End]])
    met: set[str] = field(default_factory=set[str])
    spent: set[str] = field(default_factory=set[str])

    def amended(self) -> pl.DataFrame | None:
        """Give the amendments as the store takes them."""
        if not self.amendments:
            return None
        return pl.DataFrame(list(self.amendments.values()), schema=AMENDMENT_COLUMNS)

    def holding(self, base: Holding | None) -> Holding | None:
        """Give the ends as the store keeps them, beside the halves of the same chunk."""
        if not self.new and not self.met:
            return base
        rows = [
            (key, "check" if end.checks else "attempt", end.service, self.at_us, False, msgspec.json.encode(end))
            for key, ends in self.new.items()
            for end in ends
        ]
        frame = pl.DataFrame(rows, schema=["key", "part", "service", "held_at", "told", "body"], orient="row")
        frame = frame.with_columns(pl.col("held_at").cast(pl.Int64).cast(TIME))
        whole = base or Holding(moment(self.at_us))
        return replace(whole, met=[*whole.met, *self.met], ends=frame if rows else None)


class Links:
    """The ends that wait; ``join`` only reads them, ``commit`` changes them once a chunk is stored."""

    def __init__(self, facts: FactStore) -> None:
        self._ends: dict[str, list[tuple[int, End]]] = {}
        self._spent: dict[str, int] = {}
        """Failures that a success followed, and since when: sent again, they are no attempts of the next request."""
        decode = msgspec.json.Decoder(End).decode
        for key, held_at, body in held.ends(facts).rows():
            at_us = int(held_at.replace(tzinfo=UTC).timestamp() * 1e6)
            self._ends.setdefault(key, []).append((at_us, decode(body)))

    def join(self, rows: Sequence[Prediction], chunk: Linked) -> list[Prediction]:
        """Give the predictions of one request, joined with what came in others."""
        waits = bool(self._ends or chunk.new)
        here: set[str] | None = None
        joined: list[Prediction] = []
        for row in rows:
            one = self._met(row, chunk) if waits else row
            joined.append(one)
            if one.operation in CHECKS:
                here = here or {other.id for other in rows}
                if one.parent_id and one.checks and one.parent_id not in here:
                    _add_check(one, chunk)
                    waits = True
            elif one.status == "error" and self._may_be_retried(one, chunk):
                chunk.new.setdefault(_sibling(one), []).append(_end(one))
                waits = True
        return joined

    def _may_be_retried(self, row: Prediction, chunk: Linked) -> bool:
        request = row.parent_id is not None and row.operation not in INNER_OPERATIONS
        return request and row.id not in self._spent and row.id not in chunk.spent

    def commit(self, chunk: Linked) -> None:
        """Take over what a chunk changed, and forget what waited long enough."""
        for key in chunk.met:
            self._ends.pop(key, None)
        for key, ends in chunk.new.items():
            self._ends.setdefault(key, []).extend((chunk.at_us, end) for end in ends)
        self._spent |= dict.fromkeys(chunk.spent, chunk.at_us)
        if chunk.new:
            old = chunk.at_us - _WAIT_US
            self._spent = {name: at_us for name, at_us in self._spent.items() if at_us >= old}
            self._ends = {
                key: kept for key, ends in self._ends.items() if (kept := [one for one in ends if one[0] >= old])
            }

    def _met(self, row: Prediction, chunk: Linked) -> Prediction:
        """Give a row with the checks that waited for it, and as the last of the attempts that did."""
        checks = self._take(_checked(row), chunk)
        if checks:
            for end in checks:
                chunk.amendments.pop((end.service, end.id), None)
            more = [check for end in checks for check in end.checks]
            row = msgspec.structs.replace(row, checks=[*(row.checks or ()), *more][:MAX_CHECKS])
        if row.parent_id and row.status == "ok" and row.operation not in INNER_OPERATIONS:
            return self._last(row, chunk)
        return row

    def _last(self, row: Prediction, chunk: Linked) -> Prediction:
        waiting = self._waiting(_sibling(row), chunk)
        chain = _chain(_end(row), waiting) if waiting else []
        if not chain:
            return row
        self._take(_sibling(row), chunk)
        for end in chain:
            at = moment(end.start_ns // 1000)
            chunk.amendments[end.service, end.id] = _amendment(row, end.id, at, at) | {"attempt": True}
            chunk.spent.add(end.id)
        first = chain[0]
        fallback = row.fallback
        if first.model != row.model:
            fallback = Fallback(from_model=first.model, reason=first.error_class)
        return msgspec.structs.replace(row, attempts=min(row.attempts + len(chain), 1000), fallback=fallback)

    def _waiting(self, key: str, chunk: Linked) -> list[End]:
        before, here = self._ends.get(key), chunk.new.get(key)
        if before is None and here is None:
            return []
        ends = [] if key in chunk.met else [end for _, end in before or ()]
        return list({end.id: end for end in (*ends, *(here or ()))}.values())  # one that was sent again is one

    def _take(self, key: str, chunk: Linked) -> list[End]:
        found = self._waiting(key, chunk)
        if found:
            chunk.new.pop(key, None)
            if key in self._ends:
                chunk.met.add(key)
        return found


def _chain(last: End, waiting: Sequence[End]) -> list[End]:
    """Find the failures that lead to a success, one after the other, the first first."""
    chain: list[End] = []
    for end in sorted(waiting, key=lambda one: one.start_ns, reverse=True):
        if end.id != last.id and 0 <= last.start_ns - end.end_ns <= MAX_PAUSE_NS:
            chain.append(end)
            last = end
    return chain[::-1]


def _add_check(row: Prediction, chunk: Linked) -> None:
    """Let a check wait for its parent, and amend the parent where it is stored."""
    end = _end(row)
    chunk.new.setdefault(f"check {row.service} {row.parent_id}", []).append(end)
    at = moment((end.start_ns or chunk.at_us * 1000) // 1000)
    asked = _amendment(row, str(row.parent_id), at - BEFORE, at + AFTER)
    chunk.amendments[row.service, row.id] = asked | {"checks": [msgspec.to_builtins(_whole(c)) for c in end.checks]}


def _whole(check: Check) -> Mapping[str, object]:
    return msgspec.structs.asdict(check)


def _amendment(source: Prediction, name: str, oldest: object, newest: object) -> dict[str, object]:
    return {
        "source": source.id,
        "id": name,
        "service": source.service,
        "oldest": oldest,
        "newest": newest,
        "checks": None,
        "attempt": False,
    }


def _checked(row: Prediction) -> str:
    return f"check {row.service} {row.id}"


def _sibling(row: Prediction) -> str:
    return f"attempt {row.service} {row.parent_id} {row.operation}"


def _end(row: Prediction) -> End:
    start = row.ts if isinstance(row.ts, int) else 0
    end = start + int((row.latency_ms or 0) * 1e6)
    return End(row.id, row.service, start, end, row.model, row.error_class, tuple(row.checks or ()))

"""Is the service slower, dearer or less reliable, for the work that it was asked to do?

*Latency for the work done* is the log latency minus what the reference's requests of that size, kind and hour took
(least squares with hinges in log tokens): longer answers are then no slower service, and a slow tail of one request in
twenty shows. Misleads when a change of size is itself the fault: tokens, cost and plain latency are watched beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from watchkeeper.analyzers.verdict.core.channels import Channel, Days, Family, Floats, Rows, Table
from watchkeeper.analyzers.verdict.core.features import Category, Number, number
from watchkeeper.analyzers.verdict.core.segments import Segment

HINGES = (0.1, 0.3, 0.5, 0.7, 0.9)
HOURS = 6
TAIL = "latency_p99"
MOST_EXCESS = 3.0
CHUNK = 20_000
SIZES = {"tokens_in": "tokens_in", "tokens_out": "tokens_out"}


@dataclass(frozen=True, slots=True)
class Work:
    """What a request takes, by its size, kind and hour."""

    hinges: dict[str, Floats]
    kinds: tuple[Category, ...]
    weights: Floats

    def design(self, rows: Rows) -> Floats:
        """Give the terms of the least-squares fit."""
        parts = [np.ones(rows.frame.height)]
        for column, knots in self.hinges.items():
            size = np.log1p(np.nan_to_num(np.maximum(rows.floats(column), 0.0)))
            parts += [size, *(np.maximum(size - knot, 0) for knot in knots)]
        for kind in self.kinds:
            codes = rows.codes(kind.column, kind.values)
            parts += [(codes == kind.values.index(value)).astype(np.float64) for value in kind.top[1:]]
        slot = np.nan_to_num(rows.floats("hour")) // (24 / HOURS)
        parts += [(slot == place).astype(np.float64) for place in range(1, HOURS)]
        return np.column_stack(parts)

    def residual(self, rows: Rows) -> Floats:
        """Give the log latency that the work does not explain."""
        expected = [self.design(part) @ self.weights for part in _parts(rows)]
        return _log(rows.floats("latency_ms")) - np.concatenate([np.zeros(0), *expected])


@dataclass(frozen=True, slots=True)
class Latency:
    """The latency of the reference: its work, and where its slow end began."""

    work: Work
    p90: float
    p95: float
    p99: float

    def measure(self, rows: Rows, days: Days, segments: tuple[Segment, ...]) -> Table:
        """Measure it on some days."""
        plain, rest = _log(rows.floats("latency_ms")), self.work.residual(rows)
        timed = ~np.isnan(rest)
        table = {
            "latency": days.mean(plain),
            "latency for the work": days.mean(rest),
            "slow requests": days.share(rest > self.p95, timed),
            "very slow requests": days.share(rest > self.p99, timed),
            "slow excess": days.mean(np.clip(rest - self.p90, 0, MOST_EXCESS) + 0 * rest),
        }
        for segment in segments:
            table[f"{segment.subject} latency"] = days.mean(np.where(segment.mask(rows), rest, np.nan))
        return table

    def channels(self, segments: tuple[Segment, ...]) -> Iterator[Channel]:
        """Name its channels."""
        yield Channel("latency", "latency", Family.OPERATION, side=1)
        yield Channel("latency for the work", "latency", Family.OPERATION, side=1)
        yield Channel("slow requests", TAIL, Family.OPERATION, side=1, share=True)
        yield Channel("very slow requests", TAIL, Family.OPERATION, side=1, share=True)
        yield Channel("slow excess", TAIL, Family.OPERATION, side=1)
        for segment in segments:
            yield Channel(f"{segment.subject} latency", segment.subject, Family.SEGMENT, side=1)


@dataclass(frozen=True, slots=True)
class Operations:
    """What a request costs and how often it fails, as the reference had it."""

    latency: Latency | None
    sizes: tuple[Number, ...]
    cost: bool
    attempts: bool
    failed: bool
    segments: tuple[Segment, ...]

    def measure(self, rows: Rows, days: Days) -> Table:
        """Measure it on some days."""
        table: Table = {}
        if self.latency:
            table |= self.latency.measure(rows, days, self.segments)
        for size in self.sizes:
            table |= size.measure(rows, days)
        if self.cost:
            table["cost"] = days.mean(np.log(np.maximum(rows.floats("cost"), 1e-9)))
        if self.attempts:
            table["repeated requests"] = days.share(rows.floats("attempts") > 1)
        if self.failed:
            failed = rows.floats("failed")
            table["failures"] = days.mean(failed)
            for segment in self.segments:
                table[f"{segment.subject} failures"] = days.mean(np.where(segment.mask(rows), failed, np.nan))
        return table

    def channels(self) -> Iterator[Channel]:
        """Name its channels."""
        if self.latency:
            yield from self.latency.channels(self.segments)
        for size in self.sizes:
            yield from (one for one in size.channels() if one.family is Family.INPUT)
        if self.cost:
            yield Channel("cost", "cost", Family.OPERATION, side=1)
        if self.attempts:
            yield Channel("repeated requests", "attempts", Family.OPERATION, side=1, share=True)
        if self.failed:
            yield Channel("failures", "ok", Family.OPERATION, side=1, share=True)
            for segment in self.segments:
                yield Channel(f"{segment.subject} failures", segment.subject, Family.SEGMENT, side=1, share=True)


def learn(rows: Rows, kinds: tuple[Category, ...], segments: tuple[Segment, ...]) -> Operations | None:
    """Learn from reference rows; None where there are no operations at all."""
    sizes = tuple(one for name, column in SIZES.items() if rows.has(column) and (one := number(rows, name, column)))
    attempts, failed = rows.floats("attempts"), rows.floats("failed")
    found = Operations(
        _latency(rows, kinds) if rows.has("latency_ms") else None,
        sizes,
        rows.has("cost"),
        bool(np.nanmax(attempts, initial=1.0) > 1),
        bool(np.nansum(failed) > 0) or rows.has("latency_ms"),
        segments,
    )
    return found if found.latency or found.sizes or found.cost or found.attempts or found.failed else None


def _parts(rows: Rows) -> Iterator[Rows]:
    """Give the rows in parts: their terms take many times the room of the rows."""
    for start in range(0, rows.frame.height, CHUNK):
        yield Rows(rows.frame.slice(start, CHUNK), {}, {}, {})


def _latency(rows: Rows, kinds: tuple[Category, ...]) -> Latency:
    hinges = {
        column: np.unique(np.quantile(np.log1p(sizes[~np.isnan(sizes)]), HINGES))
        for column in SIZES.values()
        if rows.has(column)
        for sizes in [np.maximum(rows.floats(column), 0.0)]
    }
    work = Work(hinges, kinds, np.zeros(0))
    triangles: list[Floats] = []
    goals: list[Floats] = []
    for part in _parts(rows):  # a triangle a part says as much of the fit as all of its rows
        plain = _log(part.floats("latency_ms"))
        timed = ~np.isnan(plain)
        turned, triangle = np.linalg.qr(work.design(part)[timed])
        triangles.append(triangle)
        goals.append(turned.T @ plain[timed])
    weights = np.linalg.lstsq(np.concatenate(triangles), np.concatenate(goals), rcond=1e-9)[0].astype(np.float64)
    rest = Work(hinges, kinds, weights).residual(rows)
    rest = rest[~np.isnan(rest)]
    p90, p95, p99 = np.quantile(rest, (0.9, 0.95, 0.99))
    return Latency(Work(hinges, kinds, weights), float(p90), float(p95), float(p99))


def _log(latency: Floats) -> Floats:
    return np.log(np.maximum(latency, 1e-3))

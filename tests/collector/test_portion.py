"""Loads that end inside of a request: every row is stored once, whatever happens between two of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from collector.sent import TS
from collector.test_loader import Bench
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.collector import framed
from watchkeeper.collector.decoding import Rejected
from watchkeeper.collector.inbox import Incoming, StoredBatch
from watchkeeper.collector.loader import InboxLoader
from watchkeeper.collector.portion import portion
from watchkeeper.store.facts.batch import Batch


def waiting(sizes: list[int], encoding: str = framed.ENCODING, first: int = 1) -> list[StoredBatch]:
    return [
        StoredBatch(first + n, "predictions", encoding if rows else "ndjson", TS, None, rows, b"", ())
        for n, rows in enumerate(sizes)
    ]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 25))
def test_every_row_is_taken_once_and_in_order(sizes: list[int], group: int) -> None:
    batches = waiting(sizes)
    taken: list[tuple[int, int]] = []
    loads: list[int] = []
    seq = into = 0
    while rest := batches[seq:]:
        found = portion(rest, into, group)
        taken += [(part.batch.seq, row) for part in found.parts for row in range(part.start, part.start + part.rows)]
        loads.append(found.rows)
        seq, into = found.seq, found.into
    assert taken == [(n, row) for n, rows in enumerate(sizes, 1) for row in range(rows)]
    assert all(rows == group for rows in loads[:-1])


def test_what_is_no_columns_is_taken_whole() -> None:
    assert portion(waiting([5, 5], "ndjson"), 0, 7).rows == 10
    mixed = [*waiting([5]), *waiting([5], "ndjson", 2)]
    assert (portion(mixed, 0, 7).seq, portion(mixed, 0, 7).into) == (2, 0)


def send(bench: Bench, first: int, rows: int) -> None:
    frame = pl.DataFrame(
        {
            "id": [f"p{n}" for n in range(first, first + rows)],
            "service": ["shop"] * rows,
            "ts": pl.Series([(TS + n) * 10**6 for n in range(first, first + rows)]).cast(pl.Datetime("us")),
            "features.x": [float(n) for n in range(first, first + rows)],
        }
    )
    rejected = [Rejected(rows, "id", "is missing", b"{}")]
    body = framed.write(frame)
    bench.inbox.append(Incoming("predictions", framed.ENCODING, TS * 10**6, body, rows, rejected, b"")).result(
        timeout=30
    )


class Crash(Exception):
    pass


def pump(bench: Bench, group: int) -> InboxLoader:
    made = InboxLoader(bench.inbox, bench.loader, max_rows=100, max_age=0.0, loaded=bench.newest.append)
    made._group = group
    return made


@pytest.mark.parametrize("group", [4, 5, 6, 15])
def test_a_crash_between_two_loads_loses_and_doubles_nothing(tmp_path: Path, group: int) -> None:
    bench = Bench(tmp_path)
    for first in (0, 5, 10):
        send(bench, first, 5)
    bench.pump = pump(bench, group)
    loads: list[int] = []
    store = bench.loader.load

    def crashing(batch: Batch) -> object:
        if loads and len(loads) % 2 == 0:
            loads.append(0)
            raise KeyboardInterrupt
        report = store(batch)
        loads.append(report.loaded)
        return report

    bench.loader.load = crashing
    for _ in range(10):
        try:
            bench.pump.load_pending()
            break
        except KeyboardInterrupt:
            bench.pump = pump(bench, group)  # what the next process starts with: the stored position
    assert bench.facts.read("SELECT count(*), count(DISTINCT id) FROM predictions").rows() == [(15, 15)]
    assert bench.facts.read("SELECT sum(loaded), sum(duplicates), sum(rejected) FROM ingest").rows() == [(15, 0, 3)]
    assert bench.facts.read("SELECT sum(total), sum(sum) FROM feature_hour").rows() == [(15, 105.0)]
    assert sum(loads) == 15
    assert (bench.loader.position(), bench.inbox.waiting_rows) == ((3, 0), 0)
    bench.close()


def test_a_part_that_cannot_be_stored_is_no_end_of_the_rest(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for first in (0, 5):
        send(bench, first, 5)
    bench.pump = pump(bench, 7)
    store, seen = bench.loader.load, []

    def failing(batch: Batch) -> object:
        seen.append((batch.watermark, batch.into))
        if len(seen) in (1, 3):
            raise ValueError("as if")
        return store(batch)

    bench.loader.load = failing
    bench.pump.load_pending()
    assert seen == [(1, 2), (1, 0), (2, 0), (2, 0)], "the cut is given up, then each request by itself; one is a reject"
    assert bench.facts.read("SELECT count(*) FROM predictions").item() == 5
    whole = bench.facts.read("SELECT raw FROM rejects WHERE row_index IS NULL")["raw"].item()
    assert whole.count(b"\n") == 5
    assert bench.loader.position() == (2, 0)
    bench.close()


def test_numbers_go_on_after_a_request_of_which_a_part_is_stored(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    send(bench, 0, 5)
    send(bench, 5, 5)
    bench.pump = pump(bench, 7)
    bench.pump._load(bench.pump._next())
    assert (bench.loader.position(), bench.pump.touched) == ((1, 2), 2)
    positions = [bench.loader.position()]
    while taken := bench.pump._next():
        bench.pump._load(taken)
        positions.append(bench.loader.position())
    assert positions == [(1, 2), (2, 0)]
    assert all(one < other for one, other in pairwise(positions))
    bench.close()

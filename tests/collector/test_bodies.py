"""Large bodies lie beside the inbox: they come back as they were, and go when they are loaded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from collector.sent import TS, incoming, kept, opened, prediction
from collector.test_loader import Bench

from watchkeeper.collector import bodies, inbox
from watchkeeper.collector.bodies import LARGE, Bodies, Place
from watchkeeper.collector.inbox import Inbox


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file gets nothing more once it holds three bodies."""
    monkeypatch.setattr(bodies, "FILE_BYTES", 2 * LARGE + 1)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Inbox]:
    made = opened(tmp_path)
    yield made
    made.close()


def body(number: int, size: int = LARGE) -> bytes:
    return str(number).encode().ljust(size, b".")


def numbers(box: Inbox) -> list[int]:
    return [int(batch.body.rstrip(b".")) for batch in box.after(0, 10**9)]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "inbox.bodies").iterdir())


def test_small_and_large_ones_come_back_in_order(box: Inbox, tmp_path: Path) -> None:
    sizes = (10, LARGE - 1, LARGE, 3 * LARGE, 10, LARGE)
    for number, size in enumerate(sizes):
        kept(box.append(incoming(body=body(number, size))))
    assert [batch.body for batch in box.after(0, 10**9)] == [body(n, size) for n, size in enumerate(sizes)]
    assert (tmp_path / "inbox.bodies" / "000000001").stat().st_size == 5 * LARGE
    assert box.status().backlog_bytes == sum(sizes)


@pytest.mark.usefixtures("small_files")
def test_files_go_once_all_that_they_hold_is_loaded(box: Inbox, tmp_path: Path) -> None:
    for number in range(8):
        kept(box.append(incoming(body=body(number))))
    assert files(tmp_path) == ["000000001", "000000002", "000000003"]
    box.trim(2)
    assert (files(tmp_path)[0], numbers(box)) == ("000000001", [2, 3, 4, 5, 6, 7])
    box.trim(3)
    assert (files(tmp_path)[0], numbers(box)) == ("000000002", [3, 4, 5, 6, 7])
    box.trim(8)
    assert (files(tmp_path), box.status().backlog_bytes) == (["000000003"], 0)  # still written to
    kept(box.append(incoming(body=body(8))))
    assert numbers(box) == [8]


def test_a_later_start_writes_to_a_new_file_and_removes_what_no_row_speaks_of(tmp_path: Path) -> None:
    for number in range(3):
        box = opened(tmp_path)
        kept(box.append(incoming(body=body(number))))
        box.close()
    (tmp_path / "inbox.bodies" / "000000001").unlink()
    box = opened(tmp_path)
    box.trim(2)
    assert (files(tmp_path), numbers(box)) == (["000000003"], [2])
    box.close()


def test_a_number_that_a_row_speaks_of_is_never_given_again(tmp_path: Path) -> None:
    box = opened(tmp_path)
    kept(box.append(incoming(body=body(1))))
    box.close()
    (tmp_path / "inbox.bodies" / "000000001").unlink()
    box = opened(tmp_path)
    kept(box.append(incoming(body=body(2))))
    assert [batch.body for batch in box.after(0, 10**9)] == [b"", body(2)]
    box.close()


def test_a_batch_whose_body_is_lost_blocks_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    many = [prediction(id=f"a{n}", prediction="x" * 100, ts=TS) for n in range(400)]
    kept(bench.inbox.append(incoming(*many)))
    kept(bench.inbox.append(incoming(prediction(id="b", ts=TS))))
    [lost] = (tmp_path / "inbox.bodies").iterdir()
    lost.write_bytes(lost.read_bytes()[:-1])
    bench.pump.load_pending()
    assert bench.ids() == ["b"]
    [reason] = bench.facts.read("SELECT reason FROM rejects")["reason"]
    assert "its body is lost" in reason
    bench.close()


def test_a_copy_holds_every_body_but_those_that_are_loaded(box: Inbox, tmp_path: Path) -> None:
    for number, size in enumerate((LARGE, 10, LARGE)):
        kept(box.append(incoming(body=body(number, size))))
    box.copy(tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        found = copy.execute("SELECT seq, body FROM batches ORDER BY seq").fetchall()
    assert found == [(1, body(0)), (2, body(1, 10)), (3, body(2))]
    (tmp_path / "again").mkdir()
    (tmp_path / "copy.db").rename(tmp_path / "again" / "inbox.db")
    again = opened(tmp_path / "again")
    assert numbers(again) == [0, 1, 2]
    again.close()


def test_a_copy_needs_no_body_of_what_was_loaded_while_it_was_made(
    box: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(box.append(incoming(body=body(0))))
    copied = inbox.copy_sqlite

    def slow(source: Path, to: Path) -> None:
        copied(source, to)
        box.trim(1)
        box.scrub()

    monkeypatch.setattr(inbox, "copy_sqlite", slow)
    (tmp_path / "again").mkdir()
    box.copy(tmp_path / "again" / "inbox.db")
    again = opened(tmp_path / "again")
    assert again.after(1, 10) == [], "the facts that are copied later hold it"
    assert [batch.body for batch in again.after(0, 10)] == [b""]
    again.close()


def test_a_copy_keeps_the_row_of_a_body_that_is_lost(box: Inbox, tmp_path: Path) -> None:
    kept(box.append(incoming(body=body(0))))
    kept(box.append(incoming(body=body(1))))
    (tmp_path / "inbox.bodies" / "000000001").write_bytes(body(0))
    (tmp_path / "again").mkdir()
    box.copy(tmp_path / "again" / "inbox.db")
    again = opened(tmp_path / "again")
    assert [batch.body for batch in again.after(0, 10)] == [body(0), b""]
    again.close()


def test_scrubbing_leaves_no_file_of_what_was_let_go(box: Inbox, tmp_path: Path) -> None:
    kept(box.append(incoming(body=body(0))))
    box.trim(1)
    assert files(tmp_path) == ["000000001"]
    box.scrub()
    assert files(tmp_path) == []
    kept(box.append(incoming(body=body(1))))
    assert numbers(box) == [1]


def test_nothing_is_written_where_there_is_nothing(tmp_path: Path) -> None:
    made = Bodies(tmp_path / "bodies", 4)
    assert (made.keep([]), list((tmp_path / "bodies").iterdir())) == ([], [])
    assert made.keep([b"a", b"", b"bc"]) == [Place(5, 0, 1), Place(5, 1, 0), Place(5, 1, 2)]
    assert made.read(Place(5, 1, 2)) == b"bc"
    with pytest.raises(EOFError, match="ends before byte 4"):
        made.read(Place(5, 1, 3))
    made.close()

"""What was acknowledged is on disk, once, in order; what cannot be kept is refused at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from collector.sent import incoming, kept, opened, prediction

from watchkeeper.collector import inbox as inbox_module
from watchkeeper.collector.decoding import Rejected
from watchkeeper.collector.inbox import Ack, Inbox
from watchkeeper.schemas.errors import Overloaded, StoreUnavailable


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    opened_inbox = opened(tmp_path)
    yield opened_inbox
    opened_inbox.close()


@contextmanager
def disk_held(folder: Path) -> Iterator[None]:
    """While it lasts the writer waits: somebody else has the database's write lock."""
    with closing(sqlite3.connect(folder / "inbox.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def stored_bodies(inbox: Inbox) -> list[bytes]:
    return [batch.body for batch in inbox.after(0, 10**9)]


def test_requests_are_kept_in_order(inbox: Inbox) -> None:
    rows = [prediction(id=f"p{n}") for n in range(100)]
    for future in [inbox.append(incoming(row)) for row in rows]:
        assert kept(future) == Ack(b"{}", repeated=False)
    batches = inbox.after(0, 10**9)
    assert [batch.body for batch in batches] == rows
    assert [batch.seq for batch in batches] == list(range(1, 101))


def test_a_batch_comes_back_as_it_was_given(inbox: Inbox) -> None:
    given = incoming(prediction(), b"bad", prediction(), b'{"id":1}', key="k")
    kept(inbox.append(given))
    [batch] = inbox.after(0, 10)
    for name in ("kind", "encoding", "received_us", "batch_key", "rows", "body"):
        assert getattr(batch, name) == getattr(given, name), name
    assert batch.rejected == list(given.rejected)
    assert [(r.index, r.field) for r in batch.rejected] == [(1, ""), (3, "id")]


def test_reading_stops_at_the_rows_asked_for_but_gives_one_batch_at_least(inbox: Inbox) -> None:
    for size in (5, 5, 20, 1):
        kept(inbox.append(incoming(*(prediction() for _ in range(size)))))
    assert [batch.rows for batch in inbox.after(0, 10)] == [5, 5]
    assert [batch.rows for batch in inbox.after(2, 10)] == [20]
    assert [batch.rows for batch in inbox.after(3, 10)] == [1]
    assert inbox.after(4, 10) == []


def test_reading_stops_at_its_bytes_too(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of nothing but rejects have no rows, and would be read all at once."""
    monkeypatch.setattr(inbox_module, "MAX_READ_BYTES", 1000)
    for _ in range(5):
        kept(inbox.append(incoming(b"x" * 600)))
    assert [len(inbox.after(seq, 10**9)) for seq in (0, 2, 4)] == [2, 2, 1]


class Watched(sqlite3.Connection):
    """Notes, of each transaction of the writer's own connection, in what modes it was committed."""

    commits: list[tuple[object, ...]]

    def __exit__(self, *error: object) -> bool:
        modes = [self.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")]
        result = super().__exit__(*error)
        if threading.current_thread().name == "inbox":
            self.commits.append((*modes, error[0]))
        return result


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    noted: list[tuple[object, ...]] = []
    monkeypatch.setattr(Watched, "commits", noted, raising=False)
    monkeypatch.setattr(inbox_module.sqlite3, "connect", partial(sqlite3.connect, factory=Watched))
    return noted


def test_every_commit_waits_for_the_disk(tmp_path: Path, commits: list[tuple[object, ...]]) -> None:
    """2 is FULL: with WAL, SQLite then syncs its log before a commit returns."""
    inbox = opened(tmp_path)
    for _ in range(3):
        kept(inbox.append(incoming(prediction())))
    inbox.close()
    assert set(commits) == {(2, "wal", None)}
    assert len(commits) >= 3
    header = (tmp_path / "inbox.db").read_bytes()[18:20]
    assert header == b"\2\2", "WAL is written into the file itself"


def test_what_waits_is_committed_together(tmp_path: Path, commits: list[tuple[object, ...]]) -> None:
    inbox = opened(tmp_path)
    with disk_held(tmp_path):
        futures = [inbox.append(incoming(prediction())) for _ in range(200)]
        assert not any(future.done() for future in futures[1:])
    assert all(not kept(future).repeated for future in futures)
    inbox.close()
    assert 1 <= len(commits) <= 3


def test_32_threads_get_what_they_were_promised(inbox: Inbox) -> None:
    """Each looks into the database as soon as it is answered; its own request is there."""

    def send(thread: int) -> int:
        for n in range(15):
            key = f"{thread}-{n}"
            kept(inbox.append(incoming(prediction(id=key), key=key)))
            with closing(inbox._connect()) as connection:
                found = connection.execute("SELECT count(*) FROM batches WHERE batch_key = ?", (key,)).fetchone()[0]
            assert found == 1
        return thread

    with ThreadPoolExecutor(32) as pool:
        assert sorted(pool.map(send, range(32))) == list(range(32))
    batches = inbox.after(0, 10**9)
    assert [batch.seq for batch in batches] == list(range(1, 32 * 15 + 1))
    order: dict[str, list[int]] = {}
    for batch in batches:
        thread, n = str(batch.batch_key).split("-")
        order.setdefault(thread, []).append(int(n))
    assert all(numbers == list(range(15)) for numbers in order.values())
    assert inbox.status().accepted == 32 * 15


def test_a_key_again_gives_the_first_reply_and_stores_nothing(inbox: Inbox) -> None:
    first = kept(inbox.append(incoming(prediction(), key="k", reply=b"first")))
    again = kept(inbox.append(incoming(prediction(), prediction(), key="k", reply=b"second")))
    other = kept(inbox.append(incoming(prediction(), key="l", reply=b"third")))
    assert [first, again, other] == [Ack(b"first", False), Ack(b"first", True), Ack(b"third", False)]
    status = inbox.status()
    assert (status.accepted, status.repeated_batches, status.backlog_rows) == (2, 1, 2)


def test_of_many_with_one_key_at_once_one_is_stored(inbox: Inbox, tmp_path: Path) -> None:
    with disk_held(tmp_path):
        futures = [inbox.append(incoming(prediction(), key="k", reply=str(n).encode())) for n in range(50)]
    acks = [kept(future) for future in futures]
    assert [ack.repeated for ack in acks].count(False) == 1
    assert {ack.reply for ack in acks} == {b"0"}
    assert len(stored_bodies(inbox)) == 1


def test_trimming_forgets_the_batches_and_keeps_the_keys(inbox: Inbox) -> None:
    for n in range(4):
        kept(inbox.append(incoming(prediction(), b"bad", key=f"k{n}")))
    inbox.trim(3)
    assert [batch.seq for batch in inbox.after(0, 100)] == [4]
    status = inbox.status()
    assert (status.accepted, status.rejected, status.backlog_rows) == (4, 4, 1)
    assert kept(inbox.append(incoming(prediction(), key="k0"))).repeated


def test_a_key_is_kept_for_a_day(inbox: Inbox) -> None:
    old = replace(incoming(prediction(), key="old"), received_us=incoming().received_us - 25 * 3600 * 10**6)
    kept(inbox.append(old))
    assert kept(inbox.append(replace(old, batch_key="old"))).repeated
    inbox.trim(0)
    assert not kept(inbox.append(incoming(prediction(), key="old"))).repeated


def test_a_position_is_never_used_twice(tmp_path: Path) -> None:
    """Or the loader's watermark would skip what comes next."""
    inbox = opened(tmp_path)
    kept(inbox.append(incoming(prediction())))
    inbox.trim(1)
    inbox.close()
    again = opened(tmp_path)
    kept(again.append(incoming(prediction())))
    assert [batch.seq for batch in again.after(0, 10)] == [2]
    again.close()


def test_after_closing_everything_is_there_again(tmp_path: Path) -> None:
    inbox = opened(tmp_path)
    futures = [inbox.append(incoming(prediction(), b"bad", key=f"k{n}")) for n in range(20)]
    inbox.close()
    assert all(future.done() for future in futures), "what waited was committed first"
    again = opened(tmp_path)
    assert len(stored_bodies(again)) == 20
    assert (again.status().accepted, again.status().rejected) == (20, 20)
    assert kept(again.append(incoming(prediction(), key="k7"))).repeated
    again.close()


def test_a_closed_inbox_takes_nothing_and_leaves_nobody_waiting(tmp_path: Path) -> None:
    inbox = opened(tmp_path)
    inbox.close()
    with pytest.raises(StoreUnavailable, match="the inbox is closed: the server is stopping"):
        inbox.append(incoming(prediction()))


KILLED = """
import os, sys, threading
from pathlib import Path
from collector.sent import incoming, kept, opened, prediction

inbox = opened(Path(sys.argv[1]))
acked, enough = [], threading.Event()

def send(thread):
    for n in range(10_000):
        kept(inbox.append(incoming(prediction(id=f"{thread}-{n}"), key=f"{thread}-{n}")))
        acked.append(f"{thread}-{n}")
        if len(acked) >= 150:
            enough.set()

for thread in range(8):
    threading.Thread(target=send, args=(thread,), daemon=True).start()
enough.wait(60)
os.write(1, "\\n".join(acked).encode())
os._exit(9)
"""


def test_a_process_that_dies_in_the_middle_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 9, done.stderr
    acked = set(done.stdout.split())
    assert len(acked) >= 150
    inbox = opened(tmp_path)
    keys = [str(batch.batch_key) for batch in inbox.after(0, 10**9)]
    assert acked <= set(keys)
    assert len(keys) == len(set(keys)) == inbox.status().accepted
    assert kept(inbox.append(incoming(prediction(), key=min(acked)))).repeated
    inbox.close()


def held_futures(inbox: Inbox, folder: Path, sizes: list[int]) -> list[Future[Ack] | Overloaded]:
    """Append while the writer waits; what is refused stands as its error."""
    results: list[Future[Ack] | Overloaded] = []
    for size in sizes:
        try:
            results.append(inbox.append(incoming(body=bytes(size))))
        except Overloaded as error:
            results.append(error)
    return results


@pytest.mark.parametrize(
    ("limits", "sizes", "refused"),
    [
        ({"queue_requests": 3}, [1] * 5, [3, 4]),
        ({"queue_bytes": 100}, [60, 30, 20, 5], [2]),
        ({"queue_bytes": 100}, [500, 1], [1]),
    ],
    ids=["requests", "bytes", "one too big for any queue may pass alone"],
)
def test_a_full_queue_refuses_at_once_and_opens_again(
    tmp_path: Path, limits: dict[str, int], sizes: list[int], refused: list[int]
) -> None:
    inbox = opened(tmp_path, **limits)
    with disk_held(tmp_path):
        results = held_futures(inbox, tmp_path, sizes)
        assert [i for i, result in enumerate(results) if isinstance(result, Overloaded)] == refused
    for result in results:
        if isinstance(result, Future):
            kept(result)
    assert len(stored_bodies(inbox)) == len(sizes) - len(refused)
    kept(inbox.append(incoming(body=b"1")))
    inbox.close()


def test_a_full_backlog_refuses_until_something_was_loaded(tmp_path: Path) -> None:
    inbox = opened(tmp_path, backlog_bytes=100)
    kept(inbox.append(incoming(body=bytes(90))))
    kept(inbox.append(incoming(body=bytes(90))))
    with pytest.raises(StoreUnavailable, match=r"180 bytes wait to be loaded \(ingest\.backlog_bytes\)"):
        inbox.append(incoming(prediction()))
    inbox.close()
    again = opened(tmp_path, backlog_bytes=100)
    with pytest.raises(StoreUnavailable, match="180 bytes wait"):
        again.append(incoming(prediction()))
    again.trim(1)
    kept(again.append(incoming(body=b"")))
    assert again.status().backlog_bytes == 90
    again.close()


def test_rejects_fill_the_backlog_as_good_rows_do(tmp_path: Path) -> None:
    inbox = opened(tmp_path, backlog_bytes=100)
    kept(inbox.append(incoming(b"x" * 150)))
    with pytest.raises(StoreUnavailable, match="150 bytes wait"):
        inbox.append(incoming(prediction()))
    inbox.trim(1)
    kept(inbox.append(incoming(prediction())))
    inbox.close()


def test_a_sender_who_went_away_stops_nobody(tmp_path: Path) -> None:
    """A request that is cancelled while it waits must not take the writer with it."""
    inbox = opened(tmp_path)
    with disk_held(tmp_path):
        futures = [inbox.append(incoming(prediction())) for _ in range(5)]
        gone = [future.cancel() for future in futures[1::2]]
    assert True in gone
    for future in futures[::2]:
        kept(future)
    kept(inbox.append(incoming(prediction())))
    inbox.close()


def test_what_is_being_written_can_no_longer_be_called_off(tmp_path: Path) -> None:
    inbox = opened(tmp_path)
    with disk_held(tmp_path):
        future = inbox.append(incoming(prediction()))
        patience = time.monotonic() + 30
        while not future.running() and time.monotonic() < patience:
            time.sleep(0.001)
        assert not future.cancel()
    assert kept(future) == Ack(b"{}", repeated=False)
    inbox.close()


def test_a_request_that_cannot_be_stored_stops_nobody(inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    impossible = replace(incoming(prediction()), rows=2**80)
    with pytest.raises(StoreUnavailable, match="OverflowError"):
        kept(inbox.append(impossible))
    assert "could not be stored" in caplog.text
    kept(inbox.append(incoming(prediction())))
    assert len(stored_bodies(inbox)) == 1


def test_the_status_of_an_empty_inbox(inbox: Inbox) -> None:
    status = inbox.status()
    assert (status.accepted, status.rejected, status.backlog_rows, status.backlog_bytes) == (0, 0, 0, 0)
    assert status.oldest_us is None
    first = incoming(prediction())
    kept(inbox.append(first))
    kept(inbox.append(incoming(prediction())))
    assert inbox.status().oldest_us == first.received_us


def test_odd_texts_in_rejects_are_kept(inbox: Inbox) -> None:
    odd = Rejected(0, "f\0'", "r\0é😀", b"\xff\0\n")
    kept(inbox.append(replace(incoming(), rejected=[odd])))
    assert inbox.after(0, 1)[0].rejected == [odd]

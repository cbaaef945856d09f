"""200 means fsynced: by the kernel's own account no answer leaves before its body is written and synced.

kill -9 cannot show this, for it does not lose what the kernel holds in memory. So the system calls of a running server
are recorded. A request of n rows is told from the others by its marker in the log of the inbox, or in the file of its
body where that is large, and its answer by ``"accepted":n``. A large body is on disk before the row that speaks of it.
"""

from __future__ import annotations

import re
import shutil
import threading
from pathlib import Path

import pytest
from e2e.running import WATCHKEEPER, Server, until

pytestmark = [
    pytest.mark.debian,
    pytest.mark.skipif(shutil.which("strace") is None, reason="the Debian package strace is missing"),
]
REQUESTS, SENDERS = 40, 4
CALLS = "pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync"
_LOG = r"<[^>]*inbox\.(db-wal|bodies/\d+)>"
LARGE = 40_000
"""Bytes by which every fourth request is larger than those that lie in the log."""
WRITTEN = re.compile(rf"(?:pwrite64|write)\(\d+{_LOG}, (.*)")
SYNCED = re.compile(rf"(?:fsync|fdatasync)\(\d+{_LOG}")
RESUMED = re.compile(r"<\.\.\. (\w+) resumed>")
SENT = re.compile(r"(?:sendto|sendmsg|writev?)\((\d+<\w+:\[[^]]*\]>), ")
ANSWERED = re.compile(r'"accepted\\?":(\d+),')


@pytest.mark.timeout(240)
def test_every_answer_comes_after_its_body_was_synced(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    # -D: the process started here is the server itself, so that it ends when it is told to
    strace = ["strace", "-D", "-f", "-y", "-s", "100000", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(trace)]
    with Server(tmp_path, command=[*strace, *WATCHKEEPER]) as server:
        threads = [threading.Thread(target=send, args=(server, number)) for number in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: ANSWERED.findall(trace.read_text(errors="replace")), lambda found: len(found) >= REQUESTS)
    written, synced, answered = order(trace.read_text(errors="replace"))
    assert sorted(answered) == list(range(1, REQUESTS + 1))
    assert {rows for rows, (file, _) in written.items() if file != "db-wal"} == set(
        range(SENDERS, REQUESTS + 1, SENDERS)
    )
    for rows, at in answered.items():
        assert in_time(written[rows], synced, at), f"the answer to {rows} rows came before a sync"


def in_time(written: tuple[str, int], synced: list[tuple[str, int]], answered: int) -> bool:
    """Say whether the file with the body was synced before the answer, and the log after that."""
    file, began = written
    return any(
        began < body < answered and any(body <= row < answered for log, row in synced if log == "db-wal")
        for name, body in synced
        if name == file
    )


def send(server: Server, sender: int) -> None:
    """Send requests of 1 + sender, 1 + sender + SENDERS ... rows, each answered before the next."""
    for rows in range(1 + sender, REQUESTS + 1, SENDERS):
        marker = f"mark{rows:03d}mark"
        more = {"prediction": "x" * (LARGE // rows)} if rows % SENDERS == 0 else {}
        events = [{"id": f"{marker}-{n}", "service": "s", "ts": 1767600000 + n} | more for n in range(rows)]
        assert server.send("predictions", *events)["accepted"] == rows


def order(trace: str) -> tuple[dict[int, tuple[str, int]], list[tuple[str, int]], dict[int, int]]:
    """Give the file that each body was written to and the line by which it was, the file and line of each finished
    sync, and the line of the first byte of each answer.

    A page is written again when a later request shares it: what counts is when each event was written first.
    """
    events: dict[tuple[int, int], tuple[str, int]] = {}
    synced: list[tuple[str, int]] = []
    answered: dict[int, int] = {}
    began: dict[str, int] = {}
    syncing: dict[str, str] = {}
    for number, line in enumerate(trace.splitlines()):
        thread, _, call = line.partition(" ")
        call = call.strip()
        if found := WRITTEN.match(call):
            for rows, event in re.findall(r"mark(\d{3})mark-(\d+)", found[2]):
                events.setdefault((int(rows), int(event)), (found[1], number))
        elif found := SYNCED.match(call):
            if "<unfinished" in call:
                syncing[thread] = found[1]
            else:
                synced.append((found[1], number))
        elif (resumed := RESUMED.match(call)) and resumed[1] in ("fsync", "fdatasync") and thread in syncing:
            synced.append((syncing.pop(thread), number))
        elif sent := SENT.match(call):
            if "HTTP/1.1 200" in call:
                began[sent[1]] = number
            answered |= {int(rows): began[sent[1]] for rows in ANSWERED.findall(call)}
    written = {
        rows: max((at for (one, _), at in events.items() if one == rows), key=lambda at: at[1]) for rows, _ in events
    }
    return written, synced, answered


EARLY = r"""
7 pwrite64(9</d/inbox.db-wal>, "..mark002mark-0..mark002mark-1..", 4096, 0) = 4096
8 fdatasync(5</d/facts.duckdb.wal>) = 0
9 write(6<socket:[1]>, "HTTP/1.1 200 OK\r\n\r\n{\"accepted\":2,\"rejected\":0}", 99) = 99
7 fdatasync(9</d/inbox.db-wal> <unfinished ...>
9 write(6<socket:[1]>, "HTTP/1.1 200 OK\r\n\r\n{\"accepted\":3,\"rejected\":0}", 99) = 99
7 <... fdatasync resumed>) = 0
"""


def test_an_answer_that_comes_early_would_be_seen() -> None:
    written, synced, answered = order(EARLY.lstrip())
    assert (written, synced, answered) == ({2: ("db-wal", 0)}, [("db-wal", 5)], {2: 2, 3: 4})
    assert not in_time(written[2], synced, answered[2])
    assert in_time(written[2], synced, 6)


ROW_FIRST = r"""
7 write(8</d/inbox.bodies/000000001>, "..mark002mark-0..mark002mark-1..", 4096) = 4096
7 fdatasync(9</d/inbox.db-wal>) = 0
7 fdatasync(8</d/inbox.bodies/000000001>) = 0
9 write(6<socket:[1]>, "HTTP/1.1 200 OK\r\n\r\n{\"accepted\":2,\"rejected\":0}", 99) = 99
"""


def test_a_row_that_is_synced_before_its_body_would_be_seen() -> None:
    written, synced, answered = order(ROW_FIRST.lstrip())
    assert not in_time(written[2], synced, answered[2])

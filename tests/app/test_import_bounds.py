"""Import: memory does not grow with the file, a busy server is waited for, and never for ever."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import polars as pl
import pytest

from watchkeeper.app.importing import MAX_WAIT_SECONDS, Import, Target
from watchkeeper.app.log_files import rows
from watchkeeper.app.remote import Busy, Remote
from watchkeeper.schemas.errors import InputError

ROWS = 600_000
PEAK = """
import gc, sys
from datetime import UTC, datetime
from pathlib import Path
from watchkeeper.app.log_files import rows, survey

def peak():
    text = Path("/proc/self/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) // 1024

small, big = map(Path, sys.argv[1:])
survey(small, 90, datetime.now(UTC)), list(rows(small))
before = most = peak()
found = survey(big, 90, datetime.now(UTC)).rows
read = 0
for place, batch in enumerate(rows(big)):
    read += len(batch)
    if place % 10 == 0:
        most = max(most, peak())
print(found, read, most - before)
"""


def write(file: Path, count: int) -> None:
    made = random.Random(7)
    frame = pl.DataFrame(
        {
            "id": [f"row-{number}" for number in range(count)],
            "ts": ["2026-03-01T00:00:00"] * count,
            "amount": [made.random() for _ in range(count)],
            "note": [f"{made.random():.17f} {made.random():.17f}" for _ in range(count)],
        }
    )
    writers = {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".ndjson": frame.write_ndjson}
    if file.suffix == ".parquet":
        frame.write_parquet(file, row_group_size=50_000)
    else:
        writers[file.suffix](file)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".ndjson"])
def test_what_lies_in_memory_does_not_grow_with_the_file(tmp_path: Path, suffix: str) -> None:
    small, big = tmp_path / f"small{suffix}", tmp_path / f"big{suffix}"
    write(small, 20_000)
    write(big, ROWS)
    done = subprocess.run([sys.executable, "-c", PEAK, small, big], capture_output=True, text=True, check=True)
    found, read, grown = map(int, done.stdout.split())
    assert (found, read) == (ROWS, ROWS)
    assert grown < 50, f"{grown} MiB more for a file of {big.stat().st_size >> 20} MiB; as a whole it takes over 100"


class Doorman:
    """A server that answers as it is told, one answer a request; then it takes everything."""

    def __init__(self, answers: Sequence[tuple[int, str]]) -> None:
        waiting = list(answers)
        self.taken: list[str] = []
        taken = self.taken

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                status, after = waiting.pop(0) if waiting else (200, "")
                if status == 200:
                    taken.append(self.headers["Idempotency-Key"])
                body = json.dumps({"accepted": 1, "rejected": 0, "duplicates": 0, "errors": []}).encode()
                self.send_response(status)
                if after:
                    self.send_header("Retry-After", after)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.remote = Remote(f"http://127.0.0.1:{self.server.server_port}")


@pytest.fixture
def doormen() -> Iterator[list[Doorman]]:
    made: list[Doorman] = []
    yield made
    for one in made:
        one.remote.close()
        one.server.shutdown()
        one.server.server_close()


def importing(doormen: list[Doorman], *answers: tuple[int, str]) -> tuple[Import, list[float], Doorman]:
    doorman = Doorman(answers)
    doormen.append(doorman)
    waits: list[float] = []

    def wait(busy: Busy) -> None:
        waits.append(busy.retry_after)

    return Import(Target("f.csv", "shop", "m"), doorman.remote, wait=wait), waits, doorman


def test_a_busy_server_is_waited_for_as_it_asks(doormen: list[Doorman]) -> None:
    work, waits, doorman = importing(doormen, (200, ""), (429, "3"), (503, "1"), (503, ""), (200, ""))
    assert work.run([[{"ts": 1}], [{"ts": 2}]])["rows"] == 2
    assert waits == [3.0, 1.0, 2.0]
    assert len(set(doorman.taken)) == 2, "each batch is stored once"


def test_it_is_not_waited_for_ever(doormen: list[Doorman]) -> None:
    work, waits, _ = importing(doormen, (200, ""), *[(503, "100")] * 9)
    with pytest.raises(Busy, match=r"503.*The first 1 rows are stored: go on with --start-row 1"):
        work.run([[{"ts": 1}], [{"ts": 2}]])
    assert sum(waits) <= MAX_WAIT_SECONDS
    assert len(waits) == 3


def test_another_refusal_ends_it_at_once(doormen: list[Doorman]) -> None:
    work, waits, _ = importing(doormen, (413, ""))
    with pytest.raises(InputError, match="413"):
        work.run([[{"ts": 1}]])
    assert waits == []


def test_a_line_that_cannot_be_read_is_named_and_those_before_are_stored(
    doormen: list[Doorman], tmp_path: Path
) -> None:
    file = tmp_path / "some.ndjson"
    file.write_text("\n".join(['{"ts": 1}'] * 2500 + ["", "[1]"]))
    work, _, _ = importing(doormen)
    with pytest.raises(InputError, match=r"line 2502 is no JSON object.*go on with --start-row 2000"):
        work.run(rows(file))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".ndjson"])
def test_it_goes_on_at_any_row(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"some{suffix}"
    write(file, 5_000)
    for start in (0, 1, 1_999, 2_000, 4_999, 5_000, 9_000):
        ids = [row["id"] for batch in rows(file, start) for row in batch]
        assert ids == [f"row-{number}" for number in range(start, 5_000)]
        assert all(len(batch) <= 2_000 for batch in rows(file, start))


def test_a_csv_is_read_as_polars_reads_it_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "odd.csv"
    lines = ["\ufeffid,ts,when,note,n,flag"]
    for n in range(4_500):
        note = ('"a ""quoted"" text,\nof two lines"', "plain", "", '"x\n\ny"')[n % 4]
        lines.append(f"{n},2026-03-01T00:00:{n % 60:02d}Z,2026-03-01,{note},{'' if n % 7 == 0 else n / 2},{n % 2 == 0}")
    file.write_text("\n".join(lines).replace("True", "true").replace("False", "false"), newline="")
    whole = pl.read_csv(file, try_parse_dates=True, infer_schema_length=10_000)
    assert [row for batch in rows(file) for row in batch] == whole.rename({"id": "id"}).to_dicts()


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    for name, content, said in (
        ("a.txt", b"", "cannot tell the format"),
        ("a.parquet", b"no parquet", "cannot be read as parquet"),
        ("a.csv", b"a,b\n1,2,3\n", "cannot be read as csv"),
        ("b.csv", b'a,b\n1,2\n"' + b"x\n" * (9 << 20), "is its quote not closed"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=said):
            list(rows(tmp_path / name))
    with pytest.raises(InputError, match="no such file"):
        list(rows(tmp_path / "away.csv"))

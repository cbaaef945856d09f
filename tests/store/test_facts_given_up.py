"""DuckDB gives a database up whose checkpoint finds the disk full: it is said, and the next use opens it anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from store.disks import SPACE, ran, small_disk

__all__ = ["small_disk"]

BEGIN = (
    SPACE
    + """
import os, threading
from datetime import timedelta
import duckdb
from store.facts_made import START, Made, event
from watchkeeper.schemas.errors import StoreUnavailable

made = Made(folder / "facts.duckdb")
facts = made.facts

def rows(n):
    return [event(id=f"{n}-{k}", ts=START + timedelta(seconds=n), prediction=os.urandom(400).hex()) for k in range(300)]

def refused(use):
    try:
        use()
    except StoreUnavailable as error:
        return str(error)
    raise SystemExit("it was done on a full disk")

def whole(batches):
    assert made.value("SELECT count(*) FROM predictions") == 300 * batches
    assert made.value("SELECT count(DISTINCT id) FROM predictions") == 300 * batches
    assert made.value("SELECT sum(requests) FROM traffic_hour WHERE dim = ''") == 300 * batches
    assert made.loader.watermark() == batches

for n in range(1, 4):
    made.load(*rows(n), watermark=n)
"""
)
CHECKPOINT = (
    BEGIN
    + """
space(2)
print(refused(facts.checkpoint))
whole(3)
space(200)
assert facts.checkpoint()
whole(3)
facts.close()
"""
)
GIVEN_UP = (
    BEGIN
    + """
stop, odd, refusals = threading.Event(), [], []

def reading():
    while not stop.is_set():
        try:
            assert facts.read("SELECT count(*) FROM predictions").item() % 300 == 0
        except StoreUnavailable as error:
            refusals.append(str(error))
        except BaseException as error:
            odd.append(error)

space(1)
before = facts.generation
try:
    facts._connection.execute("CHECKPOINT")
    raise SystemExit("there was room")
except duckdb.FatalException:
    pass
print(refused(lambda: facts.read("SELECT 1")))
try:  # reads may go on by now, a load finds the disk full again
    made.load(*rows(4), watermark=4)
    raise SystemExit("loaded on a full disk")
except StoreUnavailable:
    pass
readers = [threading.Thread(target=reading) for _ in range(3)]
for one in readers:
    one.start()
space(200)
for n in range(4, 8):
    made.load(*rows(n), watermark=n)
stop.set()
for one in readers:
    one.join()
assert not odd, odd
assert facts.generation > before
whole(7)
locked = "import duckdb, sys; duckdb.connect(sys.argv[1])"
other = subprocess.run([sys.executable, "-c", locked, str(folder / "facts.duckdb")], capture_output=True, text=True)
assert "lock" in other.stderr, other.stderr
facts.close()
made = Made(folder / "facts.duckdb")
whole(7)
made.facts.close()
"""
)


@pytest.mark.parametrize(
    ("script", "said"),
    [(CHECKPOINT, "MiB more are needed"), (GIVEN_UP, "Nothing is lost: free disk or memory")],
    ids=["checkpoint", "given up"],
)
def test_it_is_told_and_goes_on_in_the_same_process(small_disk: tuple[str, Path], script: str, said: str) -> None:
    assert said in ran(script, *small_disk)

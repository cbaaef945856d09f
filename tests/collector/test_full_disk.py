"""A full disk is said so, loses nothing, and is over when there is space again."""

from __future__ import annotations

from pathlib import Path

import pytest
from store.disks import SPACE, ran, small_disk

__all__ = ["small_disk"]

INBOX = (
    SPACE
    + """
from collector.sent import incoming, kept, opened
from watchkeeper.schemas.errors import StoreUnavailable

inbox = opened(folder)
space(2)
acked = []
for n in range(200):
    try:
        kept(inbox.append(incoming(body=str(n).encode().ljust(20_000))))
        acked.append(n)
    except StoreUnavailable as error:
        print(error)
        break
for _ in range(2):
    try:
        kept(inbox.append(incoming(body=bytes(31_000))))
        raise SystemExit("stored on a full disk")
    except StoreUnavailable:
        pass
assert 5 < len(acked) < 200, acked
found = [int(batch.body[:10]) for batch in inbox.after(0, 10**9)]
assert found == acked, (found, acked)
space(50)
kept(inbox.append(incoming(body=b"9999")))
inbox.close()
again = opened(folder)
assert [int(batch.body[:10]) for batch in again.after(0, 10**9)] == [*acked, 9999]
again.close()
"""
)
BODIES = (
    SPACE
    + """
from collector.sent import incoming, kept, opened
from watchkeeper.schemas.errors import StoreUnavailable

inbox = opened(folder)
space(4)
acked = []
try:
    for n in range(200):
        kept(inbox.append(incoming(body=str(n).encode().ljust(100_000))))
        acked.append(n)
except StoreUnavailable as error:
    print(error)
assert 5 < len(acked) < 200, acked
found = [int(batch.body[:10]) for batch in inbox.after(0, 10**9)]
assert found == acked, (found, acked)
space(50)
kept(inbox.append(incoming(body=b"9999".ljust(100_000))))
inbox.close()
again = opened(folder)
assert [int(batch.body[:10]) for batch in again.after(0, 10**9)] == [*acked, 9999]
again.trim(10**6)
kept(again.append(incoming(body=b"1".ljust(100_000))))
assert len(list((folder / "inbox.bodies").iterdir())) == 1, "what was let go, and what was half written, is gone"
again.close()
"""
)
FACTS = (
    SPACE
    + """
import os
from datetime import timedelta
from store.facts_made import START, Made, event
from watchkeeper.schemas.errors import StoreUnavailable

made = Made(folder / "facts.duckdb")
made.load(event(), watermark=1)
made.facts.checkpoint()
space(3)
stored = 1
for n in range(2, 200):
    rows = [event(id=os.urandom(400).hex(), ts=START + timedelta(seconds=n)) for _ in range(200)]
    try:
        made.load(*rows, watermark=n)
        stored = n
    except StoreUnavailable as error:
        print(error)
        break
assert 2 < stored < 199, stored
count = 1 + (stored - 1) * 200
assert made.value("SELECT count(*) FROM predictions") == count
assert made.loader.watermark() == stored
space(200)
assert made.load(*rows, watermark=stored + 1).loaded == 200
made.facts.close()
again = Made(folder / "facts.duckdb")
assert again.value("SELECT count(*) FROM predictions") == count + 200
assert again.value("SELECT sum(requests) FROM traffic_hour") == count + 200
assert again.loader.watermark() == stored + 1
again.facts.close()
"""
)
BEHIND = (
    SPACE
    + """
import os
from datetime import UTC, datetime
from collector.sent import TS, incoming, kept, opened, prediction
from watchkeeper.collector.loader import InboxLoader
from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.load import Loader

def started():
    facts = FactStore(folder / "facts.duckdb")
    loader = Loader(facts, lambda: datetime.fromtimestamp(TS, UTC))
    return facts, InboxLoader(inbox, loader, max_rows=100, max_age=0.0, loaded=lambda newest: None)

def send(n):
    rows = [prediction(id=f"{n}-{k}", ts=TS + n, prediction=os.urandom(1000).hex()) for k in range(100)]
    kept(inbox.append(incoming(*rows)))

inbox = opened(folder, backlog_bytes=1_000_000)
facts, pump = started()
send(0)
pump.load_pending()
facts.checkpoint()
space(8)  # the inbox's log takes four of it
sent = 1
try:
    for n in range(1, 300):  # until the facts are full, the inbox takes and the loader loads
        send(n)
        sent += 1
        pump.load_pending()
    raise SystemExit("the disk was never full")
except StoreUnavailable as error:
    print(error)
stored = facts.read("SELECT count(*) FROM predictions").item()
assert 100 < stored <= sent * 100, (stored, sent)
try:  # the inbox may still have room: it takes what fits, until the loader is too far behind
    for n in range(sent, 300):
        send(n)
        sent += 1
    raise SystemExit("the backlog was never full")
except StoreUnavailable as error:
    print(error)
assert inbox.waiting_rows > 0
for _ in range(2):
    try:
        pump.load_pending()
        raise SystemExit("loaded on a full disk")
    except StoreUnavailable:
        pass
space(200)
pump.load_pending()
send(sent)
sent += 1
facts.close()
facts, pump = started()
pump.load_pending()
rows = facts.read("SELECT count(*) AS n, count(DISTINCT id) AS ids FROM predictions").row(0)
assert rows == (sent * 100, sent * 100), (rows, sent)
assert facts.read("SELECT count(*) FROM rejects").item() == 0
assert facts.read("SELECT sum(requests) FROM traffic_hour WHERE dim = ''").item() == sent * 100
assert inbox.after(0, 10) == []
inbox.close()
facts.close()
"""
)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (INBOX, "the inbox cannot be written"),
        (BODIES, "the inbox cannot be written"),
        (FACTS, "the facts cannot be"),
        (BEHIND, "cannot be written"),
    ],
    ids=["inbox", "bodies", "facts", "loader"],
)
def test_it_is_told_and_then_goes_on(small_disk: tuple[str, Path], script: str, said: str) -> None:
    assert said in ran(script, *small_disk)

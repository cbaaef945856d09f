"""What "complete to hh:mm, x % of what was sent" claims is true, also of odd senders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from watchkeeper.app.rooms import Rooms, open_stores
from watchkeeper.app.status import Status, StatusReader
from watchkeeper.collector.decoding import Sent
from watchkeeper.collector.inbox import Incoming
from watchkeeper.collector.ledger import ClientBook
from watchkeeper.collector.registry import discover
from watchkeeper.schemas.settings import Ingest, load
from watchkeeper.store.clock import wall

HALF = {
    "specversion": "1.0", "id": "r1", "source": "http://x/", "type": "org.kubeflow.serving.inference.request",
    "inferenceservicename": "iris", "data": {"instances": [[1.0]]},
}  # fmt: skip


class Bench:
    def __init__(self, folder: Path) -> None:
        settings, _ = load(None, {"WATCHKEEPER_SERVER_DATA_DIR": str(folder), "WATCHKEEPER_RETENTION_FACTS_DAYS": "30"})
        self.stores = open_stores(settings)
        self.rooms = Rooms(settings, self.stores)
        self.rooms.upkeep.renew()
        self.now = wall()
        self.sent = 0

    def send(self, ago: timedelta = timedelta(0), book: ClientBook | None = None, load: bool = True) -> None:
        self.sent += 1
        ts = (self.now - ago).timestamp()
        row = json.dumps({"service": "shop", "id": f"e{self.sent}", "ts": ts, "prediction": 1}).encode()
        us = int(wall().timestamp() * 1e6)
        self.stores.inbox.append(Incoming("predictions", "ndjson", us, row, 1, (), b"{}", client=book)).result(30)
        if load:
            self.rooms.loader.load_pending()

    def status(self) -> Status:
        stores = self.stores
        return StatusReader("0", stores.inbox, stores.facts, wall, lambda: None, "").read()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.stores.inbox.close()
    made.stores.control.close()
    made.stores.facts.close()


def complete_to(bench: Bench) -> datetime:
    found = bench.status().complete_to
    assert found is not None
    return found


def test_a_client_whose_clock_runs_ahead_completes_no_time_that_has_not_come(bench: Bench) -> None:
    bench.send(timedelta(hours=-5))
    assert bench.now <= complete_to(bench) <= wall()


def test_what_waits_at_a_client_in_the_inbox_or_for_its_other_half_is_not_complete(bench: Bench) -> None:
    bench.send(timedelta(minutes=-1))
    earlier = wall()
    assert complete_to(bench) >= earlier
    bench.send(timedelta(minutes=-1), book=ClientBook("c", 5, 0, 3, "shop"))
    later = wall()
    assert earlier - timedelta(seconds=1) <= complete_to(bench) <= later
    bench.send(timedelta(minutes=-1), load=False)
    assert bench.status().waiting == 1
    assert complete_to(bench) <= later


def test_a_half_that_waits_for_its_other_is_not_complete(bench: Bench) -> None:
    before = wall()
    us = int(before.timestamp() * 1e6)
    taken = discover(Ingest())["cloudevents"].check(Sent("cloudevents", "batch", json.dumps([HALF]).encode(), 100))
    bench.stores.inbox.append(Incoming("cloudevents", "any", us, taken.body, taken.rows, (), taken.reply)).result(30)
    bench.rooms.loader.load_pending()
    bench.send(timedelta(minutes=-1))
    assert bench.status().waiting_halves == 1
    assert complete_to(bench) <= before + timedelta(seconds=1)


def test_what_came_too_late_to_be_kept_is_not_counted_as_here(bench: Bench) -> None:
    for _ in range(3):
        bench.send()
    bench.send(timedelta(days=60))
    status = bench.status()
    assert (status.accepted, status.too_late, status.completeness) == (4, 1, 0.75)

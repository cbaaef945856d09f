"""kill -9 at random moments: what was answered with 200 is there once, however often it was sent again."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import duckdb
import httpx
import pytest
from e2e.running import Server

ROUNDS = 10
SENDERS = 4
BATCH = 20


class Sender:
    """One client: sends batch after batch, and the same batch again until it is answered."""

    def __init__(self, number: int, url: str, first_ts: float | None = None) -> None:
        self._name = f"sender-{number}"
        self._keyed = number % 2 == 0
        self._url = url
        self._next = 0
        self.first_ts = first_ts or time.time() - 3600
        self.acked: list[str] = []
        self.again = 0
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self._name)
        self._thread.start()

    def finish(self) -> None:
        assert self._thread is not None
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10, trust_env=False) as client:
            while self._send(client) and not self._stopping.wait(0.02):  # so little that the loader keeps up
                pass

    def send_once(self) -> bool:
        """Send the batch that is due, in the caller's thread."""
        with httpx.Client(base_url=self._url, timeout=10, trust_env=False) as client:
            return self._send(client)

    def _send(self, client: httpx.Client) -> bool:
        """Send the batch that is due; without an answer it stays due."""
        first = self._next * BATCH
        ids = [f"{self._name}-{number}" for number in range(first, first + BATCH)]
        events = [
            {"id": one, "service": self._name, "ts": self.first_ts + first + place, "features": {"x": place, "c": "a"}}
            for place, one in enumerate(ids)
        ]
        headers = {"Content-Type": "application/x-ndjson"}
        if self._keyed:
            headers["Idempotency-Key"] = f"{self._name}/{self._next}"
        try:
            response = client.post("/v1/predictions", content="\n".join(map(json.dumps, events)), headers=headers)
        except httpx.TransportError:
            self.again += 1
            return False
        assert response.status_code == 200, response.text
        assert response.json()["accepted"] == BATCH
        self.acked += ids
        self._next += 1
        return True


def stored(data: Path) -> Counter[str]:
    with closing(duckdb.connect(str(data / "facts.duckdb"), read_only=True)) as facts:
        return Counter(str(row[0]) for row in facts.execute("SELECT id FROM predictions").fetchall())


@pytest.mark.timeout(240)
def test_ten_times_killed_nothing_acknowledged_is_lost_and_nothing_is_there_twice(tmp_path):
    moments = random.Random(20261121)
    server = Server(tmp_path, {"WATCHKEEPER_LOADER_MAX_ROWS": "200"})
    senders = [Sender(number, server.url) for number in range(SENDERS)]
    server.start()
    try:
        for _ in range(ROUNDS):
            for sender in senders:
                sender.begin()
            time.sleep(moments.uniform(0.05, 0.6))
            server.kill()
            for sender in senders:
                sender.finish()
            server.start()
            for sender in senders:
                if sender.acked:
                    assert server.settled()
                    assert server.story(sender.acked[-1])["features"]["c"] == "a"
        for sender in senders:  # what was due when the last kill came is answered now
            sender.begin()
            sender.finish()
        status = server.settled()
        assert server.stop() == -15
    finally:
        server.end()

    acked = [one for sender in senders for one in sender.acked]
    found = stored(server.data)
    assert sum(sender.again for sender in senders) >= ROUNDS
    assert len(acked) == len(set(acked)) > 1000
    assert {one for one in acked if found[one] != 1} == set()
    assert found.total() == len(found) == status["loaded"]
    assert set(found) - set(acked) == set(), "every batch was sent until it was answered"
    by_service = {name: part["loaded"] for name, part in status["services"].items()}
    assert by_service == {sender._name: len(sender.acked) for sender in senders}
    keyed = [part["duplicates"] for name, part in status["services"].items() if int(name[-1]) % 2 == 0]
    assert keyed == [0, 0], "a repeated Idempotency-Key must not even reach the loader"

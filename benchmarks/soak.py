"""Is anything that was answered with 200 lost, or there twice, when the server is killed or stopped again and again?

Four clients send batches, each again until it is answered; half of them with an Idempotency-Key. The server is killed
(SIGKILL) or stopped (SIGTERM) at random moments, twenty times each, and started again. Then the ids in the facts are
compared with those that were acknowledged.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import duckdb

from benchmarks.processes import Running, environment, free_port, serve_command

QUESTION = "Is anything that was answered with 200 lost, or there twice, when the server is killed or stopped?"
ROUNDS, SENDERS, BATCH = 20, 4, 50
QUICK = {"WATCHKEEPER_LOADER_MAX_AGE_SECONDS": "0.02", "WATCHKEEPER_LOADER_MAX_ROWS": "500"}


class Sender:
    """One client: sends the batch that is due until it is answered."""

    def __init__(self, name: str, port: int, keyed: bool) -> None:
        self._name, self._port, self._keyed = name, port, keyed
        self._next, self._first_ts = 0, time.time() - 3600
        self.acked: list[str] = []
        self.unanswered = 0

    def run(self, stopping: threading.Event) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not stopping.is_set():
            if not self.send(connection):
                break
        connection.close()

    def send(self, connection: HTTPConnection) -> bool:
        first = self._next * BATCH
        events = [
            {"id": f"{self._name}-{n}", "service": self._name, "ts": self._first_ts + n, "features": {"x": n % 7}}
            for n in range(first, first + BATCH)
        ]
        headers = {"Content-Type": "application/x-ndjson"}
        if self._keyed:
            headers["Idempotency-Key"] = f"{self._name}/{self._next}"
        try:
            connection.request("POST", "/v1/predictions", "\n".join(map(json.dumps, events)), headers)
            response = connection.getresponse()
            status, _ = response.status, response.read()
        except (OSError, HTTPException):
            self.unanswered += 1
            return False
        if status != 200:  # the server is stopping
            self.unanswered += 1
            return False
        self.acked += [str(event["id"]) for event in events]
        self._next += 1
        return True


def measure(_options: argparse.Namespace) -> dict:
    return {name: rounds(number) for name, number in (("kill", signal.SIGKILL), ("stop", signal.SIGTERM))}


def rounds(number: signal.Signals) -> dict:
    moments = random.Random(20261121)
    with tempfile.TemporaryDirectory() as folder:
        data, port = Path(folder) / "data", free_port()
        senders = [Sender(f"sender-{n}", port, n % 2 == 0) for n in range(SENDERS)]
        for _ in range(ROUNDS):
            process = started(data, port)
            stopping = threading.Event()
            threads = [threading.Thread(target=sender.run, args=(stopping,)) for sender in senders]
            for thread in threads:
                thread.start()
            time.sleep(moments.uniform(0.05, 1.5))
            process.send_signal(number)
            process.wait(60)
            stopping.set()
            for thread in threads:
                thread.join()
        process = started(data, port)  # what was due when the last signal came is answered now
        for sender in senders:
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            assert sender.send(connection)
            connection.close()
        Running(process, port).settled()
        process.terminate()
        process.wait(60)
        with duckdb.connect(str(data / "facts.duckdb"), read_only=True) as facts:
            found = Counter(str(row[0]) for row in facts.execute("SELECT id FROM predictions").fetchall())
            counted = facts.execute("SELECT sum(requests)::BIGINT FROM traffic_hour WHERE dim = ''").fetchall()[0][0]
    acked = [one for sender in senders for one in sender.acked]
    return {
        "rounds": ROUNDS,
        "acknowledged": len(acked),
        "unanswered_batches_sent_again": sum(sender.unanswered for sender in senders),
        "lost": sum(1 for one in acked if not found[one]),
        "twice": sum(1 for count in found.values() if count > 1),
        "not_acknowledged_but_there": len(set(found) - set(acked)),
        "counted_in_rollups": counted,
    }


def started(data: Path, port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        serve_command(data, port), env=environment(QUICK), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    server = Running(process, port)
    deadline = time.monotonic() + 60
    while not server.answers("/ready"):
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server is not ready"
        time.sleep(0.02)
    server.connection.close()
    return process


def goals(figures: dict) -> dict[str, bool]:
    return {
        f"{name}, {part['rounds']} rounds, {part['acknowledged']} events: 0 acked lost, 0 twice": part["lost"] == 0
        and part["twice"] == 0
        and part["counted_in_rollups"] == part["acknowledged"]
        for name, part in figures.items()
    }

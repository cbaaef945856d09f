"""kill -9 while requests and responses come apart: each pair is one prediction, each lone half is told, none lost."""

from __future__ import annotations

import json
import random
import time
from contextlib import closing
from datetime import UTC, datetime

import duckdb
import httpx
import pytest
from e2e.running import Server, until

ROUNDS = 5
TYPE = "org.kubeflow.serving.inference."


class Logger:
    """A model server's logger that sends each event until it is answered, some of them twice."""

    def __init__(self, server: Server, moments: random.Random) -> None:
        self._client = httpx.Client(base_url=server.url, timeout=5, trust_env=False)
        self._moments = moments
        self._due: list[tuple[str, str, float]] = []
        self._begun = time.time() - 60
        self.pairs: set[str] = set()
        self.alone: set[str] = set()
        self.twice = 0

    def ask(self, number: int) -> None:
        """Make the events of one request; their order is chance, and so is whether the response gets lost."""
        name, at = f"r{number}", self._begun + number / 100
        halves = [(name, "request", at), (name, "response", at + 0.25)]
        lost = number % 10 == 7
        (self.alone if lost else self.pairs).add(name)
        self._due += halves[:1] if lost else halves
        self._moments.shuffle(self._due)

    def send(self, until_moment: float = float("inf")) -> None:
        """Send what is due; what is not answered stays due."""
        while self._due and time.monotonic() < until_moment:
            name, part, at = self._due[0]
            headers = {
                "ce-specversion": "1.0", "ce-id": name, "ce-source": "x", "ce-type": TYPE + part,
                "ce-inferenceservicename": "shop", "ce-time": datetime.fromtimestamp(at, UTC).isoformat(),
                "content-type": "application/json",
            }  # fmt: skip
            body = {"instances": [[1, 2]]} if part == "request" else {"predictions": [3]}
            try:
                answer = self._client.post("/v1/cloudevents", content=json.dumps(body), headers=headers)
            except httpx.TransportError:
                return
            assert answer.status_code == 200, answer.text
            if self._moments.random() < 0.2:
                self.twice += 1  # it was answered, but the logger never saw it
                continue
            self._due.pop(0)

    def close(self) -> None:
        self._client.close()


@pytest.mark.timeout(240)
def test_killed_five_times_every_pair_is_one_prediction(tmp_path):
    moments = random.Random(20261121)
    server = Server(tmp_path, {"WATCHKEEPER_INGEST_JOIN_SECONDS": "600", "WATCHKEEPER_LOADER_MAX_ROWS": "20"})
    logger = Logger(server, moments)
    server.start()
    try:
        for round_ in range(ROUNDS):
            for number in range(40):
                logger.ask(40 * round_ + number)
            logger.send(time.monotonic() + moments.uniform(0.05, 0.4))
            server.kill()
            server.start()
        logger.send()
        until(server.status, lambda s: s["waiting"] == 0 and s["waiting_halves"] == len(logger.alone))
        server.kill()
        server._settings["WATCHKEEPER_INGEST_JOIN_SECONDS"] = "0.5"  # their time is over
        server.start()
        halves = until(server.status, lambda s: s["waiting"] == s["waiting_halves"] == 0)["halves"]
        assert server.stop() == -15
    finally:
        logger.close()
        server.end()

    with closing(duckdb.connect(str(server.data / "facts.duckdb"), read_only=True)) as facts:
        rows = facts.execute("SELECT id, status, error_class, latency_ms, prediction FROM predictions").fetchall()
    found = {row[0]: row[1:] for row in rows}
    assert len(rows) == len(found), "nothing is there twice"
    assert found.keys() == logger.pairs | logger.alone
    assert {found[name] for name in logger.alone} == {("unknown", "no_response", None, None)}
    joined = {name for name in logger.pairs if found[name][0] == "ok"}
    assert joined == logger.pairs, "no half waited longer than the deadline"
    assert {round(found[name][2]) for name in joined} == {250}
    assert {found[name][3] for name in joined} == {"3"}
    assert (halves["joined"], halves["no_response"]) == (len(joined), len(logger.alone))
    assert halves["duplicate"] >= logger.twice > 10

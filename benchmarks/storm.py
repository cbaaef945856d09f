"""What do 10,000 alerts at once do: how many messages, how soon the first, and does a page of others still get through?

The real server, one receiver for the storm and one for everything else, both on loopback. 10,000 alerts of 400 names
are posted in batches of 64 over four connections, as fast as they are answered; every five seconds meanwhile another
alert of another group is posted, and must reach its own receiver. The peer takes the same batches in the same run,
before and after: it keeps them in memory, we answer once they are on the disk.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median, quantiles

import yaml

from benchmarks.processes import free_port, running

QUESTION = "What does a storm of 10,000 alerts do to messages, to the first of them, and to other pages?"
ALERTS, NAMES, BATCH, CONNECTIONS = 10_000, 400, 64, 4
OTHERS_EVERY, WATCHED, GIVEN_UP = 5.0, 100.0, 300.0
"""Seconds: between two alerts of others; so long it is watched; and so long at most, until all was told."""
PEER = "prometheus-alertmanager"


def measure(_options: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = _peer(folder / "before")
        ours = _ours(folder)
        after = _peer(folder / "after")
    peers = [one for one in (before, after) if one]
    share = ours["accepted_per_second"] / (sum(peers) / len(peers)) if peers else None
    return {**ours, "peer_accepted_per_second": peers, "share_of_peer": share and round(share, 3)}


def goals(figures: dict) -> dict[str, bool]:
    return {
        "at most one message a group": figures["most_messages_of_a_group"] <= 1 and figures["groups_told"] == NAMES,
        "the first within 60 s": figures["first_message_seconds"] <= 60,
        "pages of other groups at most 15 s late": figures["other_pages_late_seconds"]["max"] <= 15,
        "the API answers within 1 s (p99)": figures["answer_seconds"]["p99"] <= 1,
    } | (
        {"durable accept at least 0.25 x the peer in memory": figures["share_of_peer"] >= 0.25}
        if figures["share_of_peer"]
        else {}
    )


def _ours(folder: Path) -> dict:
    with sink() as (url, heard):
        port = free_port()
        argv = [
            sys.executable,
            "-m",
            "watchkeeper.app",
            "serve",
            "--port",
            str(port),
            "--data-dir",
            str(folder / "data"),
        ]
        with running(argv, port, settings={"WATCHKEEPER_CONTROL_DECLARED_DIR": str(_declared(folder, url))}):
            stop = threading.Event()
            others: list[tuple[str, float]] = []
            prober = threading.Thread(target=_probe, args=(port, stop, others))
            prober.start()
            began = time.time()
            took, answers = _storm(port)
            while time.time() - began < WATCHED or (_told(heard) < NAMES and time.time() - began < GIVEN_UP):
                time.sleep(0.5)
            stop.set()
            prober.join()
            time.sleep(15)
    names = [
        alert["labels"]["alertname"] for at, path, body in heard if path == "/storm" for alert in body["alerts"][:1]
    ]
    told = Counter(names)
    first = min(at for at, path, _ in heard if path == "/storm")
    last = max(at for at, path, _ in heard if path == "/storm")
    arrived = {body["alerts"][0]["labels"]["alertname"]: at for at, path, body in reversed(heard) if path == "/others"}
    waits = [arrived[name] - at if name in arrived else float("inf") for name, at in others]
    return {
        "alerts": ALERTS,
        "accepted_per_second": round(ALERTS / took),
        "answer_seconds": {"median": round(median(answers), 4), "p99": round(quantiles(answers, n=100)[98], 4)},
        "groups_told": len(told),
        "most_messages_of_a_group": max(told.values()),
        "first_message_seconds": round(first - began, 1),
        "last_message_seconds": round(last - began, 1),
        "other_pages": len(waits),
        # A group waits ten seconds for more before its first message: what is late comes on top.
        "other_pages_late_seconds": {"median": round(median(waits) - 10, 1), "max": round(max(waits) - 10, 1)},
    }


def _told(heard: list) -> int:
    """Count the messages of the storm."""
    return sum(path == "/storm" for _, path, _ in [*heard])


def _declared(folder: Path, url: str) -> Path:
    documents = [
        {"kind": "Receiver", "metadata": {"name": "storm"}, "spec": {"type": "webhook", "url": f"{url}/storm"}},
        {"kind": "Receiver", "metadata": {"name": "others"}, "spec": {"type": "webhook", "url": f"{url}/others"}},
        {
            "kind": "Route",
            "metadata": {"name": "all"},
            "spec": {
                "receiver": "others",
                "group_by": ["alertname"],
                "routes": [{"matchers": ["job=storm"], "receiver": "storm"}],
            },
        },
    ]
    declared = folder / "watchkeeper.d"
    declared.mkdir()
    text = yaml.safe_dump_all([{"apiVersion": "watchkeeper/v1"} | document for document in documents])
    (declared / "all.yaml").write_text(text)
    return declared


def _storm(port: int) -> tuple[float, list[float]]:
    batches = [
        [_alert(number) for number in range(start, min(start + BATCH, ALERTS))] for start in range(0, ALERTS, BATCH)
    ]
    answers: list[float] = []

    def work(own: list) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        for batch in own:
            body, at = json.dumps(batch), time.perf_counter()
            connection.request("POST", "/api/v2/alerts", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            response.read()
            answers.append(time.perf_counter() - at)

    threads = [threading.Thread(target=work, args=(batches[place::CONNECTIONS],)) for place in range(CONNECTIONS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began, answers


def _alert(number: int) -> dict:
    labels = {
        "alertname": f"Storm{number % NAMES}",
        "service": f"service-{number % NAMES}",
        "job": "storm",
        "instance": f"host-{number}",
        "severity": "warning",
    }
    return {"labels": labels, "annotations": {"summary": f"host {number} is away"}}


def _probe(port: int, stop: threading.Event, others: list[tuple[str, float]]) -> None:
    while not stop.is_set():
        connection = HTTPConnection("127.0.0.1", port, timeout=60)  # an idle one would be closed meanwhile
        name = f"Other{len(others)}"
        labels = {"alertname": name, "service": name, "job": "other", "severity": "critical"}
        others.append((name, time.time()))
        connection.request("POST", "/api/v2/alerts", json.dumps([{"labels": labels}]))
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        connection.close()
        stop.wait(OTHERS_EVERY)


@contextmanager
def sink() -> Generator[tuple[str, list]]:
    heard: list[tuple[float, str, dict]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            heard.append((time.time(), self.path, body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        server.server_close()


def _peer(folder: Path) -> float | None:
    program = shutil.which(PEER)
    if program is None:
        return None
    folder.mkdir()
    (folder / "am.yml").write_text("route: {receiver: none, group_by: [alertname]}\nreceivers: [{name: none}]\n")
    port = free_port()
    argv = [
        program,
        f"--config.file={folder / 'am.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with running(argv, port, ready="/-/ready"):
        took, _ = _storm(port)
    return round(ALERTS / took)

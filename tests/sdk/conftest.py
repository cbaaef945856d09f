"""A real HTTP server on the loopback address that takes what the SDK sends and answers as it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zlib
from collections import Counter, deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import watchkeeper_sdk

SDK = Path(watchkeeper_sdk.__file__).parents[1]


@dataclass(frozen=True)
class Taken:
    """One request as it arrived, and the status that it was answered with."""

    kind: str
    headers: dict[str, str]
    body: bytes
    status: int
    repeated: bool = False
    """Its key was answered for before: as the server, what is read here counts it once."""

    @property
    def rows(self) -> list[dict]:
        return [json.loads(line) for line in zlib.decompress(self.body, 31).splitlines()]


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Sink:
    """Collects requests; ``answers`` are given first, then every batch is accepted."""

    def __init__(self, port: int = 0) -> None:
        self.taken: list[Taken] = []
        self.answers: deque[Answer] = deque()
        self.connections = 0
        self.hold = threading.Event()
        self.hold.set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def answer(self, status: int, body: bytes = b"", *, retry_after: str | None = None, times: int = 1) -> None:
        """Plan the next answers."""
        headers = (("Retry-After", retry_after),) if retry_after else ()
        self.answers.extend([Answer(status, body, headers)] * times)

    def rows(self, kind: str = "predictions") -> list[dict]:
        return [row for taken in self.accepted() if taken.kind == kind and not taken.repeated for row in taken.rows]

    def accepted(self) -> list[Taken]:
        return [taken for taken in self.taken if taken.status == 200]

    def ids(self) -> Counter[str]:
        return Counter(row["id"] for row in self.rows())

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        with self._lock:
            answer = self.answers.popleft() if self.answers else None
            if answer is None:
                count = zlib.decompress(body, 31).count(b"\n")
                receipt = {"accepted": count, "rejected": 0, "duplicates": 0, "errors": []}
                answer = Answer(200, json.dumps(receipt).encode())
            key = headers["Idempotency-Key"]
            repeated = any(taken.headers["Idempotency-Key"] == key for taken in self.accepted())
            self.taken.append(Taken(path.removeprefix("/v1/"), headers, body, answer.status, repeated))
            return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                sink.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.hold.wait(30)
                answer = sink.take(self.path, dict(self.headers), body)
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                return

        return Handler


@pytest.fixture
def start_sink():
    """Make further servers, for a given port if asked."""
    servers = []

    def start(port: int = 0) -> Sink:
        servers.append(Sink(port))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def sink(start_sink):
    return start_sink()


@pytest.fixture
def connect(sink, tmp_path):
    """Make clients of the sink; they are shut down before it is."""
    clients = []

    def make(url: str | None = None, **options) -> watchkeeper_sdk.Client:
        options = {"flush_interval": 0.02, "spool_dir": str(tmp_path / "spool"), **options}
        client = watchkeeper_sdk.Client(sink.url if url is None else url, "checkout", **options)
        clients.append(client)
        return client

    yield make
    sink.hold.set()
    for client in clients:
        client.shutdown(5)


@pytest.fixture
def client(connect):
    return connect()


@pytest.fixture
def free_port():
    server = Sink()
    server.close()
    return server.port


@pytest.fixture
def python(sink, tmp_path):
    """Run a script in a process of its own that knows the sink through the environment."""

    def run(script: str, *, flags: tuple[str, ...] = (), quiet: bool = True) -> str:
        known = {"WATCHKEEPER_URL": sink.url, "WATCHKEEPER_SERVICE": "checkout", "PYTHONPATH": str(SDK)}
        known["WATCHKEEPER_SPOOL_DIR"] = str(tmp_path / "spool")
        done = subprocess.run(
            [sys.executable, *flags, "-c", script],
            env={**os.environ, **known},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert not (quiet and done.stderr), done.stderr
        return done.stdout

    return run


def total(stats: watchkeeper_sdk.Stats) -> int:
    """What ``logged`` must be equal to at every moment."""
    answered = stats.accepted + stats.rejected + stats.duplicates
    return stats.queued + answered + sum(stats.dropped.values())


@pytest.fixture
def conserved():
    def check(stats: watchkeeper_sdk.Stats) -> watchkeeper_sdk.Stats:
        assert stats.logged == total(stats)
        return stats

    return check

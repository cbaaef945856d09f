"""What does a call of the SDK cost its host, and what is lost, beside OpenTelemetry, Langfuse and Sentry?

All in one run, over HTTP on the loopback address, to a sink that counts the events that it took. The peers are
installed into a folder of their own; ``BENCH_PEERS_PYTHON`` names a Python that has them. Each library has its
defaults; ours writes to disk. After SIGKILL the service starts again once: so it is with services, and only ours has
something left to send then.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.processes import ROOT, environment, free_port

QUESTION = __doc__.splitlines()[0]
PEERS = {"opentelemetry": "opentelemetry-sdk", "langfuse": "langfuse", "sentry": "sentry-sdk"}
INSTALL = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http", "langfuse", "sentry-sdk")
DOWN_AT, DOWN_SECONDS = 2.0, 60.0
CALL_P50_US = 15.0
_EVENT = re.compile(rb"evt-[a-z]+-[a-z0-9]+-end")


class Sink:
    """Takes whatever is posted and remembers the events that it saw; may go away and come back."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: ThreadingHTTPServer | None = None

    def up(self) -> None:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                if sink._server is None:  # a connection that was kept while the server went away
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = _plain(body, self.headers.get("Content-Encoding", ""))
                sink.seen.update(_EVENT.findall(body))
                rows = body.count(b"\n")
                answer = json.dumps({"accepted": rows, "rejected": 0, "duplicates": 0, "errors": []}).encode()
                if not self.path.endswith("/predictions"):
                    answer = b"{}" if "json" in self.headers.get("Content-Type", "") else b""
                self.send_response(200)
                self.send_header("Content-Type", self.headers.get("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                return

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A client that was killed is no news."""

        self._server = Quiet(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def away(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def count(self, way: str) -> int:
        return sum(name.startswith(f"evt-{way}-".encode()) for name in self.seen)


def _plain(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    return zlib.decompress(body) if encoding == "deflate" else body


def measure(options: argparse.Namespace) -> dict:
    del options
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = os.environ.get("BENCH_PEERS_PYTHON") or _installed(folder / "peers")
        tools = ["watchkeeper", *(PEERS if python else ())]
        pythons = {tool: sys.executable if tool == "watchkeeper" else python for tool in tools}
        figures = {tool: {"version": _version(pythons[tool], PEERS.get(tool, "watchkeeper-sdk"))} for tool in tools}
        for _ in range(2):  # the second time is told: nothing is cold then
            for tool in tools:  # one at a time: here the time counts
                figures[tool] |= _run(tool, pythons[tool], "call", Sink(), folder)
        with ThreadPoolExecutor(len(tools)) as pool:
            for tool, lost in zip(
                tools, pool.map(lambda tool: _losses(tool, pythons[tool], folder), tools), strict=True
            ):
                figures[tool]["lost"] = {way: count for way, (count, _) in lost.items()}
            figures["watchkeeper"]["logged"] = {way: logged for way, (_, logged) in lost.items()}
        return figures


def goals(figures: dict) -> dict[str, bool]:
    ours = figures["watchkeeper"]
    reached = {
        f"a call with 20 features takes at most {CALL_P50_US:.0f} us (p50)": ours["p50_us"] <= CALL_P50_US,
        "nothing is lost: 60 s without server, SIGKILL, fork, exit": not any(ours["lost"].values()),
    }
    peers = {tool: found for tool, found in figures.items() if tool != "watchkeeper"}
    if peers:
        reached["a call costs less CPU than any peer's"] = all(
            ours["cpu_us"] < found["cpu_us"] for found in peers.values()
        )
    return reached


def _losses(tool: str, python: str, folder: Path) -> dict[str, tuple[int, int]]:
    """How many events did not arrive, of how many that the call returned for?"""
    lost = {}
    for way in ("exit", "forked", "killed", "down"):
        sink = Sink()
        said = _run(tool, python, way, sink, folder)
        if way == "killed":
            _run(tool, python, "again", sink, folder)
        lost[way] = (said["logged"] - sink.count(way), said["logged"])
        sink.away()
    return lost


def _run(tool: str, python: str, way: str, sink: Sink, folder: Path) -> dict:
    if sink._server is None:
        sink.up()
    script = str(Path(__file__).with_name("sdk_logging.py"))
    settings = {"PYTHONPATH": os.pathsep.join([str(ROOT / "sdk")]), "XDG_STATE_HOME": str(folder / "state")}
    process = subprocess.Popen(
        [python, script, tool, sink.url, way],
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    if way == "down":
        time.sleep(DOWN_AT)
        sink.away()
        time.sleep(DOWN_SECONDS)
        sink.up()
    out, _ = process.communicate(timeout=300)
    time.sleep(0.5)
    return json.loads(out.splitlines()[-1])


def _installed(folder: Path) -> str | None:
    """A Python with the peers, in a folder that goes with the run; None where they cannot be had."""
    python = folder / "bin" / "python"
    for argv in ([sys.executable, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", "-q", *INSTALL]):
        if subprocess.run(argv, capture_output=True, check=False).returncode:
            return None
    return str(python)


def _version(python: str, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"

"""Runs the real server as its own process, as ``watchkeeper serve`` is run, and asks it over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

WATCHKEEPER = (sys.executable, "-m", "watchkeeper.app")
READY_SECONDS = 60.0
T = TypeVar("T")
QUICK = {
    "WATCHKEEPER_LOADER_MAX_AGE_SECONDS": "0.02",
    "WATCHKEEPER_SCHEDULE_TICK_SECONDS": "0.2",
    "WATCHKEEPER_RETENTION_FACTS_DAYS": "0",
}
"""Settings with which a test need not wait, and may send events of any day."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def held_port() -> socket.socket:
    """Hold a port that a server of ours may listen on, and that nobody else is given meanwhile.

    It is bound and never listens: a server that asks for the address by name gets it, a search for a free one does not.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without settings of ours, and these."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("WATCHKEEPER_")}
    return own | dict(settings)


def run(*arguments: str | Path, settings: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line to its end."""
    argv = [*WATCHKEEPER, *map(str, arguments)]
    return subprocess.run(
        argv, env=environment(settings or {}), capture_output=True, text=True, timeout=120, check=False
    )


def until(ask: Callable[[], T], holds: Callable[[T], object], seconds: float = 60.0) -> T:
    """Ask again and again until the answer holds; fail with the last answer where it never does."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if holds(answer):
            return answer
        assert time.monotonic() < deadline, f"this still did not hold after {seconds:.0f} s: {answer!r}"
        time.sleep(0.02)


class Server:
    """One data folder and port; may be started, stopped and killed in turn."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str] | None = None, command: Iterable[str] = WATCHKEEPER
    ) -> None:
        self.data = folder / "data"
        self.log = folder / "server.log"
        self._held = held_port()
        self.port = self._held.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = QUICK | dict(settings or {})
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self.client.close()
        if self._process is not None:
            self.kill()
        self._held.close()

    def launch(self) -> None:
        """Start the process; do not wait."""
        argv = [*self._command, "serve", "--data-dir", str(self.data), "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._said_before = log.tell()
            self._process = subprocess.Popen(argv, env=environment(self._settings), stdout=log, stderr=log)

    def start(self) -> None:
        self.launch()
        until(self._ready, bool, READY_SECONDS)

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the server ended:\n{self.log.read_text()}"
        if f":{self.port}, data in {self.data}".encode() not in self.log.read_bytes()[self._said_before :]:
            return False  # whoever answers there is another server, which may end at any time
        try:
            return self.client.get("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        """Ask it to end, as an init system does; give its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(60)
        self._process = None
        return status

    def get(self, path: str, **parameters: str) -> Any:
        response = self.client.get(path, params=parameters)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text}"
        return response.json()

    def send(self, kind: str, *events: Mapping[str, Any], **headers: str) -> dict[str, Any]:
        """Send events as NDJSON; all must be answered for."""
        response = self.post(kind, *events, **headers)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, kind: str, *events: Mapping[str, Any], **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = "\n".join(map(json.dumps, events)).encode()
        return self.client.post(f"/v1/{kind}", content=body, headers={"Content-Type": "application/x-ndjson"} | named)

    def status(self) -> dict[str, Any]:
        return self.get("/v1/status")

    def settled(self) -> dict[str, Any]:
        """Wait until everything that was accepted is loaded."""
        return until(self.status, lambda status: status["waiting"] == 0)

    def story(self, event_id: str) -> dict[str, Any]:
        return self.get(f"/v1/predictions/{event_id}")

    def rows(self, query: str, **parameters: str) -> list[dict[str, Any]]:
        return self.get(f"/v1/queries/{query}", **parameters)["rows"]

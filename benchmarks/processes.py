"""Processes that are measured: started on free ports in a temporary folder, ended with the run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
READY_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("WATCHKEEPER_")}
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return own | {"DO_NOT_TRACK": "1", "PYTHONPATH": paths} | dict(settings or {})


class Running:
    """A server process that answers HTTP."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = psutil.Process(process.pid)
        self.url = f"http://127.0.0.1:{port}"
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process)

    def resident_mb(self) -> float:
        return self.process.memory_info().rss / 2**20

    def get(self, path: str) -> dict:
        self.connection.request("GET", path)
        response = self.connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return json.loads(body)

    def post(self, path: str, body: bytes) -> int:
        self.connection.request("POST", path, body, {"Content-Type": "application/x-ndjson"})
        response = self.connection.getresponse()
        response.read()
        return response.status

    def answers(self, path: str) -> bool:
        try:
            self.connection.request("GET", path)
            response = self.connection.getresponse()
            response.read()
        except (OSError, HTTPException):
            self.connection.close()
            return False
        return response.status == 200

    def settled(self) -> dict:
        """Wait until everything is loaded."""
        while True:
            status = self.get("/v1/status")
            if status["waiting"] == 0:
                return status
            time.sleep(0.05)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@contextmanager
def running(
    argv: list[str], port: int, *, ready: str = "/ready", settings: Mapping[str, str] | None = None
) -> Generator[Running]:
    """Start a server and wait until ``ready`` answers 200."""
    process = subprocess.Popen(argv, env=environment(settings), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    server = Running(process, port)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not server.answers(ready):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"not ready: {argv}\n{process.communicate()[1].decode()}")
            time.sleep(0.002)
        yield server
    finally:
        server.connection.close()
        process.terminate()
        process.communicate(timeout=60)


def serve_command(folder: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "watchkeeper.app", "serve", "--data-dir", str(folder), "--port", str(port)]


def measured(module: str, *arguments: str) -> dict:
    """Run a module of ours in a process of its own; its last line is JSON."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])

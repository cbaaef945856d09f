"""The container's very commands, with its very environment, as a user who owns nothing but the data folder.

No container engine runs here, so the wheel goes into an environment of its own that borrows the installed packages.
As root the commands run as ``nobody``. The checkout may lie where nobody may read, so they keep the one capability
to read every file; what they write, they write as nobody.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from deploy.container import command_of, environment_of
from deploy.wheel import build

T = TypeVar("T")
NOBODY = 65534
EVENT = {"id": "e-1", "service": "checkout", "prediction": True, "features": {"amount": 12.5}}

pytestmark = [
    pytest.mark.debian,
    pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux"),
    pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root, and there is no setpriv"),
]


@dataclass(frozen=True)
class Image:
    """Stands for the image: where its programs and its volume are here."""

    programs: Path
    data: Path
    home: Path

    def environment(self, service: str) -> dict[str, str]:
        return {name: self._here(value) for name, value in environment_of(service).items()} | {"HOME": str(self.home)}

    def _here(self, value: str) -> str:
        value = value.replace("/opt/watchkeeper/bin", str(self.programs))
        return re.sub(r"^/data\b", str(self.data), value)

    @property
    def key(self) -> str:
        return (self.data / "api.key").read_text().strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=120)
    python = environment / "bin" / "python"
    wheel = build(tmp_path_factory.mktemp("wheel"))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True, timeout=120, stdout=subprocess.DEVNULL)
    # A folder named in a .pth is only searched: the editable install inside it is not followed.
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name in ("data", "home"):
        (folder / name).mkdir(mode=0o750)
        if os.geteuid() == 0:
            os.chown(folder / name, NOBODY, NOBODY)
    return Image(environment / "bin", folder / "data", folder / "home")


def as_another_user() -> list[str]:
    if os.geteuid() != 0:
        return []
    capability = "-all,+dac_read_search"
    return [
        "setpriv",
        *(f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"),
        "--securebits=+no_setuid_fixup",  # or access(2) would not count the capability
        *(f"--inh-caps={capability}", f"--ambient-caps={capability}", f"--bounding-set={capability}"),
    ]


@contextmanager
def running(image: Image, service: str, log: Path, *more: str, **extra: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = image.environment(service) | extra
    argv = [*command_of(service), *more]
    program = shutil.which(argv[0], path=environment["PATH"])
    assert program == str(image.programs / "watchkeeper")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*as_another_user(), program, *argv[1:]], env=environment, cwd=image.data, stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def until(ask: Callable[[], T | None], process: subprocess.Popen[bytes], log: Path) -> T:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, f"it ended:\n{log.read_text()}"
        try:
            answer = ask()
        except httpx.TransportError:
            answer = None
        if answer:
            return answer
        time.sleep(0.05)
    pytest.fail(f"nothing after two minutes:\n{log.read_text()}")


def test_the_server_makes_its_key_and_asks_for_it(image, tmp_path):
    log = tmp_path / "log"
    with running(image, "server", log, WATCHKEEPER_SERVER_PORT="0") as server:
        found = until(lambda: re.search(r"listens on http://0\.0\.0\.0:(\d+)", log.read_text()), server, log)
        url = f"http://127.0.0.1:{found[1]}"
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            until(lambda: client.get("/ready").status_code == 200, server, log)
            if os.geteuid() == 0:
                assert Path(f"/proc/{server.pid}").stat().st_uid == NOBODY

            assert client.post("/v1/predictions", json=[EVENT]).status_code == 401
            wrong = {"Authorization": "Bearer not-the-key-of-this-server"}
            assert client.post("/v1/predictions", json=[EVENT], headers=wrong).status_code == 401

            assert (image.data / "api.key").stat().st_mode & 0o777 == 0o600
            client.headers["Authorization"] = f"Bearer {image.key}"
            answer = client.post("/v1/predictions", json=[EVENT])
            assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
            until(lambda: client.get("/v1/status").json()["loaded"] == 1, server, log)
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == -signal.SIGTERM, log.read_text()  # uvicorn ends in order, then by the signal it got
    # The logs of the stores are folded in and gone: it ended in order.
    assert {path.name for path in image.data.iterdir()} == {
        "api.key",
        "inbox.db",
        "inbox.bodies",
        "facts.duckdb",
        "control.db",
    }


def test_the_dashboard_comes_up(image, tmp_path):
    (image.data / "api.key").touch()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "log"
    with running(image, "dashboard", log, "--port", str(port)) as dashboard:
        health = f"http://127.0.0.1:{port}/_stcore/health"
        until(lambda: httpx.get(health, trust_env=False).status_code == 200, dashboard, log)

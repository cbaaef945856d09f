"""Looks at an installation as someone who does not know why it does not work."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from watchkeeper.app.remote import Remote
from watchkeeper.schemas.errors import WatchkeeperError
from watchkeeper.schemas.settings import Settings
from watchkeeper.store.clock import wall

LOW_DISK_BYTES = 2 * 2**30
CLOCK_LIMIT_SECONDS = 5.0
PACKAGES = ("duckdb", "polars", "fastapi", "streamlit", "evidently")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found, and what to do about it."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    next: str = ""


def examine(settings: Settings, url: str) -> list[Check]:
    """Look at everything, from the ground up."""
    return [_python(), _packages(), _folder(settings.data_dir), *_server(settings, url)]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", version)


def _packages() -> Check:
    found: list[str] = []
    missing: list[str] = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", "warn", f"{', '.join(found)}; without {', '.join(missing)}", "pip install the extra")
    return Check("packages", "ok", ", ".join(found))


def _folder(folder: Path) -> Check:
    parent = folder
    while not parent.exists():
        parent = parent.parent
    if not os.access(parent, os.W_OK):
        return Check("data folder", "fail", f"{parent} cannot be written", "set server.data_dir or change its owner")
    free = shutil.disk_usage(parent).free
    if free < LOW_DISK_BYTES:
        return Check("data folder", "warn", f"{folder}: {free / 2**30:.1f} GiB free", "free some space")
    return Check("data folder", "ok", f"{folder}: writable, {free / 2**30:.0f} GiB free")


def _server(settings: Settings, url: str) -> Iterator[Check]:
    try:
        remote = Remote(url, settings.auth.api_key_file, settings.server.tls_ca)
        status = remote.get("/v1/status")
    except WatchkeeperError as error:
        yield _port(settings)
        yield Check("server", "fail", str(error), "watchkeeper serve")
        return
    yield Check("server", "ok", f"{url} answers, version {status['version']}")
    yield _clock(datetime.fromisoformat(status["now"]), settings.server.clock)
    if status["facts_file"]["compact"]:
        free, total = (status["facts_file"][name] / 2**30 for name in ("free_bytes", "bytes"))
        yield Check("facts file", "warn", f"{free:.1f} of {total:.1f} GiB hold nothing", "stop it: watchkeeper compact")
    yield _events(status["loaded"], status["rejected"], status["lag_seconds"])


def _port(settings: Settings) -> Check:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.server.host, settings.server.port))
        except OSError as error:
            return Check("port", "fail", f"{settings.server.port}: {error.strerror}", "choose another: --port")
    return Check("port", "ok", f"{settings.server.port} is free")


def _clock(server: datetime, kind: str) -> Check:
    skew = abs((wall() - server).total_seconds())
    if kind == "events":
        return Check("clock", "ok", f"the server's time is that of the newest event: {server:%Y-%m-%d %H:%M} UTC")
    if skew > CLOCK_LIMIT_SECONDS:
        return Check("clock", "warn", f"the server's clock is {skew:.0f} s off this one", "synchronise both (NTP)")
    return Check("clock", "ok", f"server and this machine agree within {CLOCK_LIMIT_SECONDS:.0f} s")


def _events(loaded: int, rejected: int, lag: float) -> Check:
    if loaded == 0 and rejected == 0:
        return Check("events", "warn", "none yet", "instrument a service: see Get started on the dashboard")
    if loaded == 0:
        return Check("events", "fail", f"all {rejected} were rejected", "read the reasons in the answers to the sender")
    if lag > 60:
        return Check("events", "warn", f"{loaded} loaded, but the loader is {lag:.0f} s behind", "look at its log")
    return Check("events", "ok", f"{loaded} loaded, {rejected} rejected")

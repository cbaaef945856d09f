"""``watchkeeper demo``: server, dashboard and replay in a temporary folder, until Ctrl-C (or the end of the check)."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import yaml

from watchkeeper.app.demo.assistant import AssistantReplay, assistant
from watchkeeper.app.demo.flights import FlightReplay, flights
from watchkeeper.app.demo.gpus import GpuEndpoint
from watchkeeper.app.demo.progress import Progress, progress_display
from watchkeeper.app.demo.replay import Replay
from watchkeeper.app.demo.sink import AlertSink
from watchkeeper.app.demo.verdict import Verdict, judge, note_lines
from watchkeeper.app.remote import Remote
from watchkeeper.app.status import Note
from watchkeeper.dashboard.launch import command as dashboard_command
from watchkeeper.schemas.errors import SettingsError, Unavailable
from watchkeeper.store.clock import wall

DECLARED = Path(__file__).with_name("declared")
SERVER_SECONDS = 30.0
CATCH_UP_SECONDS = 240.0
"""So long may nothing move before the demo gives up; a slow machine that gets on is waited for."""
SETTINGS = {
    "WATCHKEEPER_SERVER_CLOCK": "events",
    "WATCHKEEPER_LOADER_MAX_AGE_SECONDS": "0.3",
    "WATCHKEEPER_SCHEDULE_TICK_SECONDS": "0.25",
    "WATCHKEEPER_SCHEDULE_MIN_EVERY_SECONDS": "86400",
    "WATCHKEEPER_RETENTION_FACTS_DAYS": "0",
    "WATCHKEEPER_GPU_INTERVAL_SECONDS": "0.5",
}
"""A year in a minute: time is that of the newest event, and each analyzer looks once a (replayed) day."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What is replayed."""

    flights: FlightReplay
    assistant: AssistantReplay


@dataclass(frozen=True, slots=True)
class Place:
    """The demo's temporary folder and addresses."""

    folder: Path
    port: int
    dashboard_port: int

    @property
    def url(self) -> str:
        """The server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def dashboard_url(self) -> str:
        """The pages."""
        return f"http://127.0.0.1:{self.dashboard_port}"

    @property
    def notes(self) -> Path:
        """What every page says of this demo."""
        return self.folder / "notes.json"


def run(*, check: bool, port: int, dashboard_port: int) -> bool:
    """Run the demo; True if the planted fault was found, named first, in time and without crying wolf."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _leave)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="watchkeeper-demo-")))
        place = Place(folder, _port(port), _port(dashboard_port))
        progress = stack.enter_context(progress_display(plain=check or not sys.stderr.isatty()))
        sink, replaying = AlertSink(), _Now(wall())
        endpoint = GpuEndpoint(lambda: replaying.now)
        stack.enter_context(_running(sink))
        stack.enter_context(_running(endpoint))
        _declare(place.folder / "watchkeeper.d", sink.url)
        server = stack.enter_context(
            _process(_server_command(place), _environment(place, endpoint.url), place, "server")
        )
        if not check:
            argv, environment = dashboard_command(place.url, port=place.dashboard_port)
            stack.enter_context(_process(argv, environment, place, "dashboard"))
            print(f"the pages, which fill while it runs: {place.dashboard_url}", file=sys.stderr, flush=True)
        progress.step("train the delay model on January to March 2013")
        sources = _sources()
        replaying.now = sources.flights.first
        _note(place, sources, verdict=None)
        remote = Remote(place.url)
        _await_ready(remote, server, place)
        ready = time.monotonic() - started
        _replay(place, sources, replaying, progress)
        progress.step("let the analyzers catch up")
        await_evaluated(remote, sources.flights.last)
        verdict = judge(remote, sink, sources.flights, ready)
        _note(place, sources, verdict)
        progress.done()
        if check:
            print(json.dumps(verdict.report(), indent=1))
            return verdict.passed
        _show(place, verdict)
        _wait_for_interrupt()
        return verdict.passed


@dataclass(slots=True)
class _Now:
    now: datetime


def _sources() -> Sources:
    until = wall()
    flown = flights(until)
    return Sources(flown, assistant(flown.first, until))


def _replay(place: Place, sources: Sources, replaying: _Now, progress: Progress) -> None:
    first, last = sources.flights.first, sources.flights.last
    total = sum(sources.flights.counts.values()) + sum(sources.assistant.counts.values())
    progress.step(f"replay {total:,} events of {(last - first).days} days through the real ingest")
    replay = Replay(place.url, ("flight-delay", "support-assistant"), first)

    def on_day(day: datetime, sent: int) -> None:
        replaying.now = replay.now
        progress.advance(sent / total, f"{day:%d %b %Y}")

    try:
        replay.run([sources.flights.events(), sources.assistant.events()], on_day)
    finally:
        replay.close()


def _declare(folder: Path, sink_url: str) -> None:
    """Copy the demo's declared files, and route its alerts to the local sink."""
    shutil.copytree(DECLARED, folder)
    route = {
        "apiVersion": "watchkeeper/v1",
        "kind": "Route",
        "metadata": {"name": "on-call"},
        "spec": {"receiver": {"type": "webhook", "url": sink_url}},
    }
    (folder / "route.yaml").write_text(yaml.safe_dump(route))


def _server_command(place: Place) -> list[str]:
    options = ["--data-dir", str(place.folder / "data"), "--port", str(place.port)]
    return [sys.executable, "-m", "watchkeeper.app", "serve", *options]


def _environment(place: Place, gpu_url: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("WATCHKEEPER_")}
    return (
        own
        | SETTINGS
        | {
            "WATCHKEEPER_SERVER_DASHBOARD_URL": place.dashboard_url,
            "WATCHKEEPER_SERVER_NOTES_FILE": str(place.notes),
            "WATCHKEEPER_CONTROL_DECLARED_DIR": str(place.folder / "watchkeeper.d"),
            "WATCHKEEPER_GPU_TARGETS": gpu_url,
        }
    )


@contextlib.contextmanager
def _process(
    argv: list[str], environment: dict[str, str], place: Place, name: str
) -> Generator[subprocess.Popen[bytes]]:
    """Run a process of the demo, its log in the demo's folder, and end it with the demo."""
    with (place.folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def _running(part: AlertSink | GpuEndpoint) -> Generator[None]:
    part.start()
    try:
        yield
    finally:
        part.stop()


def _await_ready(remote: Remote, server: subprocess.Popen[bytes], place: Place) -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with contextlib.suppress(Unavailable):
            remote.get("/ready")
            return
        time.sleep(0.1)
    log = (place.folder / "server.log").read_text(errors="replace")
    raise Unavailable(f"the demo's server did not start:\n{log[-3000:]}")


def await_evaluated(remote: Remote, last: datetime, patience: float = CATCH_UP_SECONDS) -> None:
    """Wait until everything is loaded and every analyzer has looked at the last whole day, as long as that gets on."""
    midnight = last.replace(hour=0, minute=0, second=0, microsecond=0)
    before, least, deadline = "", math.inf, 0.0
    while True:
        status = remote.get("/v1/status")
        waiting, evaluated = status["waiting"], status["evaluated_to"]
        if waiting == 0 and evaluated and datetime.fromisoformat(evaluated) >= midnight:
            return
        if evaluated != before or waiting < least:  # GPU samples come for ever: that some wait is no progress
            before, least, deadline = evaluated, min(least, waiting), time.monotonic() + patience
        elif time.monotonic() > deadline:
            raise Unavailable(
                f"the analyzers stand still at {evaluated} for {patience:.0f} s: try again on a machine less busy"
            )
        time.sleep(0.2)


def _note(place: Place, sources: Sources, verdict: Verdict | None) -> None:
    """Say on every page what is real, what is made and, once it is over, what was planted."""
    real = [*sources.flights.statement, *sources.assistant.statement, "Made: GPU telemetry of four cards."]
    notes = [Note("This is a demo: what is real, and what is made", list(real))]
    if verdict is not None:
        notes.append(Note("What was planted, and what was found", note_lines(sources.flights, verdict)))
    part = place.notes.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(notes))
    part.replace(place.notes)


def _show(place: Place, verdict: Verdict) -> None:
    link = f"{place.dashboard_url}/incident?id={verdict.incident_id}" if verdict.incident_id else "none fired"
    lines = (
        "",
        f"  dashboard   {place.dashboard_url}",
        f"  evidence    {link}",
        f"  server      {place.url}/v1/status",
        f"  logs, data  {place.folder}",
        "",
        f"  {verdict.sentence}",
        "",
        "  Ctrl-C stops everything and removes the folder.",
    )
    print("\n".join(lines), flush=True)


def _wait_for_interrupt() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


def _port(wanted: int) -> int:
    """Give the wanted port if it is free (0: any); another server there must not be taken for the demo's."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise SettingsError(f"port {wanted}: {error.strerror}. Choose another, or none for a free one") from None
        return int(probe.getsockname()[1])


def _leave(_signal: int, _frame: object) -> None:
    """End as after Ctrl-C, so that the server and the dashboard end too."""
    raise SystemExit(128 + signal.SIGTERM)

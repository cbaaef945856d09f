"""How soon does a server take events, and how much memory does it hold after ten thousand, a round and a query?

Beside it: what importing Evidently alone takes, the library that is kept out of the server's process.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.processes import Running, free_port, measured, running, serve_command

QUESTION = "How soon does a server take events, and how much memory does it hold?"
STARTS = 5
EVENTS = 10_000
BATCH = 250
FIRST = datetime(2026, 3, 2, tzinfo=UTC)
SETTINGS = {
    "WATCHKEEPER_SERVER_CLOCK": "events",
    "WATCHKEEPER_SCHEDULE_MIN_EVERY_SECONDS": "86400",
    "WATCHKEEPER_REFERENCE_DAYS": "1",
}
"""Two days of events in a moment: the first is the reference, and each analyzer looks once at the end of the second."""
HEAVY = ("pandas", "evidently", "sklearn", "scipy.stats")


def measure(_options: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starts = [start(folder / str(number)) for number in range(STARTS)]
        told = folder / "modules.json"
        held = load(folder / "loaded", told)
    return {
        "ready_median_s": round(statistics.median(wall for wall, _ in starts), 2),
        "ready_best_s": round(min(wall for wall, _ in starts), 2),
        "ready_cpu_s": round(statistics.median(cpu for _, cpu in starts), 2),
        **held,
        "peer_import_evidently": measured("benchmarks.import_evidently"),
    }


def goals(figures: dict) -> dict[str, bool]:
    return {
        f"ready within 3 s (median {figures['ready_median_s']} s)": figures["ready_median_s"] <= 3,
        f"at most 300 MB ({figures['loaded_mb']} MB)": figures["loaded_mb"] <= 300,
        f"none of {', '.join(HEAVY)} imported": figures["heavy_modules"] == [],
    }


def start(folder: Path) -> tuple[float, float]:
    """Start a server in a new folder; give the seconds until it takes events, and the CPU seconds."""
    port = free_port()
    began = time.perf_counter()
    with running(serve_command(folder, port), port) as server:
        return time.perf_counter() - began, server.cpu_seconds()


def load(folder: Path, told: Path) -> dict:
    port = free_port()
    argv = serve_command(folder, port)
    argv = [sys.executable, "-m", "benchmarks.telling_server", str(told), *argv[argv.index("serve") :]]
    with running(argv, port, settings=SETTINGS) as server:
        idle = server.resident_mb()
        for first in range(0, EVENTS, BATCH):
            body = b"\n".join(json.dumps(event(number)).encode() for number in range(first, first + BATCH))
            assert server.post("/v1/predictions", body) == 200
        server.settled()
        await_analyzers(server)
        rows = server.get("/v1/queries/histogram?service=bench&model=default")["rows"]
        assert len(rows) > 100
        loaded = server.resident_mb()
        cpu = server.cpu_seconds()
        server.process.send_signal(signal.SIGUSR1)
        while not told.exists():
            time.sleep(0.01)
    modules = set(json.loads(told.read_text()))
    assert "duckdb" in modules
    return {
        "idle_mb": round(idle, 1),
        "loaded_mb": round(loaded, 1),
        "events": EVENTS,
        "cpu_s": round(cpu, 2),
        "heavy_modules": sorted(modules.intersection(HEAVY)),
    }


def await_analyzers(server: Running) -> None:
    """Wait for the round at the end of the second day: the events reach a minute into the third."""
    last = FIRST + timedelta(days=2)
    while True:
        evaluated = server.get("/v1/status")["evaluated_to"]
        if evaluated and datetime.fromisoformat(evaluated) >= last:
            return
        time.sleep(0.1)


def event(number: int) -> dict:
    return {
        "id": f"e{number}",
        "ts": FIRST.timestamp() + number * (2 * 86400 + 60) / EVENTS,
        "service": "bench",
        "prediction": number % 3 == 0,
        "score": (number % 100) / 100,
        "latency_ms": 10 + number % 50,
        "segments": {"plan": ["free", "pro"][number % 2]},
        "features": {f"x{place}": (number * (place + 7)) % 1000 / 10 for place in range(18)}
        | {f"c{place}": "abcdef"[(number + place) % 6] for place in range(7)},
    }

"""How long until the first chart of Fleet health is there, beside an empty Streamlit page with one chart?

Both are warm: one browser that has loaded the page before, one server that has shown it before. A new tab each time;
the time runs from the request to the first mark that is drawn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import BrowserContext, sync_playwright

from benchmarks.processes import Running, free_port, running, serve_command
from watchkeeper.dashboard.launch import OPTIONS

QUESTION = "How long until the first chart of Fleet health is there?"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHART = "[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg.marks"
WARM, LOADS = 2, 9
EVENTS, BATCH, DAYS = 6_000, 500, 7
FIRST_TS = 1_772_409_600
SERVICES = ("search", "pricing", "support")
SETTINGS = {
    "WATCHKEEPER_SERVER_CLOCK": "events",
    "WATCHKEEPER_SCHEDULE_MIN_EVERY_SECONDS": "86400",
    "WATCHKEEPER_REFERENCE_DAYS": "3",
}
OBJECTIVE = """
apiVersion: openslo/v1
kind: SLO
metadata: {{name: {service}-fast}}
spec:
  service: {service}
  indicator:
    metadata: {{name: latency}}
    spec:
      ratioMetric:
        counter: true
        good: {{metricSource: {{type: watchkeeper, spec: {{measure: latency, maxMs: 100}}}}}}
  timeWindow: [{{duration: 28d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{target: 0.99}}]
"""


def measure(_options: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        port, folder = free_port(), Path(name)
        settings = SETTINGS | {"WATCHKEEPER_CONTROL_DECLARED_DIR": str(declared(folder / "declared"))}
        server = stack.enter_context(running(serve_command(folder / "data", port), port, settings=settings))
        fill(server)
        pages = {
            "fleet_health": stack.enter_context(dashboard(server.url)),
            "empty_page": stack.enter_context(empty()),
        }
        browser = stack.enter_context(sync_playwright()).chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        contexts = {kind: browser.new_context(viewport={"width": 1440, "height": 900}) for kind in pages}
        taken: dict[str, list[float]] = {kind: [] for kind in pages}
        for _ in range(WARM + LOADS):
            for kind, page in pages.items():
                taken[kind].append(first_chart(contexts[kind], page.url))
        browser.close()
    medians = {kind: statistics.median(times[WARM:]) for kind, times in taken.items()}
    return {
        "events": EVENTS,
        "loads_each": LOADS,
        **{
            kind: {"median_s": round(medians[kind], 3), "each_s": [round(one, 3) for one in times[WARM:]]}
            for kind, times in taken.items()
        },
        "ratio": round(medians["fleet_health"] / medians["empty_page"], 2),
    }


def goals(figures: dict) -> dict[str, bool]:
    return {f"at most 1.5 times an empty page with one chart ({figures['ratio']})": figures["ratio"] <= 1.5}


def first_chart(context: BrowserContext, url: str) -> float:
    """Load a page in a new tab; give the seconds until its first chart is drawn."""
    page = context.new_page()
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator(CHART).first.wait_for(state="visible", timeout=60_000)
    taken = time.perf_counter() - began
    page.close()
    return taken


def dashboard(server: str):
    port = free_port()
    words = ["dashboard", "--url", server, "--port", str(port)]
    return running([sys.executable, "-m", "watchkeeper.app", *words], port, ready="/_stcore/health")


def empty():
    """Start the peer with the same options."""
    port = free_port()
    options = OPTIONS | {"server.address": "127.0.0.1", "server.port": str(port)}
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    page = str(Path(__file__).with_name("empty_page.py"))
    return running([sys.executable, "-m", "streamlit", "run", page, *flags], port, ready="/_stcore/health")


def fill(server: Running) -> None:
    """A week of three services with two models each."""
    for first in range(0, EVENTS, BATCH):
        body = b"\n".join(json.dumps(event(number)).encode() for number in range(first, first + BATCH))
        assert server.post("/v1/predictions", body) == 200
    server.settled()
    last = datetime.fromtimestamp(FIRST_TS + (DAYS - 1) * 86400, UTC)
    while (evaluated := server.get("/v1/status")["evaluated_to"]) is None or datetime.fromisoformat(evaluated) < last:
        time.sleep(0.1)


def declared(folder: Path) -> Path:
    """Declare what is fast enough: without an objective Fleet health has no latency chart to show."""
    folder.mkdir()
    for service in SERVICES:
        (folder / f"{service}.yaml").write_text(OBJECTIVE.format(service=service))
    return folder


def event(number: int) -> dict:
    return {
        "id": f"e{number}",
        "service": SERVICES[number % 3],
        "model": f"model-{number % 2}",
        "ts": FIRST_TS + number * DAYS * 86400 / EVENTS,
        "prediction": number % 4 == 0,
        "score": (number % 100) / 100,
        "latency_ms": 20 + number % 37,
        "features": {f"x{place}": (number * (place + 3)) % 100 for place in range(8)},
    }

"""How long after an error rate crosses its burn threshold is the page delivered, ours and Prometheus with Alertmanager?

A dozen services send the same events to both: our server with its defaults, and a real Prometheus with a real
Alertmanager with theirs (scrape and evaluation every minute, group_wait 30 s). Each service degrades at a random moment
of its own. The crossing is counted from the events themselves: the moment when the bad share is over what a page rule
allows, in both of its windows (six hours and thirty minutes; the run is shorter than both, so in all that was sent).
Both deliver to a webhook on loopback; what was told as a ticket before does not count.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import yaml

from benchmarks.processes import free_port, running, serve_command
from benchmarks.storm import PEER, sink

QUESTION = (
    "How long after an error rate crosses its burn threshold is the page delivered, against Prometheus in one run?"
)
SERVICES, A_SECOND, BAD = 12, 8, 0.8
HEALTHY, ONSETS, GIVEN_UP = 150.0, 90.0, 200.0
"""Seconds: all are healthy; then one after the other degrades; and for so long is waited after the last one did."""
TARGET, BURN, SLOW_BURN = 0.99, 13.44, 5.6
"""28 days: 2 % of the budget in an hour, 5 % in six."""


@dataclass
class Service:
    """One service: when it degrades, what it sent, and when that crossed the threshold."""

    name: str
    onset: float
    total: int = 0
    bad: int = 0
    crossed_at: float | None = None

    def take(self, at: float, bad: bool) -> None:
        self.total += 1
        self.bad += bad
        if self.crossed_at is None and self.bad / self.total > SLOW_BURN * (1 - TARGET):
            self.crossed_at = at


def measure(_options: argparse.Namespace) -> dict:
    moments = random.Random(20261122)
    services = [Service(f"service-{number}", HEALTHY + ONSETS * moments.random()) for number in range(SERVICES)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, heard = stack.enter_context(sink())
        port = free_port()
        settings = {"WATCHKEEPER_CONTROL_DECLARED_DIR": str(_declared(folder, f"{url}/ours"))}
        stack.enter_context(running(serve_command(folder / "data", port), port, settings=settings))
        peer = _prometheus(folder, services, f"{url}/peer", stack)
        paths = ["/ours", *(["/peer"] if peer else [])]
        _live(services, port, moments, lambda: all(len(_first(heard, path)) == SERVICES for path in paths))
    crossed = {one.name: one.crossed_at for one in services}
    found = {path: _waits(_first(heard, path), crossed) for path in paths}
    ours, theirs = found["/ours"], found.get("/peer")
    return {
        "crossings": sum(at is not None for at in crossed.values()),
        "events_a_second": SERVICES * A_SECOND,
        "ours_seconds": ours,
        "prometheus_and_alertmanager_seconds": theirs,
        "ratio_p50": round(ours["p50"] / theirs["p50"], 3) if theirs else None,
        "ratio_p95": round(ours["p95"] / theirs["p95"], 3) if theirs else None,
    }


def goals(figures: dict) -> dict[str, bool]:
    ours = figures["ours_seconds"]
    found = {
        f"each of {figures['crossings']} crossings is told": ours["told"] == figures["crossings"] >= 8,
        f"p95 at most 45 s (is {ours['p95']})": ours["p95"] <= 45,
    }
    if figures["ratio_p95"] is not None:
        for name in ("ratio_p50", "ratio_p95"):
            found[f"{name} to Prometheus and Alertmanager at most 0.6 (is {figures[name]})"] = figures[name] <= 0.6
    return found


def _first(heard: list, path: str) -> dict[str, float]:
    """Give when there was a page about each service first."""
    found: dict[str, float] = {}
    for at, heard_path, body in [*heard]:
        if heard_path == path:
            for alert in (one for one in body["alerts"] if one["labels"]["severity"] == "page"):
                found.setdefault(alert["labels"]["service"], at)
    return found


def _waits(first: dict[str, float], crossed: dict[str, float | None]) -> dict:
    known = {name: at for name, at in crossed.items() if at is not None}
    waits = [first[name] - at for name, at in known.items() if name in first] or [float("inf")]
    p50, p95 = (round(float(np.quantile(waits, share)), 1) for share in (0.5, 0.95))
    told = sum(name in first for name in known)
    return {"told": told, "min": round(min(waits), 1), "p50": p50, "p95": p95, "max": round(max(waits), 1)}


def _live(services: list[Service], port: int, moments: random.Random, done: Callable[[], bool]) -> None:
    """Send every second what happened in it, until all was told or nothing more is awaited."""
    began, step = time.time(), 0
    while True:
        step += 1
        time.sleep(max(0.0, began + step - time.time()))
        events = []
        for number in range(A_SECOND):
            at = began + step - 1 + (number + 0.5) / A_SECOND
            for one in services:
                bad = at - began > one.onset and moments.random() < BAD
                one.take(at, bad)
                status = "error" if bad else "ok"
                ts = datetime.fromtimestamp(at, UTC).isoformat()
                events.append(
                    {"id": f"{one.name}-{one.total}", "service": one.name, "model": "m", "ts": ts, "status": status}
                )
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        body = "\n".join(map(json.dumps, events))
        connection.request("POST", "/v1/predictions", body, {"Content-Type": "application/x-ndjson"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        connection.close()
        if done() or time.time() - began > HEALTHY + ONSETS + GIVEN_UP:
            return


def _declared(folder: Path, url: str) -> Path:
    names = [f"service-{number}" for number in range(SERVICES)]
    owned = {"services": names, "owner": "bench", "runbook": "http://127.0.0.1/runbook"}
    documents = [
        {"kind": "System", "metadata": {"name": "bench"}, "spec": owned},
        {"kind": "Receiver", "metadata": {"name": "hook"}, "spec": {"type": "webhook", "url": url}},
        {"kind": "Route", "metadata": {"name": "all"}, "spec": {"receiver": "hook"}},
    ]
    for name in names:
        spec = {
            "service": name,
            "sli": {"measure": "errors"},
            "timeWindow": [{"duration": "28d", "isRolling": True}],
            "objectives": [{"target": TARGET}],
        }
        documents.append({"kind": "Objective", "metadata": {"name": f"{name}-ok"}, "spec": spec})
    declared = folder / "watchkeeper.d"
    declared.mkdir()
    (declared / "all.yaml").write_text(
        yaml.safe_dump_all([{"apiVersion": "watchkeeper/v1"} | document for document in documents])
    )
    return declared


def _prometheus(folder: Path, services: list[Service], url: str, stack: ExitStack) -> bool:
    """Start the peers with their defaults, over what the services count; False where they are not installed."""
    prometheus, alertmanager = shutil.which("prometheus"), shutil.which(PEER)
    if prometheus is None or alertmanager is None:
        return False
    target, prometheus_port, alertmanager_port = _exposed(services, stack), free_port(), free_port()
    (folder / "am.yml").write_text(
        "route: {receiver: hook, group_by: [alertname, service]}\n"
        f"receivers: [{{name: hook, webhook_configs: [{{url: '{url}'}}]}}]\n"
    )
    (folder / "rules.yml").write_text(_rules())
    (folder / "p.yml").write_text(
        f"rule_files: [{folder / 'rules.yml'}]\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager_port}']}}]}}]}}\n"
        f"scrape_configs: [{{job_name: bench, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
    )
    argv = [
        alertmanager, f"--config.file={folder / 'am.yml'}", f"--storage.path={folder / 'am'}",
        f"--web.listen-address=127.0.0.1:{alertmanager_port}", "--cluster.listen-address=", "--log.level=error",
    ]  # fmt: skip
    stack.enter_context(running(argv, alertmanager_port, ready="/-/ready"))
    argv = [
        prometheus, f"--config.file={folder / 'p.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{prometheus_port}", "--log.level=error",
    ]  # fmt: skip
    stack.enter_context(running(argv, prometheus_port, ready="/-/ready"))
    return True


def _rules() -> str:
    def ratio(window: str) -> str:
        return f"sum by (service) (rate(bad_total[{window}])) / sum by (service) (rate(requests_total[{window}]))"

    def pair(long: str, short: str, burn: float) -> str:
        limit = burn * (1 - TARGET)
        return f"(({ratio(long)}) > {limit:.6f} and ({ratio(short)}) > {limit:.6f})"

    rule = {"alert": "Burn", "expr": f"{pair('1h', '5m', BURN)} or {pair('6h', '30m', SLOW_BURN)}"}
    return yaml.safe_dump({"groups": [{"name": "burn", "rules": [rule | {"labels": {"severity": "page"}}]}]})


def _exposed(services: list[Service], stack: ExitStack) -> int:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lines = [f'requests_total{{service="{one.name}"}} {one.total}' for one in services]
            lines += [f'bad_total{{service="{one.name}"}} {one.bad}' for one in services]
            body = ("\n".join(lines) + "\n").encode()
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return server.server_port

"""How fast are OTLP spans durable and queryable, at what cost, and against what services run today?

The load script measures every collector in the same way: it builds the requests first, sends them from 4 threads, and
counts what can be queried until that no longer grows. Peers are installed by pip into folders that are gone afterwards
(or taken from ``WATCHKEEPER_BENCH_PEERS``, a folder of virtual environments named after them); where that is not
possible, the result says so. They get fewer spans: they would take minutes for 20,000.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT, environment, free_port

QUESTION = "How fast are OTLP spans durable and queryable, at what CPU cost, beside Phoenix and MLflow?"
SPANS, BATCH, SENDERS = 20_000, 200, 4
KEPT = (
    "n",
    "encoding",
    "gzip",
    "wire_bytes_per_span",
    "startup_s",
    "rss_idle_mib",
    "rss_peak_mib",
    "acked",
    "lost",
    "ack_per_s",
    "req_ms_p50",
    "req_ms_p99",
    "durable_per_s",
    "lag_s",
    "server_cpu_ms_per_span",
)


@dataclass(frozen=True)
class Target:
    """A server, how to start it, where it takes spans, and how to count those that can be queried."""

    command: str
    url: str
    ready: str
    count: str
    spans: int = SPANS
    more: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


def measure(_options: argparse.Namespace) -> dict:
    script = Path(os.environ.get("WATCHKEEPER_SHARED") or ROOT.parent / "shared") / "bench" / "otlp_load.py"
    if not script.exists():
        return {"skipped": "the load script is not here: set WATCHKEEPER_SHARED to the folder with bench/otlp_load.py"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures: dict = {}
        for kind, more in (("protobuf", ()), ("protobuf_gzip", ("--gzip",)), ("json", ("--encoding", "json"))):
            figures[kind] = load(script, ours(folder / kind, more), folder)
        for peer, target in (("phoenix", phoenix), ("mlflow", mlflow)):
            try:
                figures[peer] = load(script, target(program(peer, folder), folder / f"{peer}-data"), folder)
            except (OSError, subprocess.SubprocessError, RuntimeError) as error:
                figures[peer] = {"skipped": f"{type(error).__name__}: {str(error)[-300:]}"}
    return figures


def goals(figures: dict) -> dict[str, bool]:
    if "skipped" in figures:
        return {f"measured ({figures['skipped']})": True}
    own = figures["protobuf"]
    rate, lag, cpu = own["durable_per_s"], own["lag_s"], own["server_cpu_ms_per_span"]
    kept = {
        f"at least 5000 spans/s durable and queryable ({rate})": rate >= 5000,
        f"the last one at most 2 s after its answer ({lag} s)": lag <= 2,
        f"at most 0.2 ms of CPU a span ({cpu} ms)": cpu <= 0.2,
        "none lost": all(figures[kind]["lost"] == 0 for kind in ("protobuf", "protobuf_gzip", "json")),
    }
    for peer, times in (("phoenix", 50), ("mlflow", 10)):
        found = figures[peer].get("durable_per_s")
        if found:
            kept[f"at least {times} times {peer} ({rate} against {found})"] = rate >= times * found
    return kept


def load(script: Path, target: Target, folder: Path) -> dict:
    """Run the load script against a server that it starts and stops."""
    argv = [sys.executable, str(script), "--url", target.url, "--n", str(target.spans), "--batch", str(BATCH)]
    argv += ["--workers", str(SENDERS), "--server", target.command, "--ready", target.ready, "--count", target.count]
    argv += ["--server-log", str(folder / "server.log"), *target.more]
    done = subprocess.run(
        argv,
        env=environment(dict(target.variables)),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: found.get(name) for name in KEPT}


def ours(folder: Path, more: tuple[str, ...]) -> Target:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = f"{sys.executable} -m watchkeeper.app serve --data-dir {folder} --port {port}"
    counted = ("--count-key", "loaded", *more)
    return Target(command, f"{url}/v1/traces", f"{url}/ready", f"http:{url}/v1/status", more=counted)


def phoenix(binary: Path, folder: Path) -> Target:
    folder.mkdir()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PYTHONPATH": "",
    }
    count = f"sqlite:{folder}/phoenix.db:select count(*) from spans where name like 'load-RUN-%'"
    more = ("--count-every", "2")
    found = (f"{binary} serve", f"{url}/v1/traces", f"{url}/healthz", count, 3000, more)
    return Target(*found, tuple(variables.items()))


def mlflow(binary: Path, folder: Path) -> Target:
    folder.mkdir()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    store = folder / "mlflow.db"
    command = f"{binary} server --backend-store-uri sqlite:///{store} --host 127.0.0.1 --port {port} --workers 1"
    count = f"sqlite:{store}:select count(*) from spans"
    more = ("--header", "x-mlflow-experiment-id=0", "--count-every", "5", "--idle", "20")
    variables = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": ""}
    found = (command, f"{url}/v1/traces", f"{url}/health", count, 2000, more)
    return Target(*found, tuple(variables.items()))


def program(peer: str, folder: Path) -> Path:
    """Give the peer's program, installed where it is missing."""
    given = os.environ.get("WATCHKEEPER_BENCH_PEERS")
    place = Path(given) / peer if given else folder / peer
    binary = place / "bin" / peer
    if not binary.exists():
        venv.create(place, with_pip=True)
        package = {"phoenix": "arize-phoenix"}.get(peer, peer)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", package]
        subprocess.run(pip, check=True, timeout=900, capture_output=True)
    return binary

"""How long does one client wait for the answer to one event?

Ours answers when the event is on disk in the inbox. The peers are the same route, decoder and server; what differs is
what is behind it: the answer comes after DuckDB's commit, of a bare insert of the row, or of the whole load (facts,
features, rollups) that ours does later.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.processes import Running, free_port, running, serve_command

QUESTION = "How long does one client wait for the answer to one event?"
WARM, ROUNDS, BLOCK = 40, 30, 20
PEERS = ("duckdb_insert", "duckdb_load")


def measure(_options: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        servers = {"inbox": stack.enter_context(running(serve_command(folder / "ours", port := free_port()), port))}
        for peer in PEERS:
            port = free_port()
            argv = [sys.executable, "-m", "benchmarks.ack_peer", peer, str(folder / f"{peer}.duckdb"), str(port)]
            servers[peer] = stack.enter_context(running(argv, port))
        times: dict[str, list[float]] = {kind: [] for kind in servers}
        for kind, server in servers.items():
            send(server, kind, 0, WARM)
        began = {kind: server.cpu_seconds() for kind, server in servers.items()}
        for number in range(ROUNDS):
            for kind, server in servers.items():
                times[kind] += send(server, kind, WARM + number * BLOCK, BLOCK)
        servers["inbox"].settled()
        cpu = {kind: server.cpu_seconds() - began[kind] for kind, server in servers.items()}
        for kind, server in servers.items():
            loaded = server.get("/v1/status")["loaded"]
            assert loaded == WARM + ROUNDS * BLOCK, (kind, loaded)
    sent = ROUNDS * BLOCK
    return {
        "requests_each": sent,
        "order": f"blocks of {BLOCK} in turn",
        **{
            kind: {
                "p50_ms": round(statistics.median(taken) * 1e3, 3),
                "p95_ms": round(statistics.quantiles(taken, n=20)[-1] * 1e3, 3),
                "server_cpu_ms_per_event": round(cpu[kind] / sent * 1e3, 3),
            }
            for kind, taken in times.items()
        },
        **{
            f"p50_share_of_{peer}": round(statistics.median(times["inbox"]) / statistics.median(times[peer]), 3)
            for peer in PEERS
        },
    }


def goals(figures: dict) -> dict[str, bool]:
    return {
        f"ack p50 at most 1/5 of that after DuckDB's commit ({peer}: {figures[f'p50_share_of_{peer}']})": figures[
            f"p50_share_of_{peer}"
        ]
        <= 0.2
        for peer in PEERS
    }


def send(server: Running, kind: str, first: int, count: int) -> list[float]:
    """Send events one by one; give the seconds that each answer took."""
    taken: list[float] = []
    for number in range(first, first + count):
        body = json.dumps(event(f"{kind}-{number}", number)).encode()
        began = time.perf_counter()
        status = server.post("/v1/predictions", body)
        taken.append(time.perf_counter() - began)
        assert status == 200, status
    return taken


def event(event_id: str, number: int) -> dict:
    return {
        "id": event_id,
        "service": "bench",
        "model": "m",
        "model_version": "1",
        "ts": time.time(),
        "segments": {"plan": "pro"},
        "prediction": number % 2 == 0,
        "score": 0.5,
        "latency_ms": 12.0,
        "tokens": {"input": 100, "output": 20},
        "features": {f"x{place}": number * place / 7 for place in range(16)}
        | {f"c{place}": "abcd"[(number + place) % 4] for place in range(4)},
    }

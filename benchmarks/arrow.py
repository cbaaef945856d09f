"""How much cheaper are predictions as an Arrow stream than as NDJSON, over HTTP until they can be queried?"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl

from benchmarks.ack import event
from benchmarks.processes import Running, free_port, running, serve_command

QUESTION = "How much cheaper are predictions as an Arrow stream than as NDJSON, over HTTP until they can be queried?"
ROWS, BATCH, CLIENTS, ROUNDS = 50_000, 1_000, 4, 3
TYPES = {"ndjson": "application/x-ndjson", "arrow": "application/vnd.apache.arrow.stream"}


def measure(_options: argparse.Namespace) -> dict:
    figures: dict = {form: {"rows_per_s": [], "cpu_us_per_row": [], "bytes_per_row": 0.0} for form in TYPES}
    with tempfile.TemporaryDirectory() as name:
        for number in range(ROUNDS):
            for form, found in figures.items():
                port = free_port()
                with running(serve_command(Path(name) / f"{form}{number}", port), port) as server:
                    send(server, form, bodies(form, "warm", 2 * BATCH), 2 * BATCH)
                    sent = bodies(form, "r", ROWS)
                    began, cpu = time.perf_counter(), server.cpu_seconds()
                    send(server, form, sent, 2 * BATCH + ROWS)
                    found["rows_per_s"].append(round(ROWS / (time.perf_counter() - began)))
                    found["cpu_us_per_row"].append(round((server.cpu_seconds() - cpu) / ROWS * 1e6, 2))
                    found["bytes_per_row"] = round(sum(map(len, sent)) / ROWS)
    best = {form: max(found["rows_per_s"]) for form, found in figures.items()}
    cheap = {form: min(found["cpu_us_per_row"]) for form, found in figures.items()}
    figures["times_rows_per_s"] = round(best["arrow"] / best["ndjson"], 2)
    figures["times_cheaper_in_cpu"] = round(cheap["ndjson"] / cheap["arrow"], 2)
    return figures | {"rows": ROWS, "batch": BATCH, "clients": CLIENTS, "features": 20}


def goals(figures: dict) -> dict[str, bool]:
    times = figures["times_rows_per_s"]
    return {f"at least 2 times the rows a second of NDJSON ({times})": times >= 2}


def bodies(form: str, prefix: str, rows: int) -> list[bytes]:
    return [body(form, prefix, first) for first in range(0, rows, BATCH)]


def body(form: str, prefix: str, first: int) -> bytes:
    events = [event(f"{prefix}-{number}", number) for number in range(first, first + BATCH)]
    if form == "ndjson":
        return b"\n".join(json.dumps(one).encode() for one in events)
    nested = ("features", "segments", "tokens")
    flat = [
        {name: value for name, value in one.items() if name not in nested}
        | {f"{part}.{name}": value for part in nested for name, value in one[part].items()}
        for one in events
    ]
    out = io.BytesIO()
    pl.DataFrame(flat).write_ipc_stream(out, compat_level=pl.CompatLevel.oldest())
    return out.getvalue()


def send(server: Running, form: str, parts: list[bytes], until: int) -> None:
    """Send from several threads; come back when everything can be queried."""
    place = urlsplit(server.url)

    def post(mine: list[bytes]) -> None:
        connection = HTTPConnection(place.hostname or "", place.port, timeout=60)
        for part in mine:
            connection.request("POST", "/v1/predictions", part, {"Content-Type": TYPES[form]})
            response = connection.getresponse()
            said = response.read()
            assert response.status == 200, said
        connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(post, [parts[number::CLIENTS] for number in range(CLIENTS)]))
    server.connection.close()  # it may have been idle for longer than the server keeps one
    while server.get("/v1/status")["loaded"] < until:
        time.sleep(0.02)

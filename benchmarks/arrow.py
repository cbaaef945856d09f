"""How much cheaper are predictions as an Arrow stream than as NDJSON, over HTTP until they can be queried?

In batches of a thousand, as a service sends them, and of ten thousand, as they are sent in bulk. The clients run on the
same machine, and take more of it for NDJSON. So many rows are sent that the moment by which a load is late is little.
"""

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
from benchmarks.ingest_events import TOKEN
from benchmarks.processes import Running, free_port, running, serve_command

QUESTION = "How much cheaper are predictions as an Arrow stream than as NDJSON, over HTTP until they can be queried?"
ROWS, BATCHES, CLIENTS, ROUNDS = 1_000_000, (1_000, 10_000), 4, 2
TYPES = {"ndjson": "application/x-ndjson", "arrow": "application/vnd.apache.arrow.stream"}


def measure(_options: argparse.Namespace) -> dict:
    figures: dict = {str(batch): compared(batch) for batch in BATCHES}
    return figures | {"rows": ROWS, "clients": CLIENTS, "features": 20}


def compared(batch: int) -> dict:
    figures: dict = {form: {"rows_per_s": [], "cpu_us_per_row": [], "bytes_per_row": 0.0} for form in TYPES}
    sent = {form: bodies(form, "r", ROWS, batch) for form in TYPES}
    with tempfile.TemporaryDirectory() as name:
        for number in range(ROUNDS):
            for form, found in figures.items():
                port = free_port()
                with running(serve_command(Path(name) / f"{form}{number}", port), port) as server:
                    send(server, form, bodies(form, "w", 2 * batch, batch), 2 * batch)
                    began, cpu = time.perf_counter(), server.cpu_seconds()
                    send(server, form, sent[form], 2 * batch + ROWS)
                    found["rows_per_s"].append(round(ROWS / (time.perf_counter() - began)))
                    found["cpu_us_per_row"].append(round((server.cpu_seconds() - cpu) / ROWS * 1e6, 2))
                    found["bytes_per_row"] = round(sum(map(len, sent[form])) / ROWS)
    best = {form: max(found["rows_per_s"]) for form, found in figures.items()}
    cheap = {form: min(found["cpu_us_per_row"]) for form, found in figures.items()}
    figures["times_rows_per_s"] = round(best["arrow"] / best["ndjson"], 2)
    figures["times_cheaper_in_cpu"] = round(cheap["ndjson"] / cheap["arrow"], 2)
    return figures


def goals(figures: dict) -> dict[str, bool]:
    times = {batch: figures[str(batch)]["times_rows_per_s"] for batch in BATCHES}
    return {
        f"at least 2 times the rows a second of NDJSON, in batches of {batch:,} ({found})": found >= 2
        for batch, found in times.items()
    }


def bodies(form: str, prefix: str, rows: int, batch: int) -> list[bytes]:
    """Give bodies of one length, made from one: every event is new by its id."""
    template = body(form, batch)
    return [template.replace(TOKEN, f"{prefix}{number:07}".encode()) for number in range(rows // batch)]


def body(form: str, batch: int) -> bytes:
    events = [event(f"{TOKEN.decode()}-{number}", number) for number in range(batch)]
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

"""How many events a second does a server take from eight clients, what does a row cost, and does anything else suffer?

The peer is FastAPI with a pydantic body and DuckDB's executemany. ``facts_only`` is our server without rollups,
profiles and matching. A second is counted until the last row can be queried. The clients run on the same machine. Each
kind of ours is measured on fresh servers in turn: what it costs is the least; the others show what neighbours add.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.ingest_events import ROWS, Bodies
from benchmarks.processes import Running, free_port, running, serve_command

QUESTION = "How many events a second does a server take, and what does a row cost?"
CLIENTS = 8
WARM, REQUESTS, PEER_REQUESTS = 16, 480, 8
FRESH = 4
ACKS, ROUNDS = 300, 4
RATE = 20_000
QUERIES = 60
DAY = 86_400
FIRST_DAY = 1_772_409_600.0


def measure(_options: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = free_port()
        peer_argv = [sys.executable, "-m", "benchmarks.ingest_peer", str(folder / "peer.duckdb"), str(port)]
        with running(peer_argv, port) as server:
            peer = throughput(server, PEER_REQUESTS, lambda: None, warm=2)
        taken: dict[str, list[dict]] = {"facts_only": [], "whole": []}
        for number in range(FRESH):
            for kind, found in taken.items():
                with ours(folder / f"{kind}{number}", kind) as server:
                    found.append(throughput(server, REQUESTS, partial(settled, server)))
        facts_only, whole = map(least, taken.values())
        with ours(folder / "whole", "whole") as server:
            throughput(server, REQUESTS // 4, lambda: settled(server))
            acks = {"idle": ack_times(server, "a", enough(ACKS))}
            acks["checkpoint"] = during_checkpoints(server)
            query = queries(server)
        with ours(
            folder / "round", "whole", {"WATCHKEEPER_SERVER_CLOCK": "events", "WATCHKEEPER_REFERENCE_DAYS": "1"}
        ) as s:
            idle, acks["analyzers"] = during_a_round(s)
    return {
        "rows_a_request": ROWS,
        "clients": CLIENTS,
        "peer": peer,
        "facts_only": facts_only,
        "whole": whole,
        "times_the_peer": round(whole["rows_per_s"] / peer["rows_per_s"], 1),
        "acks_of_one_event": {kind: told(times) for kind, times in acks.items()} | {"idle_before_round": told(idle)},
        "wide_query": query,
    }


def goals(figures: dict) -> dict[str, bool]:
    acks = {kind: times["p99_ms"] for kind, times in figures["acks_of_one_event"].items()}
    facts, whole = figures["facts_only"]["cpu_us_a_row"], figures["whole"]["cpu_us_a_row"]
    query = figures["wide_query"]
    idle, folded = acks["idle"], acks["checkpoint"]
    before, during = acks["idle_before_round"], acks["analyzers"]
    asked, meanwhile = query["idle_p50_ms"], query["loaded_p50_ms"]
    return {
        f"at most 9 us CPU a row up to committed facts ({facts})": facts <= 9,
        f"at most 15 us with rollups, profiles and matching ({whole})": whole <= 15,
        f"at least 40 times the peer's rows a second ({figures['times_the_peer']})": figures["times_the_peer"] >= 40,
        f"ack p99 during a checkpoint at most 3 x idle ({folded} to {idle} ms)": folded <= 3 * idle,
        f"ack p99 during an analyzer round at most 2 x idle ({during} to {before} ms)": during <= 2 * before,
        f"wide query p50 at {RATE} rows/s at most 2 x idle ({meanwhile} to {asked} ms)": meanwhile <= 2 * asked,
    }


def ours(folder: Path, kind: str, settings: dict[str, str] | None = None):
    port = free_port()
    argv = serve_command(folder, port)
    argv = [sys.executable, "-m", "benchmarks.ingest_server", kind, *argv[argv.index("serve") :]]
    return running(argv, port, settings=settings)


def throughput(server: Running, requests: int, settled: Callable[[], object], warm: int = WARM) -> dict:
    send(server, "w", warm)
    settled()
    cpu, began = server.cpu_seconds(), time.perf_counter()
    taken = send(server, "t", requests)
    settled()
    wall, cpu = time.perf_counter() - began, server.cpu_seconds() - cpu
    rows = requests * ROWS
    return {"requests": requests, "rows_per_s": round(rows / wall), "cpu_us_a_row": round(cpu / rows * 1e6, 2)} | told(
        taken
    )


def least(found: list[dict]) -> dict:
    """Give the run that cost least, and what each cost."""
    costs = {"cpu_us_a_row_each": [one["cpu_us_a_row"] for one in found]}
    return min(found, key=lambda one: one["cpu_us_a_row"]) | costs


def settled(server: Running) -> None:
    """Wait until everything is loaded; a connection that was idle too long was closed by then."""
    server.connection.close()  # it opens again by itself
    server.settled()


def send(server: Running, name: str, requests: int) -> list[float]:
    """Send from eight clients at once; give the seconds of each answer."""
    each = requests // CLIENTS or 1

    def client(number: int) -> list[float]:
        bodies, poster = Bodies(f"{name}{number}"), Poster(server)
        return [poster.post(bodies.next()) for _ in range(min(each, requests))]

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [seconds for part in pool.map(client, range(min(CLIENTS, requests))) for seconds in part]


class Poster:
    """One client's connection."""

    def __init__(self, server: Running) -> None:
        self._connection = HTTPConnection("127.0.0.1", int(server.url.rsplit(":", 1)[1]), timeout=600)

    def post(self, body: bytes) -> float:
        began = time.perf_counter()
        self._connection.request("POST", "/v1/predictions", body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        answer = response.read()
        assert response.status == 200, answer
        return time.perf_counter() - began


def told(taken: list[float]) -> dict[str, float]:
    return {
        "ack_n": len(taken),
        "p50_ms": round(statistics.median(taken) * 1e3, 2),
        "p99_ms": round(statistics.quantiles(taken, n=100)[-1] * 1e3, 2),
    }


def enough(count: int) -> Callable[[int], bool]:
    return lambda sent: sent < count


def ack_times(server: Running, name: str, go_on: Callable[[int], bool]) -> list[float]:
    """Send single events, one each 5 ms."""
    bodies, poster, taken = Bodies(name, rows=1), Poster(server), []
    while go_on(len(taken)):
        taken.append(poster.post(bodies.next()))
        time.sleep(0.005)
    return taken


def during_checkpoints(server: Running) -> list[float]:
    """Each time with a hundred thousand rows in the log that were never folded into the file."""
    taken: list[float] = []
    for number in range(ROUNDS):
        send(server, f"k{number}", 96)
        settled(server)
        server.process.send_signal(signal.SIGUSR1)
        taken += ack_times(server, f"b{number}", enough(ACKS // ROUNDS))
    return taken


def during_a_round(server: Running) -> tuple[list[float], list[float]]:
    """Two days of events: the first is the reference; an event of the third day lets every analyzer look."""
    for day in range(2):
        poster = Poster(server)
        for hour in range(24):
            poster.post(Bodies(f"d{day}{hour:02}", at=FIRST_DAY + day * DAY + hour * 3600).next())
    settled(server)
    time.sleep(20)  # the rounds of the first two days are over
    idle = ack_times(server, "i", enough(ACKS))
    until = FIRST_DAY + 2 * DAY + 7200
    Poster(server).post(Bodies("e", rows=1, at=until).next())
    deadline = time.monotonic() + 60

    def before_the_round_ends(sent: int) -> bool:
        if sent % 20:
            return True
        server.connection.close()
        evaluated = server.get("/v1/status")["evaluated_to"] or ""
        return evaluated < moment(FIRST_DAY + 2 * DAY)[:13] and time.monotonic() < deadline

    return idle, ack_times(server, "r", before_the_round_ends)


def moment(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def queries(server: Running) -> dict:
    """Ask how twenty features look, idle and while events arrive at a rate."""
    span = "&".join(f"{name}={moment(time.time() + away)}" for name, away in (("start", -7200), ("end", 7200)))
    path = f"/v1/queries/features?service=bench&model=scorer&{span}"

    def asked() -> float:
        taken: list[float] = []
        for _ in range(QUERIES):
            began = time.perf_counter()
            assert server.get(path)["rows"]
            taken.append(time.perf_counter() - began)
            time.sleep(0.05)
        return round(statistics.median(taken) * 1e3, 2)

    settled(server)
    idle = asked()
    stop = threading.Event()
    sent: list[float] = []

    def arrive() -> None:
        bodies, poster, due = Bodies("q"), Poster(server), time.monotonic()
        while not stop.is_set():
            poster.post(bodies.next())
            sent.append(time.monotonic())
            due += ROWS / RATE
            time.sleep(max(0.0, due - time.monotonic()))

    thread = threading.Thread(target=arrive)
    thread.start()
    time.sleep(2)
    loaded = asked()
    stop.set()
    thread.join()
    rate = ROWS * (len(sent) - 1) / (sent[-1] - sent[0])
    return {"idle_p50_ms": idle, "loaded_p50_ms": loaded, "arrived_rows_per_s": round(rate), "n": QUERIES}

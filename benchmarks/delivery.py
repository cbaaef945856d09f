"""Is a transition lost, or told twice, when evaluators and senders are killed and the receiver is away for an hour?

Two evaluators and two senders share one control database (PostgreSQL where Debian's is installed, and SQLite). Every
fraction of a second one of the four is killed with SIGKILL and started again. The receiver answers 503 for an hour, by
a moved clock, and now and then takes a message and ends the connection without an answer. In the end each change in the
timelines must have reached both addresses: under its own key, or with a message that says that it stands for it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sqlalchemy import select

from benchmarks.delivery_workers import START, Shared, evaluator, sender
from watchkeeper.store.control import declared, outbox
from watchkeeper.store.control.connection import Control, Transaction, open_control
from watchkeeper.store.control.records import Sending
from watchkeeper.store.control.tables import delivery, event
from watchkeeper.store.control.tables import outbox as rows

QUESTION = "Is a transition lost or told twice over kill -9 of evaluators and senders, the receiver away for an hour?"
KILLS = 200
ADDRESSES = 2
DROP_SHARE = 0.01
AWAY_SECONDS = 3600.0
CLOCK_RATE = 60.0
"""Seconds of the moved clock in one of the wall's: a lease of five minutes still lasts five seconds."""
SETTLE_SECONDS = 180
TOLD = ("fired", "updated", "resolved")


@dataclass
class Receiver:
    """Remembers every key in the order of arrival; ``dropped`` counts those that got no answer."""

    url: str = ""
    keys: list[str] = field(default_factory=list)
    down: bool = False
    refused: int = 0
    dropped: int = 0


@contextmanager
def receiver(moments: random.Random) -> Iterator[Receiver]:
    state, lock = Receiver(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                down, drop = state.down, moments.random() < DROP_SHARE
                if down:
                    state.refused += 1
                else:
                    assert json.loads(body)["version"] == "4"
                    state.keys.append(f"{self.path} {self.headers['idempotency-key']}")
                    state.dropped += drop
            if drop and not down:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(503 if down else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def finish(self) -> None:
            with suppress(OSError, ValueError):
                super().finish()

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A sender that was killed leaves its connection behind."""

    server = Quiet(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def measure(options: argparse.Namespace) -> dict:
    kills = getattr(options, "kills", None) or KILLS
    figures = {}
    for engine in ("sqlite", "postgresql"):
        with ExitStack() as stack:
            url = _database(engine, stack)
            if url is not None:
                figures[engine] = run(url, kills)
    return figures


def _database(engine: str, stack: ExitStack) -> str | None:
    if engine == "sqlite":
        return f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/control.db"
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from alerts.postgres import private_cluster  # noqa: PLC0415 - the tests' way to start Debian's server

    try:
        return stack.enter_context(private_cluster()).format(name="postgres")
    except BaseException as skipped:
        if type(skipped).__name__ != "Skipped":
            raise
        return None


def run(url: str, kills: int, away: float = AWAY_SECONDS) -> dict:
    """Kill so often or longer, until the receiver was ``away`` for so many seconds; let all settle, then count."""
    moments = random.Random(20261121)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["benchmarks.delivery_workers"])
    shared = Shared(url, processes.Value("d", 0.0), processes.Value("b", 0))
    with receiver(moments) as told:
        control = open_control(url)
        _declare(control, told.url)
        work: list[tuple[Any, tuple[Any, ...]]] = [
            (evaluator, (shared,)),
            (evaluator, (shared,)),
            (sender, (shared, "one")),
            (sender, (shared, "two")),
        ]

        def start(place: int) -> Any:
            target, given = work[place]
            process = processes.Process(target=target, args=given, daemon=True)
            process.start()
            return process

        running = [start(place) for place in range(len(work))]
        began = time.monotonic()
        while not told.keys:
            assert time.monotonic() - began < 60, "nothing was told before the first kill"
            time.sleep(0.05)
        moved, number, before = 0.0, 0, time.monotonic()
        while number < kills or moved < away:
            _wait_for_news(told, moments)
            place = moments.randrange(len(work))
            running[place].kill()
            running[place].join()
            running[place] = start(place)
            number += 1
            now = time.monotonic()
            told.down = number > kills * 0.3 and moved < away
            if told.down:
                step = min(CLOCK_RATE * (now - before), away - moved)
                shared.ahead.value += step
                moved += step
            before = now
        told.down = False
        shared.stop.value = 1
        for process in running[:2]:
            process.join(30)
        seconds = time.monotonic() - began
        shared.stop.value = 0
        senders = [start(2), start(3)]
        settled = _settle(control, shared)
        shared.stop.value = 1
        for process in [*running[2:], *senders]:
            process.join(10)
            process.kill()
        figures = count(control, told)
        control.close()
    told_of = {"kills": number, "seconds": round(seconds, 1), "receiver_away_seconds": round(moved)}
    return {**told_of, "settled": settled, **figures}


def _wait_for_news(told: Receiver, moments: random.Random) -> None:
    """Kill while something happens: a little after the next message came, at the latest after a moment without any."""
    known, deadline = len(told.keys) + told.refused, time.monotonic() + 1.5
    while len(told.keys) + told.refused == known and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(moments.uniform(0.0, 0.3))


def _declare(control: Control, url: str) -> None:
    pair: dict[str, Any] = {"type": "webhook", "urls": [f"{url}/{number}" for number in range(ADDRESSES)]}
    documents = {
        ("Receiver", "pair"): pair,
        ("Route", "all"): {"receiver": "pair", "group_by": ["service", "model"]},
    }
    with control.transaction() as tx:
        for (kind, name), spec in documents.items():
            whole: dict[str, Any] = {
                "apiVersion": "watchkeeper/v1",
                "kind": kind,
                "metadata": {"name": name},
                "spec": spec,
            }
            declared.put(tx, (kind, name), whole, START, "soak")


def _settle(control: Control, shared: Shared) -> bool:
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        with control.snapshot() as tx:
            if outbox.backlog(tx).waiting == 0:
                return True
        shared.ahead.value += CLOCK_RATE / 2  # leases of the killed end, waits are over
        time.sleep(0.5)
    return False


def count(control: Control, told: Receiver) -> dict:
    with control.snapshot() as tx:
        changes = sum(1 for (kind,) in tx.rows(select(event.c.kind)) if kind in TOLD)
        messages = list(tx.rows(select(rows.c.id, rows.c.key, rows.c.receiver, rows.c.state, rows.c.carried_by)))
        attempts = len(_all(tx))
    key_of = {row[0]: row[1] for row in messages}
    arrived = Counter(key.partition(" ")[2] for key in told.keys)
    by_itself = {row[1] for row in messages if arrived[row[1]]}
    carried = {row[1] for row in messages if row[4] is not None and arrived[key_of[row[4]]]}
    return {
        "transitions": changes * ADDRESSES,
        "messages": len(messages),
        "attempts": attempts,
        "refused_while_away": told.refused,
        "taken_without_an_answer": told.dropped,
        "transitions_without_a_message": changes * ADDRESSES - len(messages),
        "lost": sum(1 for row in messages if row[1] not in by_itself | carried),
        "not_marked_delivered": sum(1 for row in messages if row[3] != Sending.DELIVERED.value),
        "told_with_a_later_one": len(carried),
        "duplicates_on_the_wire": sum(arrived.values()) - len(arrived),
        "told_twice_to_a_receiver_that_honours_the_key": len(by_itself & carried),
        "keys_that_nobody_wrote": len(set(arrived) - set(key_of.values())),
    }


def _all(tx: Transaction) -> list[int]:
    return [one for (one,) in tx.rows(select(delivery.c.id))]


def goals(figures: dict) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for engine, part in figures.items():
        kills, twice = part["kills"], part["duplicates_on_the_wire"]
        found[f"{engine}, {kills} kills, {part['transitions']} transitions: 0 lost"] = (
            part["settled"]
            and part["transitions"] > kills
            and part["lost"] == part["transitions_without_a_message"] == part["not_marked_delivered"] == 0
        )
        found[f"{engine}: {twice} duplicates on the wire, at most one a kill and one an answer that never came"] = (
            twice <= kills + part["taken_without_an_answer"]
        )
        found[f"{engine}: 0 told twice to a receiver that honours the key"] = (
            part["told_twice_to_a_receiver_that_honours_the_key"] == part["keys_that_nobody_wrote"] == 0
        )
    return found

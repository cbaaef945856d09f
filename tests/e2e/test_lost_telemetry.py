"""A real loss of telemetry reaches a person: which site, which version, how many events; silence is told apart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from alerts.sink import Sink, sink
from e2e import fast_clock
from e2e.running import Server, environment, until

FAST = 40.0
"""Five minutes, the pause between two looks for losses, pass in 7.5 seconds."""
FAST_WATCHKEEPER = (sys.executable, fast_clock.__file__)
LIVE = """
import os, runpy, signal, sys, time
runpy.run_path(os.environ["FAST_CLOCK"])["begin"]()
from watchkeeper_sdk import Client
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
client = Client(site=sys.argv[1], max_spool_bytes=int(sys.argv[2]), flush_interval=0.05)
def log(count):
    for number in range(count):
        client.log_prediction(prediction=True, features={"number": number, "padding": "x" * 100})
log(int(sys.argv[3]))
print(client.flush(60), sum(client.stats().dropped.values()), flush=True)
while True:
    log(1)
    time.sleep(0.1)
"""


def declared(folder: Path, receiver: str) -> str:
    shop = {"services": ["shop"], "owner": "ops", "runbook": "https://runbooks.example/shop"}
    documents = [
        ("System", "shop", shop | {"sites": ["ams", "bru"], "expectEvery": "5m"}),
        ("Route", "on-call", {"receiver": {"type": "webhook", "url": receiver}, "group_interval": "1s"}),
    ]
    folder.mkdir()
    (folder / "all.yaml").write_text(
        yaml.safe_dump_all(
            {"apiVersion": "watchkeeper/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
            for kind, name, spec in documents
        )
    )
    return str(folder)


@pytest.fixture
def receiver() -> Iterator[Sink]:
    with sink() as receiving:
        yield receiving


class Site:
    """One process of the service, at one site."""

    def __init__(self, server: Server, spool: Path, clock: dict[str, str], name: str, room: int, first: int) -> None:
        given = {"WATCHKEEPER_URL": server.url, "WATCHKEEPER_SERVICE": "shop", "WATCHKEEPER_SPOOL_DIR": str(spool)}
        argv = [sys.executable, "-c", LIVE, name, str(room), str(first)]
        self._process = subprocess.Popen(argv, env=environment(given | clock), stdout=subprocess.PIPE, text=True)

    def lost(self) -> int:
        """Wait until the first events are sent or lost; give how many are lost, by its own count."""
        assert self._process.stdout is not None
        flushed, dropped = self._process.stdout.readline().split()
        assert flushed == "True"
        return int(dropped)

    def stop(self) -> None:
        """End it in good order: it sends what it has."""
        self._process.terminate()
        assert self._process.wait(20) == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(20)
        if self._process.stdout is not None:
            self._process.stdout.close()


def told(receiver: Sink, metric: str) -> list[dict[str, Any]]:
    alerts = [alert for one in receiver.received if one.body["status"] == "firing" for alert in one.body["alerts"]]
    return [alert for alert in alerts if alert["labels"]["metric"] == metric]


def expected(server: Server) -> dict[str, dict[str, Any]]:
    return {one["site"]: one for one in server.get("/v1/telemetry")["expected"]}


def states(server: Server) -> dict[str, str]:
    return {name: one["state"] for name, one in expected(server).items()}


def site_of(alert: dict[str, Any]) -> str:
    return alert["labels"].get("site", "")


@pytest.mark.timeout(120)
def test_a_site_that_loses_events_is_told_and_one_that_falls_silent_apart(tmp_path, receiver):
    clock = fast_clock.settings(FAST)
    folder = {"WATCHKEEPER_CONTROL_DECLARED_DIR": declared(tmp_path / "declared", receiver.url)}
    server = Server(tmp_path, folder | clock, FAST_WATCHKEEPER)
    with ExitStack() as ending:
        ending.callback(server.end)

        def site(name: str, room: int, first: int) -> Site:
            one = Site(server, tmp_path / name, clock, name, room, first)
            ending.callback(one.kill)
            return one

        # The collector is down. The spool of one site has no room for all that is logged meanwhile.
        ams, bru = site("ams", 40_000, 600), site("bru", 2**30, 600)
        until(lambda: len(list((tmp_path / "ams").rglob("*.log"))), bool)
        server.start()
        lost = ams.lost()
        assert (lost > 100, bru.lost()) == (True, 0)

        until(lambda: states(server), lambda now: now == {"ams": "partial", "bru": "ok"})

        bru.stop()
        # A look at a busy moment may find the other site's events still on their way: then both are told first.
        losses = until(lambda: told(receiver, "lost_share"), lambda one: "ams" in map(site_of, one), 30)
        loss = next(one for one in losses if site_of(one) == "ams")
        assert f" {lost} events, all of them from site ams, client version " in loss["annotations"]["summary"]
        silences = until(lambda: told(receiver, "silent_seconds"), lambda one: "bru" in map(site_of, one), 30)
        silence = next(one for one in silences if site_of(one) == "bru")
        assert "site bru of shop is offline since" in silence["annotations"]["summary"]

        until(lambda: states(server), lambda now: now == {"ams": "partial", "bru": "offline"})
        shown = expected(server)
        assert shown["bru"]["offline_since"] == shown["bru"]["last_seen"]
        (incident,) = server.get("/v1/incidents")["incidents"]
        assert (incident["service"], incident["state"], incident["data_state"]) == ("shop", "firing", "absent")

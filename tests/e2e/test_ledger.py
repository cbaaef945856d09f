"""The ledger of telemetry with the real SDK and a real server: what was sent is what is told."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from e2e.running import Server, environment, until

SEND = """
import os, sys
import watchkeeper_sdk as wk
client = wk.Client(site=sys.argv[1])
for number in range(int(sys.argv[2])):
    client.log_prediction(prediction=True, features={"number": number})
client.flush(20)
"""


KILLED = """
import os, signal, sys
import watchkeeper_sdk as wk
client = wk.Client(site=sys.argv[1])
for number in range(int(sys.argv[2])):
    client.log_prediction(prediction=True, features={"number": number})
    if number == 50:
        client.flush(20)
os.kill(os.getpid(), signal.SIGKILL)
"""


def settings_of(server: Server, spool: Path) -> dict[str, str]:
    given = {"WATCHKEEPER_URL": server.url, "WATCHKEEPER_SERVICE": "shop", "WATCHKEEPER_SPOOL_DIR": str(spool)}
    return environment(given)


def send(server: Server, spool: Path, site: str, count: int) -> None:
    argv = [sys.executable, "-c", SEND, site, str(count)]
    subprocess.run(argv, env=settings_of(server, spool), check=True, timeout=120)


def group(server: Server, site: str) -> dict[str, Any]:
    found = [one for one in server.get("/v1/telemetry")["groups"] if one["site"] == site]
    return found[0] if found else {"sent": 0}


def test_every_event_of_the_sdk_is_accounted_for(tmp_path):
    with Server(tmp_path) as server:
        send(server, tmp_path / "spool", "ams", 250)
        told = until(lambda: group(server, "ams"), lambda one: one["sent"] == 250)
        assert (told["service"], told["accepted"], told["durable"], told["rejected"]) == ("shop", 250, 250, 0)
        assert (told["dropped"], told["missing"], told["overdue"], told["pending"]) == (0, 0, 0, 0)
        assert told["state"] == "ok"
        send(server, tmp_path / "spool", "bru", 3)
        until(lambda: group(server, "bru"), lambda one: one["sent"] == 3)
        status = server.settled()
        assert (status["logged_by_clients"], status["missing"], status["completeness"]) == (253, 0, 1.0)


def test_a_site_that_falls_silent_is_offline_and_one_that_never_spoke_is_never(tmp_path):
    declared = tmp_path / "declared"
    declared.mkdir()
    (declared / "shop.yaml").write_text(
        "apiVersion: watchkeeper/v1\nkind: System\nmetadata: {name: shop}\n"
        "spec: {services: [shop], owner: ops, sites: [ams, bru], expectEvery: 2s}\n"
    )
    with Server(tmp_path, {"WATCHKEEPER_CONTROL_DECLARED_DIR": str(declared)}) as server:
        began = time.time()
        send(server, tmp_path / "spool", "ams", 5)

        def expected() -> dict[str, Any]:
            return {one["site"]: one for one in server.get("/v1/telemetry")["expected"]}

        told = until(expected, lambda sites: sites["ams"]["state"] == "offline")
        assert (told["bru"]["state"], told["bru"]["last_seen"]) == ("never", None)
        assert told["ams"]["offline_since"] == told["ams"]["last_seen"] is not None
        assert told["ams"]["expect_every_seconds"] == timedelta(seconds=2).total_seconds()
        assert time.time() - began >= 2


def test_what_a_killed_process_left_is_pending_until_another_sends_it(tmp_path):
    with Server(tmp_path) as server:
        argv = [sys.executable, "-c", KILLED, "ams", "300"]
        killed = subprocess.run(argv, env=settings_of(server, tmp_path / "spool"), check=False, timeout=120)
        assert killed.returncode == -signal.SIGKILL
        assert group(server, "ams")["sent"] >= 51
        assert group(server, "ams")["missing"] == 0
        send(server, tmp_path / "spool", "bru", 1)
        told = until(lambda: group(server, "ams"), lambda one: one["accepted"] == 300)
        assert (told["sent"], told["missing"], told["dropped"], told["pending"]) == (300, 0, 0, 0)

"""The ledger of telemetry with the real SDK and a real server: what was sent is what is told."""

from __future__ import annotations

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


def send(server: Server, spool: Path, site: str, count: int) -> None:
    given = environment({"WATCHKEEPER_URL": server.url, "WATCHKEEPER_SERVICE": "shop", "WATCHKEEPER_SPOOL": str(spool)})
    subprocess.run([sys.executable, "-c", SEND, site, str(count)], env=given, check=True, timeout=120)


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

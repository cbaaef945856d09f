"""Hosts and servers are killed in turn: what a call of the client library returned for is stored, once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from e2e.running import Server, environment, run, until

ROUNDS = 4
HOST = """
import sys, time
import watchkeeper_sdk as wk
wk.init(flush_interval=0.02, max_batch=50)
number = 0
while True:
    name = wk.log_prediction(id=f"{sys.argv[1]}-{number}", features={"n": number})
    wk.log_outcome(name, number % 2 == 0)
    print(name, flush=True)
    number += 1
    if number == int(sys.argv[2]):
        break
    time.sleep(0.001)
"""


def host(spool: Path, url: str, name: str, count: int, output: Path) -> subprocess.Popen[bytes]:
    settings = {"WATCHKEEPER_URL": url, "WATCHKEEPER_SERVICE": "checkout", "WATCHKEEPER_SPOOL_DIR": str(spool)}
    with output.open("wb") as file:
        return subprocess.Popen([sys.executable, "-c", HOST, name, str(count)], env=environment(settings), stdout=file)


def stored(data: Path, table: str, column: str) -> Counter[str]:
    with closing(duckdb.connect(str(data / "facts.duckdb"), read_only=True)) as facts:
        return Counter(str(row[0]) for row in facts.execute(f"SELECT {column} FROM {table}").fetchall())


@pytest.mark.timeout(240)
def test_hosts_and_servers_killed_in_turn_lose_nothing(tmp_path):
    spool, server = tmp_path / "spool", Server(tmp_path)
    server.start()
    outputs = []
    try:
        for turn in range(ROUNDS):
            outputs.append(tmp_path / f"host-{turn}")
            process = host(spool, server.url, f"h{turn}", -1, outputs[-1])
            until(lambda: outputs[-1].read_bytes().count(b"\n"), lambda lines: lines > 150)
            if turn % 2:
                server.kill()
                time.sleep(0.3)
            process.kill()
            process.wait()
            if turn % 2:
                server.start()
        outputs.append(tmp_path / "last")
        last = host(spool, server.url, "last", 20, outputs[-1])
        assert last.wait(60) == 0
        # What a dead host left that nobody took over yet is sent by hand.
        done = run("forward", "--spool", spool, "--url", server.url, "--once")
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("; 0 segments left\n")
        status = server.settled()
        [ledger] = server.get("/v1/telemetry")["groups"]
        assert server.stop() == -15
    finally:
        server.end()

    returned = [name for output in outputs for name in output.read_text().split()]
    found = stored(server.data, "predictions", "id")
    assert len(returned) > ROUNDS * 150
    assert {name for name in returned if found[name] != 1} == set()
    assert found.total() == len(found)
    assert len(set(found) - set(returned)) <= ROUNDS, "at most the one call that the kill cut short"
    joined = stored(server.data, "outcomes", "prediction_id")
    cut_short = {output.read_text().split()[-1] for output in outputs}
    assert {name for name in returned if joined[name] != 1} <= cut_short
    assert status["dropped_by_clients"] == 0
    assert (ledger["service"], ledger["clients"]) == ("checkout", ROUNDS + 1)
    assert {name: ledger[name] for name in ("dropped", "missing", "pending", "overdue", "rejected")} == dict.fromkeys(
        ("dropped", "missing", "pending", "overdue", "rejected"), 0
    )
    assert ledger["sent"] == ledger["accepted"] == found.total() + joined.total()
    assert [path for path in spool.rglob("*") if path.is_file()] == []


def test_a_host_without_network_is_read_by_the_forwarder(tmp_path):
    spool = tmp_path / "spool"
    process = host(spool, "", "edge", 40, tmp_path / "output")
    assert process.wait(60) == 0
    with Server(tmp_path) as server:
        argv = [sys.executable, "-m", "watchkeeper.app", "forward", "--once", "--url", server.url]
        done = subprocess.run(
            argv,
            env=environment({"WATCHKEEPER_SPOOL_DIR": str(spool)}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"80 events sent to {server.url}; 0 segments left\n"
        server.settled()
        story = server.story("edge-0")
    assert story["features"] == {"n": 0}
    assert json.dumps(story["outcomes"]).count("true") >= 1
    assert list((spool / "checkout").iterdir()) == []

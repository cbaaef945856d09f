"""How a server begins, ends, and gets through a full disk."""

from __future__ import annotations

import resource
import socket
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from e2e.running import QUICK, Server, run, until


def stored(data: Path) -> Counter[str]:
    with closing(duckdb.connect(str(data / "facts.duckdb"), read_only=True)) as facts:
        return Counter(str(row[0]) for row in facts.execute("SELECT id FROM predictions").fetchall())


def events(service: str, first: int, count: int = 100) -> list[dict[str, object]]:
    features = {f"x{place}": place / 7 for place in range(25)}
    return [
        {"id": f"{service}-{number}", "service": service, "ts": 1_772_000_000 + number, "features": features}
        for number in range(first, first + count)
    ]


def test_sigterm_loads_what_was_acknowledged_before_it_ends(tmp_path):
    with Server(tmp_path, {"WATCHKEEPER_LOADER_MAX_AGE_SECONDS": "30"}) as server:
        for first in range(0, 1000, 100):
            server.send("predictions", *events("calm", first))
        assert server.status()["waiting"] == 1000, "the loader was told to wait"
        assert server.stop() == -15
        found = stored(server.data)
        assert len(found) == found.total() == 1000
        server.start()
        assert server.status()["accepted"] == server.status()["loaded"] == 1000


def test_a_stop_in_the_middle_of_a_long_catch_up_is_soon_and_loses_no_place(tmp_path):
    with Server(tmp_path) as server:
        old = [{"id": f"old-{hour}", "service": "old", "ts": 1_740_000_000 + 3600 * hour} for hour in range(100)]
        server.send("predictions", *old)
        reached = until(server.status, lambda status: status["evaluated_to"])["evaluated_to"]
        assert server.stop() == -15
        server.start()
        assert until(server.status, lambda status: status["evaluated_to"])["evaluated_to"] > reached
        assert "Traceback" not in server.log.read_text()


def test_a_second_server_on_the_same_folder_is_refused_and_the_first_goes_on(server):
    refused = run("serve", "--port", "0", "--data-dir", server.data, settings=QUICK)
    assert refused.returncode == 4
    assert "Is another watchkeeper server running on this data directory?" in refused.stderr
    assert "Traceback" not in refused.stderr
    server.send("predictions", *events("first", 0))
    assert server.settled()["loaded"] == 100


def test_a_port_that_is_taken_is_a_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run("serve", "--port", port, "--data-dir", tmp_path / "data", settings=QUICK)
    assert refused.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: choose another --port" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.fixture
def filling(tmp_path):
    """A server whose files cannot grow past a limit, and what it acknowledged."""
    with Server(tmp_path, {"WATCHKEEPER_INGEST_BACKLOG_BYTES": "1500000"}) as server:
        yield server


def limit_files(server: Server, size: int) -> None:
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def send_until_refused(server: Server, service: str, *, patiently: bool) -> tuple[int, dict[str, str]]:
    for first in range(0, 40_000, 100):
        response = server.post("predictions", *events(service, first))
        if response.status_code != 200:
            assert response.status_code == 503
            return first, {"reason": response.json()["reason"]} | dict(response.headers)
        if patiently:
            server.client.get("/v1/status")
    pytest.fail("the disk never was full")


def test_a_disk_too_full_for_the_inbox_answers_503_until_there_is_room(filling):
    limit_files(filling, 400_000)
    acked, answer = send_until_refused(filling, "full", patiently=False)
    assert acked > 0
    assert (answer["retry-after"], "Free space" in answer["reason"]) == ("2", True)
    assert filling.client.get("/health").status_code == 200
    limit_files(filling, resource.RLIM_INFINITY)
    filling.send("predictions", *events("full", acked))
    status = filling.settled()
    assert status["accepted"] == status["loaded"] == acked + 100
    assert filling.stop() == -15
    found = stored(filling.data)
    assert found.total() == len(found) == acked + 100


def test_a_disk_too_full_for_the_facts_keeps_what_was_acknowledged_in_the_inbox(filling):
    limit_files(filling, 5_200_000)  # the inbox's log stays under this, that of the facts does not
    acked, answer = send_until_refused(filling, "facts", patiently=True)
    assert (answer["retry-after"], "the loader is behind" in answer["reason"]) == ("2", True)
    behind = filling.status()
    assert behind["waiting"] > 0
    limit_files(filling, resource.RLIM_INFINITY)
    status = filling.settled()
    assert (status["accepted"], status["loaded"], status["rejected"]) == (acked, acked, 0)
    assert "kept as a reject" not in filling.log.read_text(), "a full disk is no fault of the events"


def test_a_checkpoint_that_finds_the_disk_full_is_over_when_there_is_room(tmp_path):
    """Where the log is folded at a commit nobody asks for room first; here that is at every one."""
    program = (
        "import duckdb, sys; connect = duckdb.connect\n"
        "def often(path, config): return connect(path, config=config | {'checkpoint_threshold': '64KB'})\n"
        "duckdb.connect = often\n"
        "from watchkeeper.app.__main__ import main; main()"
    )
    settings = {"WATCHKEEPER_INGEST_BACKLOG_BYTES": "1500000"}
    with Server(tmp_path, settings, (sys.executable, "-c", program)) as server:
        server.send("predictions", *events("given-up", 0))
        server.settled()
        limit_files(server, (server.data / "facts.duckdb").stat().st_size)
        sent, codes = 100, Counter[int]()
        for _ in range(15):
            taken = server.post("predictions", *events("given-up", sent))
            sent += 100 if taken.status_code == 200 else 0
            for path in ("/v1/status", "/v1/predictions/given-up-0", "/metrics"):
                codes[server.client.get(path).status_code] += 1
            time.sleep(0.1)
        until(server.log.read_text, lambda said: "Failed to create checkpoint" in said)
        assert codes.keys() <= {200, 503}, codes
        limit_files(server, resource.RLIM_INFINITY)
        status = until(
            lambda: server.client.get("/v1/status"), lambda r: r.status_code == 200 and r.json()["waiting"] == 0
        ).json()
        assert (status["loaded"], status["rejected"]) == (sent, 0)
        said = server.log.read_text()
        assert "kept as a reject" not in said
        assert "Traceback" not in said
        assert "was opened anew and goes on" in said
        assert server.stop() == -15
        found = stored(server.data)
        assert found.total() == len(found) == sent

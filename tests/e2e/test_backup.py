"""A backup under load: what was answered before it began is in it once, and a restored server goes on from there."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from e2e.running import Server, run
from e2e.test_kill import Sender, stored

from watchkeeper.store.control import audit
from watchkeeper.store.control.connection import open_control

BACKUPS = 2


@pytest.mark.timeout(240)
def test_nothing_answered_before_it_began_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    server = Server(tmp_path, {"WATCHKEEPER_LOADER_MAX_ROWS": "200"})
    senders = [Sender(number, server.url) for number in range(4)]
    before: list[list[str]] = []
    server.start()
    try:
        for sender in senders:
            sender.begin()
        for number in range(BACKUPS):
            time.sleep(0.5)
            before.append([one for sender in senders for one in list(sender.acked)])
            done = run("backup", tmp_path / f"copy-{number}", "--url", server.url, "--json")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["files"] >= 3
        for sender in senders:
            sender.finish()
        assert server.settled()
        server.stop()
    finally:
        server.end()
    assert len(before[0]) > 0
    assert len(before[-1]) > len(before[0]), "events were taken in while backups were made"
    for number, acked in enumerate(before):
        again = Server(tmp_path / f"again-{number}")
        done = run("restore", tmp_path / f"copy-{number}", "--data-dir", again.data)
        assert done.returncode == 0, done.stderr
        resent = [Sender(place, again.url, senders[place].first_ts) for place in range(4)]
        again.start()
        try:
            loaded = again.settled()["loaded"]
            for sender in resent:  # whoever got no answer sends again
                assert sender.send_once()
            assert again.settled()["loaded"] == loaded
            assert again.stop() == -15
        finally:
            again.end()
        found = stored(again.data)
        assert {one for one in acked if found[one] != 1} == set()
        assert found.total() == len(found)
        assert actions(again.data)[-1] == "restore"
    assert actions(server.data).count("backup") == BACKUPS


def actions(data: Path) -> list[str]:
    control = open_control(f"sqlite:///{data / 'control.db'}")
    with control.snapshot() as tx:
        found = [entry.action for entry in audit.entries(tx)]
    control.close()
    return found[::-1]


def test_what_cannot_be_a_backup_is_told(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        for to, reason in [(server.data / "copy", "in the data folder"), (tmp_path, "not empty")]:
            done = run("backup", to, "--url", server.url)
            assert (done.returncode, reason in done.stderr) == (3, True)
        answer = server.client.post("/v1/admin/backup", json={"dest": "relative"})
        assert (answer.status_code, "absolute" in answer.json()["reason"]) == (400, True)
        stopped = run("compact", "--data-dir", server.data)
        assert (stopped.returncode, "Stop the server first" in stopped.stderr) == (4, True)
        server.stop()
        settings = {"WATCHKEEPER_SERVER_PORT": str(server.port)}
        assert run("backup", tmp_path / "copy", "--data-dir", server.data, settings=settings).returncode == 0
        assert run("compact", "--data-dir", server.data).returncode == 0
        assert actions(server.data)[-2:] == ["backup", "compact"]
        server.start()

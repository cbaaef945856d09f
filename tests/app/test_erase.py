"""Erasure as an operator runs it: by the server and on its folder, with nothing but a hash left in the audit log."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from e2e.running import Server, run, until

from watchkeeper.collector.bodies import LARGE
from watchkeeper.store.control import audit
from watchkeeper.store.control.connection import open_control

SECRET = "u-17-4711"
TS = 1767600000


def test_a_person_is_gone_from_every_file(tmp_path: Path) -> None:
    slow = {"WATCHKEEPER_LOADER_MAX_AGE_SECONDS": "1.0"}  # so that something waits in the inbox when it begins
    with Server(tmp_path, slow) as server:
        person = {"service": "shop", "ts": TS, "extra": {"user_id": SECRET, "content": "x" * LARGE}}
        server.send("predictions", {"id": "a"} | person, {"id": "b", "service": "shop", "ts": TS})
        assert server.post("predictions", {"id": "c", "service": 7, "user_id": SECRET}).json()["rejected"] == 1
        server.send("outcomes", {"prediction_id": "a", "value": True})
        assert SECRET.encode() in everything(server.data, "inbox.db*"), "the reject"
        assert SECRET.encode() in everything(server.data / "inbox.bodies", "*")
        where = ("--subject", f"user_id={SECRET}", "--url", server.url, "--json")
        dry = json.loads(run("erase", "--dry-run", *where).stdout)
        assert dry["deleted"]["predictions"] == dry["deleted"]["rejects"] == 1
        done = run("erase", *where)
        assert json.loads(done.stdout)["deleted"] == dry["deleted"], done.stderr
        assert server.client.get("/v1/predictions/a").status_code == 404
        assert server.story("b")["outcomes"] == []
        assert until(lambda: server.get("/v1/rejects")["rejects"], lambda rows: not rows) == []
        assert server.status()["accepted"] == 3, "counts stay"
        wrong = run("erase", "--subject", "=", "--url", server.url)
        assert (wrong.returncode, "names nobody" in wrong.stderr) == (3, True)
        server.stop()
        settings = {"WATCHKEEPER_SERVER_PORT": str(server.port)}
        offline = run("erase", "--subject", "b", "--data-dir", server.data, "--json", settings=settings)
        assert json.loads(offline.stdout)["deleted"]["predictions"] == 1, offline.stderr
        assert run("compact", "--data-dir", server.data).returncode == 0
    assert SECRET.encode() not in everything(server.data, "*")
    control = open_control(f"sqlite:///{server.data / 'control.db'}")
    with control.snapshot() as tx:
        entries = [entry for entry in audit.entries(tx) if entry.action == "erase"]
        assert audit.verify(tx).broken is None
    control.close()
    assert [entry.detail["subjects"] for entry in entries] == [
        [hashlib.sha256(b"id=b").hexdigest()],
        [hashlib.sha256(f"user_id={SECRET}".encode()).hexdigest()],
    ]


def everything(folder: Path, pattern: str) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob(pattern) if path.is_file())

"""Control data on PostgreSQL are in the backup, and come back into an empty database of a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from alerts.postgres import private_cluster
from e2e.running import Server, run

from watchkeeper.store.control import audit
from watchkeeper.store.control.connection import open_control

SYSTEM = """apiVersion: watchkeeper/v1
kind: System
metadata: {name: checkout}
spec: {owner: team-a, services: [shop]}
"""


def actions(url: str) -> list[str]:
    control = open_control(url)
    with control.snapshot() as tx:
        assert audit.verify(tx).broken is None
        found = [entry.action for entry in audit.entries(tx)]
    control.close()
    return found[::-1]


@pytest.mark.debian
def test_a_backup_of_a_server_on_postgresql_is_whole(tmp_path: Path) -> None:
    psycopg = pytest.importorskip("psycopg")
    with private_cluster() as cluster:
        with psycopg.connect(cluster.format(name="postgres"), autocommit=True) as connection:
            for name in ("first", "second"):
                connection.execute(f"CREATE DATABASE {name}".encode())
        first, second = ({"WATCHKEEPER_CONTROL_URL": cluster.format(name=name)} for name in ("first", "second"))
        (tmp_path / "declared").mkdir()
        (tmp_path / "declared" / "system.yaml").write_text(SYSTEM)
        (tmp_path / "again").mkdir()
        with Server(tmp_path, first) as server:
            assert run("apply", tmp_path / "declared", "--data-dir", server.data, settings=first).returncode == 0
            server.send("predictions", {"id": "a", "service": "shop", "ts": 1_767_600_000})
            server.settled()
            assert run("backup", tmp_path / "copy", "--url", server.url).returncode == 0
            assert (tmp_path / "copy" / "control.db").is_file()
            server.send("predictions", {"id": "b", "service": "shop", "ts": 1_767_600_000})
            server.settled()
        again = Server(tmp_path / "again", second)
        restored = run("restore", tmp_path / "copy", "--data-dir", again.data, settings=second)
        assert restored.returncode == 0, restored.stderr
        assert not (again.data / "control.db").exists(), "it is on the server, and nowhere else"
        with again:
            assert again.story("a")["prediction"]["service"] == "shop"
            assert again.client.get("/v1/predictions/b").status_code == 404
            assert [system["name"] for system in again.get("/v1/declared")["systems"]] == ["checkout"]
        assert actions(second["WATCHKEEPER_CONTROL_URL"]) == [*before(first), "restore"]
        twice = run("restore", tmp_path / "copy", "--data-dir", tmp_path / "third", settings=second)
        assert (twice.returncode, "holds data already" in twice.stderr) == (2, True)
        assert not (tmp_path / "third").exists()


def before(settings: dict[str, str]) -> list[str]:
    """What was done before the backup, which is the last act."""
    *acts, last = actions(settings["WATCHKEEPER_CONTROL_URL"])
    assert last == "backup"
    return acts

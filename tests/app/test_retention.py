"""Retention as an operator runs it: by the server, or on its folder, and what the settings may say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from e2e.running import Server, run, until

from watchkeeper.app.upkeep import policy_of
from watchkeeper.schemas.declared import Declarations, Retention, System
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.settings import load
from watchkeeper.store.control import audit
from watchkeeper.store.control.connection import open_control
from watchkeeper.store.facts.kept import Keep

NOW = datetime.now(UTC)
KEPT = {"WATCHKEEPER_RETENTION_FACTS_DAYS": "30"}
SYSTEM = """
apiVersion: watchkeeper/v1
kind: System
metadata: {name: bank}
spec: {services: [bank], owner: ops, retention: {factsDays: 0}}
"""


def sent(server: Server, service: str) -> None:
    for days in (0, 40, 41):
        ts = (NOW - timedelta(days=days)).isoformat()
        server.send("predictions", {"id": f"{service}-{days}", "service": service, "ts": ts, "features": {"x": 1.5}})


def test_the_server_runs_it_and_so_does_the_command_on_a_stopped_one(tmp_path: Path) -> None:
    (tmp_path / "declared").mkdir()
    (tmp_path / "declared" / "bank.yaml").write_text(SYSTEM)
    with Server(tmp_path) as server:
        for service in ("shop", "bank"):
            sent(server, service)
        server.settled()
        assert run("apply", tmp_path / "declared", "--data-dir", server.data).returncode == 0
        assert server.client.post("/v1/admin/retention", json={}).json()["deleted"] == {}
        server.stop()
        where = ("--data-dir", server.data, "--json")
        settings = KEPT | {"WATCHKEEPER_SERVER_PORT": str(server.port)}
        dry = json.loads(run("retention", "run", "--dry-run", *where, settings=settings).stdout)
        assert sorted(dry["deleted"].items(), key=lambda item: item[0] == "predictions")[1:] == [("predictions", 2)]
        done = run("retention", "run", *where, settings=settings)
        assert json.loads(done.stdout) == dry | {k: v for k, v in json.loads(done.stdout).items() if "sealed" in k}
        assert json.loads(done.stdout)["sealed_rows"] == 2
        server.start()
        assert server.client.get("/v1/predictions/shop-40").status_code == 404
        assert server.story("bank-41")["features"] == {"x": 1.5}
        server.stop()
    control = open_control(f"sqlite:///{server.data / 'control.db'}")
    with control.snapshot() as tx:
        entries = [entry for entry in audit.entries(tx) if entry.action == "retention"]
    control.close()
    assert len(entries) == 1
    assert entries[0].detail["deleted"] == dry["deleted"]


def test_the_server_lets_go_by_itself(tmp_path: Path) -> None:
    with Server(tmp_path, {"WATCHKEEPER_SERVER_CLOCK": "events"}) as server:  # it last ran in 1970, by this clock
        sent(server, "shop")
        server.settled()
        server.stop()
    with Server(tmp_path, KEPT | {"WATCHKEEPER_SERVER_CLOCK": "events"}) as again:
        until(lambda: again.client.get("/v1/predictions/shop-40").status_code, lambda status: status == 404)
        sealed = again.data / "sealed"
        until(lambda: list(sealed.glob("day=*/predictions-*.parquet")), lambda files: len(files) == 2)


def test_a_declared_system_overrules_the_settings() -> None:
    settings, _ = load(None, {})
    own = System(name="s", services=["a", "b"], owner="o", retention=Retention(facts_days=400, text_days=0))
    policy = policy_of(settings, Declarations(systems=(own, System(name="t", services=["c"], owner="o"))))
    assert policy.default == Keep(90, 400, 30, 14) == policy.of("c") == policy.of(None)
    assert policy.of("a") == policy.of("b") == Keep(400, 400, 30, 0)


def test_facts_are_not_let_go_before_they_are_a_reference() -> None:
    settings, _ = load(None, {"WATCHKEEPER_RETENTION_FACTS_DAYS": "20"})
    with pytest.raises(SettingsError, match="facts_days: facts are kept for 20 days"):
        policy_of(settings, Declarations())


def test_without_a_server_and_without_data_it_says_so(tmp_path: Path) -> None:
    settings = {"WATCHKEEPER_SERVER_PORT": "9"}
    done = run("retention", "run", "--data-dir", tmp_path / "none", settings=settings)
    assert (done.returncode, "holds no data" in done.stderr) == (2, True)
    assert not (tmp_path / "none").exists()

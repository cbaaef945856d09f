"""Objectives on a real server: how they stand, planned work, the gate and its exit codes, the gauges."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from e2e.running import Server, run

from watchkeeper.schemas.matchers import read_matchers
from watchkeeper.store.control import maintenance
from watchkeeper.store.control.connection import open_control

DECLARED = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: shop-ok}
spec:
  service: shop
  indicator: {spec: {ratioMetric: {good: {metricSource: {type: watchkeeper, spec: {measure: errors}}}}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.95}]
---
apiVersion: watchkeeper/v1
kind: Objective
metadata: {name: shop-better}
spec:
  service: shop
  sli: {measure: errors}
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.99}]
  budgetPolicy: [{at: 1.0, do: close_gate, what: No deployments.}]
"""
MEASURES = """
---
apiVersion: watchkeeper/v1
kind: Objective
metadata: {name: NAME}
spec:
  service: shop
  sli: {measure: NAME}
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.9}]
"""
COUNTED = {"late": (25, 100), "automation": (50, 200), "check_coverage": (150, 200), "check_failures": (25, 200)}
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def exit_code(server: Server, name: str) -> tuple[int, dict]:
    asked = run("gate", name, "--url", server.url, "--json")
    return asked.returncode, json.loads(asked.stdout)


def more(number: int, ts: datetime) -> dict[str, object]:
    """Of every second the times are known, of which every fourth is late; every fourth is deferred and checked."""
    event: dict[str, object] = {"confidence": 0.3 if number % 4 == 0 else 0.9, "confidence_threshold": 0.5}
    if number % 2 == 0:
        used = ts + timedelta(seconds=90 if number % 8 == 0 else 10)
        event |= {"needed_by": (ts + timedelta(seconds=60)).isoformat(), "used_at": used.isoformat()}
    if number % 4 == 0:
        event["checks"] = [{"name": "schema", "passed": number % 8 != 0}]
    return event


def test_budget_gate_planned_work_and_gauges(tmp_path: Path) -> None:
    (tmp_path / "declared").mkdir()
    measures = "".join(MEASURES.replace("NAME", name) for name in COUNTED)
    (tmp_path / "declared" / "slo.yaml").write_text(DECLARED + measures)
    with Server(tmp_path) as server:
        for number in range(200):
            ts = NOW - timedelta(hours=30 if number < 4 else 3, seconds=number)
            event = {"id": f"p{number}", "service": "shop", "ts": ts.isoformat()}
            event["status"] = "error" if number < 4 else "ok"
            server.send("predictions", event | more(number, ts))
        server.settled()
        applied = run("apply", tmp_path / "declared", "--data-dir", server.data)
        assert applied.returncode == 0
        assert "objective shop-ok: no fallback is named" in applied.stdout + applied.stderr
        slos = {one["name"]: one for one in server.client.get("/v1/slos").json()["slos"]}
        assert (slos["shop-ok"]["n"], slos["shop-ok"]["bad"]) == (200, 4)
        assert {name: (slos[name]["bad"], slos[name]["n"]) for name in COUNTED} == COUNTED
        assert slos["shop-better"]["state"] == "exhausted"
        assert slos["watchkeeper-evaluation"]["service"] == "watchkeeper"
        assert exit_code(server, "shop-ok")[0] == 0
        code, answer = exit_code(server, "shop-better")
        assert (code, answer["gate"]) == (1, "closed")
        assert answer["reason"].endswith("No deployments.")
        assert exit_code(server, "absent")[0] == 2
        assert server.client.get("/v1/gate/absent").status_code == 404
        text = server.client.get("/metrics").text
        assert 'watchkeeper_slo_objective_ratio{service="shop",slo="shop-better"} 0.99' in text
        assert 'watchkeeper_slo_error_budget_remaining_ratio{service="shop",slo="shop-ok"}' in text
        control = open_control(f"sqlite:///{server.data / 'control.db'}")
        with control.transaction() as tx:
            begun = NOW - timedelta(hours=32)
            only = read_matchers(['service="shop"'])
            maintenance.add(tx, only, begun, begun + timedelta(hours=3), "ada", "new disks", datetime.now(UTC))
        control.close()
        corrected = server.client.get("/v1/slos/shop-better").json()
        assert (corrected["n"], corrected["bad"], corrected["gate"]) == (196, 0, "open")
        assert [(one["author"], one["reason"]) for one in corrected["planned"]] == [("ada", "new disks")]

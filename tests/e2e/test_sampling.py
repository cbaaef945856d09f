"""The real SDK samples, the real server counts: what it shows is what there was, not what came."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from e2e.running import Server, environment, run

DECLARED = """
apiVersion: watchkeeper/v1
kind: Objective
metadata: {name: ok}
spec:
  service: SERVICE
  sli: {measure: errors}
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.95}]
"""
SERVE = """
import json, sys
import watchkeeper_sdk as wk
client = wk.Client(service=sys.argv[1], sample_rate=float(sys.argv[2]), keep_errors=sys.argv[3] == "errors")
for line in sys.stdin:
    client.log_prediction(model="writer", operation="chat", **json.loads(line))
assert client.flush(60)
stats = client.stats()
print(stats.logged, stats.sampled_out)
"""
REQUESTS = 4000
SENDERS = {"whole": ("1", ""), "sampled": ("0.1", "errors"), "evenly": ("0.25", "")}
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def served(service: str) -> str:
    """Give the same requests of a service that fails 3 in 100 times, under other ids."""
    chance = random.Random(4)
    lines: list[str] = []
    for number in range(REQUESTS):
        failed = chance.random() < 0.03
        event = {
            "id": f"{service}-{number}",
            "ts": (NOW - timedelta(hours=40) + timedelta(seconds=30 * number)).timestamp(),
            "status": "error" if failed else "ok",
            "latency_ms": chance.lognormvariate(6, 0.3) * (4 if failed else 1),
            "cost": chance.uniform(0.01, 0.03),
            "tokens_input": chance.randint(500, 1500),
        }
        lines.append(json.dumps(event))
    return "\n".join(lines)


def send(server: Server, spool: Path, service: str) -> tuple[int, int]:
    given = environment({"WATCHKEEPER_URL": server.url, "WATCHKEEPER_SPOOL_DIR": str(spool)})
    argv = [sys.executable, "-c", SERVE, service, *SENDERS[service]]
    asked = subprocess.run(
        argv, input=served(service), env=given, check=True, timeout=120, capture_output=True, text=True
    )
    logged, left_out = map(int, asked.stdout.split())
    return logged, left_out


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("sampling")
    (folder / "declared").mkdir()
    parts = [DECLARED.replace("name: ok", f"name: {name}").replace("SERVICE", name) for name in SENDERS]
    (folder / "declared" / "slo.yaml").write_text("---".join(parts))
    with Server(folder) as server:
        counts = {name: send(server, folder / f"spool-{name}", name) for name in SENDERS}
        assert counts["whole"] == (REQUESTS, 0)
        assert all(sum(counts[name]) == REQUESTS and counts[name][0] < 0.3 * REQUESTS for name in ("sampled", "evenly"))
        server.settled()
        applied = run("apply", folder / "declared", "--data-dir", server.data)
        assert applied.returncode == 0, applied.stderr
        yield server, {name: logged for name, (logged, _) in counts.items()}


@pytest.mark.parametrize("service", ["sampled", "evenly"])
def test_requests_errors_money_and_objectives_are_those_of_the_whole(server, service: str) -> None:
    running, logged = server
    window = {"start": (NOW - timedelta(hours=48)).isoformat(), "end": (NOW + timedelta(hours=1)).isoformat()}
    [truth] = running.rows("overview", **window, service="whole")
    [found] = running.rows("overview", **window, service=service)
    assert (truth["rows"], truth["requests"]) == (REQUESTS, REQUESTS)
    assert found["rows"] == logged[service] < 0.3 * REQUESTS
    margin = 0.15
    assert found["requests"] == pytest.approx(REQUESTS, rel=margin)
    assert found["cost"] == pytest.approx(truth["cost"], rel=margin)
    assert found["tokens_input"] == pytest.approx(truth["tokens_input"], rel=margin)
    assert found["latency_p50_ms"] == pytest.approx(truth["latency_p50_ms"], rel=margin)
    share, true_share = found["errors"] / found["requests"], truth["errors"] / truth["requests"]
    assert share == pytest.approx(true_share, rel=0.15 if service == "sampled" else 0.6)
    slos = {one["name"]: one for one in running.get("/v1/slos")["slos"]}
    whole, estimate = slos["whole"], slos[service]
    assert (whole["n"], whole["bad"]) == (REQUESTS, truth["errors"])
    assert estimate["n"] == pytest.approx(REQUESTS, rel=margin)
    assert estimate["sli_lower"] < whole["sli"] < estimate["sli_upper"]
    assert estimate["sli"] == pytest.approx(whole["sli"], abs=0.006 if service == "sampled" else 0.02)


def test_failures_that_all_came_are_not_more_than_there_were(server) -> None:
    running, logged = server
    window = {"start": (NOW - timedelta(hours=48)).isoformat(), "end": (NOW + timedelta(hours=1)).isoformat()}
    [truth], [found] = (running.rows("overview", **window, service=name) for name in ("whole", "sampled"))
    assert found["errors"] == truth["errors"]
    assert found["errors"] / logged["sampled"] > 5 * truth["errors"] / REQUESTS, "what the rows alone would say"
    assert running.status()["completeness"] == 1.0, "nothing that was sent is missing: the ledger counts rows"

"""A real server that is killed around the moments at which peers lose alerts, or tell them twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alerts.sink import Sink, sink
from e2e.running import Server, until

DECLARED = """
apiVersion: watchkeeper/v1
kind: Receiver
metadata: {{name: hook}}
spec: {{type: webhook, url: "{url}"}}
---
apiVersion: watchkeeper/v1
kind: Route
metadata: {{name: all}}
spec: {{receiver: hook, group_by: [service], group_wait: 1s, group_interval: 1s}}
"""


@contextmanager
def running(folder: Path, hook: Sink) -> Iterator[Server]:
    declared = folder / "watchkeeper.d"
    declared.mkdir()
    (declared / "a.yaml").write_text(DECLARED.format(url=hook.url), encoding="utf-8")
    with Server(folder, {"WATCHKEEPER_CONTROL_DECLARED_DIR": str(declared)}) as server:
        yield server


def fire(server: Server, service: str) -> None:
    now = datetime.now(UTC)
    alert = {
        "labels": {"alertname": "Down", "service": service, "severity": "critical"},
        "annotations": {"summary": f"{service} is down"},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
    }
    content = json.dumps([alert])
    answer = server.client.post("/api/v2/alerts", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text


def services(hook: Sink) -> list[str]:
    return [str(one.body["groupLabels"]["service"]) for one in hook.received]  # type: ignore[index, call-overload]


@pytest.fixture
def hook() -> Iterator[Sink]:
    with sink() as running_:
        yield running_


def test_what_was_taken_is_told_though_the_server_is_killed_at_once(tmp_path: Path, hook: Sink) -> None:
    """Killed after the 200 and before the group's wait is over, and nobody sends again: Alertmanager loses these."""
    with running(tmp_path, hook) as server:
        for number in range(3):
            fire(server, f"service-{number}")
            server.kill()
            server.start()
        until(lambda: set(services(hook)), lambda told: len(told) == 3)


def test_what_was_told_is_not_told_again_after_a_kill(tmp_path: Path, hook: Sink) -> None:
    with running(tmp_path, hook) as server:
        fire(server, "shop")
        until(lambda: hook.keys, len)
        until(lambda: server.get("/v1/incidents")["incidents"], len)
        (incident,) = server.get("/v1/incidents")["incidents"]
        until(
            lambda: server.get(f"/v1/incidents/{incident['id']}")["deliveries"],
            lambda found: found[0]["state"] == "delivered",
        )
        server.kill()
        server.start()
        fire(server, "shop")
        fire(server, "other")
        until(lambda: services(hook), lambda told: "other" in told)
        assert len(set(hook.keys)) == len(hook.keys) == 2

"""Why was I told, or not: over HTTP, for what was told, held back, waits, or goes to nobody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from alerts.samples import LINKS, START, finding
from alerts.serving import serving
from fastapi import FastAPI, Request, Response
from httpx import Client

from watchkeeper.alerts.api.incident_routes import incident_routes
from watchkeeper.alerts.api.quiet_routes import quiet_routes
from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.incidents.feedback import acknowledge
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.routing.dispatch import flush_due
from watchkeeper.dashboard import told
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import InputError, NotFound
from watchkeeper.schemas.findings import Severity
from watchkeeper.store.control import audit, declared
from watchkeeper.store.control.connection import Control


class Clock:
    now = START


async def _refused(_request: Request, error: Exception) -> Response:
    return Response(str(error), 404 if isinstance(error, NotFound) else 422)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(control: Control, clock: Clock) -> Iterator[Client]:
    app = FastAPI()
    app.include_router(quiet_routes(control, lambda: clock.now))
    app.include_router(incident_routes(control, lambda: clock.now, LINKS))
    app.add_exception_handler(InputError, _refused)
    app.add_exception_handler(NotFound, _refused)
    with serving(app) as running:
        yield running


def declare(control: Control, kind: str, name: str, spec: dict[str, Any]) -> Declarations:
    document = {"apiVersion": "watchkeeper/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    with control.transaction() as tx:
        declared.put(tx, (kind, name), document, START, "test")  # type: ignore[arg-type]
    with control.snapshot() as tx:
        return declared.current(tx)


@pytest.fixture
def pages(control: Control) -> Declarations:
    spec = {"match": {"severity": "page"}, "receiver": {"type": "webhook", "url": "http://127.0.0.1:1/x"}}
    return declare(control, "Route", "on-call", spec)


def fire(control: Control, known: Declarations, severity: Severity = Severity.PAGE) -> str:
    changes = record(control, [finding(severity=severity)], known, START, LINKS, waits=True)
    return changes[-1].incident.id


def sentence(client: Client, incident: str) -> str:
    """Say what the dashboard makes of the same answer."""
    content = client.get(f"/v1/incidents/{incident}/why").raise_for_status().content
    return msgspec.json.decode(content, type=told.Why).sentence


def why(client: Client, incident: str) -> dict[str, Any]:
    return client.get(f"/v1/incidents/{incident}/why").raise_for_status().json()


def test_what_waits_says_for_what(control: Control, pages: Declarations, client: Client, clock: Clock) -> None:
    incident = fire(control, pages)
    clock.now += timedelta(seconds=3)
    (alert,) = why(client, incident)["alerts"]
    (route,) = alert["routes"]
    assert alert["labels"]["alertname"] == "drift/unseen_share"
    assert alert["rule"] == "drift/unseen_share on carrier: page"
    assert (route["path"], route["receiver"], route["state"]) == ("on-call", "on-call", "waiting")
    assert route["words"] == "group_wait: the group is told at 2026-03-01 10:00:10 UTC"
    assert sentence(client, incident) == f"Nobody was told yet: {route['words']}."


def test_what_was_told_says_when_and_which_attempt(
    control: Control, pages: Declarations, client: Client, clock: Clock
) -> None:
    incident = fire(control, pages)
    clock.now += timedelta(seconds=10)
    flush_due(control, pages, clock.now, LINKS)
    Sender(control, jitter=lambda: 0.0).run_once(clock.now)
    answer = why(client, incident)
    assert answer["alerts"][0]["routes"][0]["state"] == "told"
    (message,) = answer["messages"]
    assert (message["state"], message["attempts"], message["reason"]) == ("waiting", 1, "fired")
    assert "127.0.0.1" in message["answer"]
    assert sentence(client, incident) == "Nobody was reached so far: the message for on-call did not arrive."
    acknowledge(control, incident, "ada", clock.now)
    assert "acknowledged by ada: not repeated" in why(client, incident)["alerts"][0]["routes"][0]["words"]


def test_what_no_route_matches_is_told_to_nobody(control: Control, pages: Declarations, client: Client) -> None:
    incident = fire(control, pages, Severity.TICKET)
    answer = why(client, incident)
    assert sentence(client, incident) == "Nobody was told: no route matches its labels."
    assert answer["alerts"][0]["routes"] == []
    assert "  no route matches its labels: nobody is told" in answer["words"]
    assert answer["words"][-1] == "No message was written."


def test_a_pending_alert_says_how_long_it_must_hold(control: Control, pages: Declarations, client: Client) -> None:
    known = declare(control, "Monitor", "slow", {"analyzer": "drift", "for": "10m"})
    incident = record(control, [finding(severity=Severity.PAGE)], known, START, LINKS, waits=True)[-1].incident
    (alert,) = why(client, incident.id)["alerts"]
    assert alert["waiting_for"] == "for: it must hold for 10 minutes, until 10:10:00 UTC"
    assert "monitor slow" in alert["rule"]


def test_a_silence_over_http_holds_is_named_audited_and_ended(
    control: Control, pages: Declarations, client: Client, clock: Clock
) -> None:
    incident = fire(control, pages)
    body = {"matchers": ['service="delays"'], "comment": "known fault", "author": "ada", "duration": "2h"}
    made = client.post("/v1/silences", json=body).raise_for_status().json()
    clock.now += timedelta(minutes=1)
    assert flush_due(control, pages, clock.now, LINKS) == 0
    (route,) = why(client, incident)["alerts"][0]["routes"]
    assert route["state"] == "held"
    assert route["words"] == "silenced by ada: known fault, until 2026-03-01 12:00:00 UTC"
    assert sentence(client, incident) == f"Nobody was told: {route['words']}."
    assert client.get("/v1/incidents").json()["incidents"][0]["held_by"] == ["silenced by ada: known fault"]
    assert [one["id"] for one in client.get("/v1/silences").json()["silences"]] == [made["id"]]
    client.post(f"/v1/silences/{made['id']}/expire").raise_for_status()
    assert flush_due(control, pages, clock.now, LINKS) == 1
    assert client.get("/v1/incidents").json()["incidents"][0]["held_by"] == []
    assert client.get("/v1/silences").json() == {"silences": []}
    assert client.get("/v1/silences", params={"expired": True}).json()["silences"][0]["state"] == "expired"
    with control.snapshot() as tx:
        assert [entry.action for entry in audit.entries(tx)] == ["silence.expired", "silence.added"]


def test_maintenance_and_snooze_over_http(control: Control, pages: Declarations, client: Client, clock: Clock) -> None:
    incident = fire(control, pages)
    answer = client.post(f"/v1/incidents/{incident}/snooze", json={"duration": "30m", "by": "bob"}).json()
    assert answer["alerts"][0]["suppressed_by"][0]["words"] == "snoozed by bob"
    body = {
        "matchers": ["service=delays"],
        "reason": "disks",
        "start": "2026-03-01T09:00:00",
        "end": "2026-03-01T11:00Z",
    }
    window = client.post("/v1/maintenance", json=body).raise_for_status().json()
    assert (window["state"], window["author"]) == ("active", "someone")
    clock.now += timedelta(minutes=40)
    assert flush_due(control, pages, clock.now, LINKS) == 0
    kinds = [hold["kind"] for hold in why(client, incident)["alerts"][0]["suppressed_by"]]
    assert kinds == ["maintenance"]
    client.post(f"/v1/maintenance/{window['id']}/end").raise_for_status()
    assert flush_due(control, pages, clock.now, LINKS) == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("silences", {"matchers": ['a!="b"'], "comment": "x", "duration": "1h"}, 422),
        ("silences", {"matchers": ["a"], "comment": "x", "duration": "1h"}, 422),
        ("silences", {"matchers": ["a=b"], "comment": "x"}, 422),
        ("silences", {"matchers": ["a=b"], "comment": "x", "duration": "soon"}, 422),
        ("silences", {"matchers": ["a=b"], "comment": "x", "end": "2020-01-01T00:00:00Z"}, 422),
        ("maintenance", {"matchers": ["a=b"], "reason": " ", "duration": "1h"}, 422),
        ("silences/none/expire", {}, 404),
        ("maintenance/none/end", {}, 404),
    ],
)
def test_what_cannot_be_is_refused(client: Client, path: str, body: dict[str, Any], status: int) -> None:
    assert client.post(f"/v1/{path}", json=body).status_code == status

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from alerts.samples import AT_ONCE, LINKS, NOTHING_DECLARED, START, day, finding
from alerts.serving import serving
from fastapi import FastAPI
from httpx import Client

from watchkeeper.alerts.api.incident_routes import incident_routes
from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Impact, Severity
from watchkeeper.store.control import audit, declared
from watchkeeper.store.control.connection import Control

ACTED = day(1.5)


@pytest.fixture
def client(control: Control) -> Iterator[Client]:
    app = FastAPI()
    app.include_router(incident_routes(control, lambda: ACTED, LINKS))
    with serving(app) as running:
        yield running


@pytest.fixture
def told(control: Control) -> str:
    """One incident with two conditions and context, told to the log; another, of chat, is over."""
    with control.transaction() as tx:
        system = {
            "apiVersion": "watchkeeper/v1",
            "kind": "System",
            "metadata": {"name": "flights"},
            "spec": {"services": ["delays"], "owner": "operations", "runbook": "https://runbooks.example/x"},
        }
        declared.put(tx, ("System", "flights"), system, START, "test")  # type: ignore[arg-type]
    with control.snapshot() as tx:
        in_force: Declarations = declared.current(tx)
    found = [
        finding(severity=Severity.PAGE, impact=Impact(300.0, "EUR", "late bookings")),
        finding("origin", analyzer="slo"),
        finding("weather", severity=Severity.NOTICE),
        finding(service="chat", metric="latency"),
    ]
    changes = record(control, found, in_force, START, LINKS)
    record(
        control,
        [
            finding(at=day(1), severity=Severity.PAGE),
            finding(service="chat", metric="latency", at=day(1), active=False),
        ],
        in_force,
        day(1),
        LINKS,
        timing=AT_ONCE,
    )
    Sender(control).run_once(day(1))
    return next(change.incident.id for change in changes if change.incident.service == "delays")


def ids(client: Client, query: str = "") -> list[str]:
    return [one["service"] for one in client.get(f"/v1/incidents{query}").json()["incidents"]]


@pytest.mark.usefixtures("told")
def test_lists(client: Client) -> None:
    assert ids(client) == ["delays"]
    assert ids(client, "?state=firing") == ["delays"]
    assert ids(client, "?state=resolved") == ["chat"]
    assert sorted(ids(client, "?state=all")) == ["chat", "delays"]
    assert ids(client, "?state=all&service=chat") == ["chat"]
    assert ids(client, "?service=nothing") == []
    assert client.get("/v1/incidents?state=broken").status_code == 422


def test_one_line(client: Client, told: str) -> None:
    (line,) = client.get("/v1/incidents").json()["incidents"]
    assert line == {
        "id": told,
        "service": "delays",
        "model": "arrival",
        "episode": 1,
        "state": "firing",
        "data_state": "ok",
        "severity": "page",
        "title": "31 % of carrier values were never seen before",
        "subjects": ["carrier", "origin"],
        "analyzers": ["drift", "slo"],
        "cost": "not known: no value model is declared",
        "impact": None,
        "owner": "operations",
        "onset": "2026-02-28T10:00:00Z",
        "opened_at": "2026-03-01T10:00:00Z",
        "fired_at": "2026-03-01T10:00:00Z",
        "last_active_at": "2026-03-02T10:00:00Z",
        "resolved_at": None,
        "acknowledged_at": None,
        "acknowledged_by": None,
        "held_by": [],
        "feedback": [],
        "evidence_url": f"http://127.0.0.1:8091/incident?id={told}",
    }


def test_a_line_is_as_loud_as_what_still_holds_and_as_old_as_its_subject(client: Client, control: Control) -> None:
    first = finding(severity=Severity.PAGE, metric="strength")
    anew = finding(metric="strength, stronger (2)", at=day(3))
    over = finding(severity=Severity.PAGE, metric="strength", at=day(3), active=False)
    record(control, [first], NOTHING_DECLARED, START, LINKS, timing=AT_ONCE)
    smaller = replace(finding("origin", at=day(3)), observed=0.03)
    record(control, [anew, over, smaller], NOTHING_DECLARED, day(3), LINKS)
    (line,) = client.get("/v1/incidents").json()["incidents"]
    assert (line["severity"], line["subjects"][0]) == ("ticket", "carrier"), "the page is over"
    assert line["onset"] == "2026-02-28T10:00:00Z", "the same subject was told before"
    assert client.get(f"/v1/incidents/{line['id']}").json()["text"].startswith("TICKET delays")


def test_the_whole_story(client: Client, told: str) -> None:
    story: dict[str, Any] = client.get(f"/v1/incidents/{told}").json()
    assert story["text"].startswith("PAGE delays: 31 % of carrier values")
    assert story["runbook"] == "https://runbooks.example/x"
    assert story["examples"] == []
    shown = [(one["subject"], one["alerting"], one["active"], one["first"] is None) for one in story["findings"]]
    assert shown == [("carrier", True, True, False), ("origin", True, True, True), ("weather", False, True, True)]
    carrier = story["findings"][0]
    assert carrier["as_of"] == "2026-03-02T10:00:00Z"
    assert carrier["first"]["as_of"] == "2026-03-01T10:00:00Z"
    assert carrier["first"]["impact"] == {"per_day": 300.0, "currency": "EUR", "basis": "late bookings"}
    assert carrier["evidence"]["snapshot"] == {"counts": [967, 3120], "deep": {"x": 0.1}}
    assert carrier["interval"] == [0.28, 0.34]
    assert carrier["window"] == {"start": "2026-03-01T10:00:00Z", "end": "2026-03-02T10:00:00Z"}
    assert [(one["at"], one["what"]) for one in story["timeline"]] == [
        ("2026-03-01T10:00:00Z", "opened"),
        ("2026-03-01T10:00:00Z", "joined"),
        ("2026-03-01T10:00:00Z", "context"),
        ("2026-03-01T10:00:00Z", "fired"),
    ]
    (delivery,) = story["deliveries"]
    assert (delivery["receiver"], delivery["state"], delivery["attempts"], delivery["error"]) == (
        "default",
        "delivered",
        1,
        None,
    )


def test_acknowledge_and_feedback(client: Client, control: Control, told: str) -> None:
    answer = client.post(f"/v1/incidents/{told}/acknowledge", json={"by": "ada"})
    assert answer.json()["acknowledged_by"] == "ada"
    assert client.post(f"/v1/incidents/{told}/acknowledge", json={"by": "bob"}).json()["acknowledged_by"] == "ada"
    body = {"word": "noise", "reason": "a feast day", "by": "ada"}
    assert client.post(f"/v1/incidents/{told}/feedback", json=body).status_code == 200
    story = client.post(f"/v1/incidents/{told}/feedback", json={"word": "acted_on"}).json()
    assert [(one["word"], one["by"]) for one in story["feedback"]] == [("noise", "ada"), ("acted_on", None)]
    assert [(one["what"], one["actor"]) for one in story["timeline"][-3:]] == [
        ("acknowledged", "ada"),
        ("feedback", "ada"),
        ("feedback", "someone"),
    ]
    with control.snapshot() as tx:
        entries = [(one.actor, one.action, one.subject, one.at) for one in audit.entries(tx)]
    assert entries == [
        ("someone", "incident.feedback", told, ACTED),
        ("ada", "incident.feedback", told, ACTED),
        ("ada", "incident.acknowledged", told, ACTED),
    ]


def test_what_is_acknowledged_is_still_told_when_it_gets_worse(client: Client, control: Control) -> None:
    (_, fired) = record(control, [finding()], NOTHING_DECLARED, START, LINKS)
    client.post(f"/v1/incidents/{fired.incident.id}/acknowledge", json={})
    changes = record(control, [finding(at=day(1), severity=Severity.PAGE)], NOTHING_DECLARED, day(1), LINKS)
    assert [change.kind for change in changes] == ["escalated", "updated"]
    assert changes[-1].incident.acknowledged_by == "someone"


def test_quality_counts_the_last_word(client: Client, told: str) -> None:
    for word in ("noise", "acted_on"):
        client.post(f"/v1/incidents/{told}/feedback", json={"word": word})
    rows = {one["analyzer"]: one for one in client.get("/v1/alerts/quality").json()["analyzers"]}
    assert rows["drift"] == {
        "analyzer": "drift",
        "fired": 2,
        "acted_on": 1,
        "known": 0,
        "noise": 0,
        "wrong_threshold": 0,
        "unanswered": 1,
        "precision": 1.0,
        "precision_interval": [pytest.approx(0.2065, abs=1e-3), 1.0],
        "proposal": None,
    }
    assert rows["slo"]["fired"] == 1
    client.post(f"/v1/incidents/{told}/feedback", json={"word": "known"})
    rows = {one["analyzer"]: one for one in client.get("/v1/alerts/quality").json()["analyzers"]}
    assert (rows["drift"]["known"], rows["drift"]["precision"]) == (1, None)


@pytest.mark.usefixtures("told")
def test_findings(client: Client) -> None:
    def subjects(query: str) -> list[str]:
        return sorted(one["subject"] for one in client.get(f"/v1/findings{query}").json()["findings"])

    assert len(subjects("")) == 6
    assert subjects("?severity=notice") == ["weather"]
    assert subjects("?service=delays&since=2026-03-02T00:00:00") == ["carrier"]
    assert subjects("?since=2026-03-02T00:00:00Z") == ["carrier", "carrier"]
    assert len(subjects("?limit=2")) == 2
    assert client.get("/v1/findings").json()["findings"][0]["evidence"]["snapshot"] == {}


def test_numbers_that_json_lacks(client: Client, control: Control) -> None:
    endless = finding(effect=float("inf"))
    (_, fired) = record(control, [endless], NOTHING_DECLARED, START, LINKS)
    story = client.get(f"/v1/incidents/{fired.incident.id}").json()
    assert story["findings"][0]["effect"] is None


@pytest.mark.parametrize("path", ["/v1/incidents/none-1", "/v1/incidents/%00"])
def test_what_is_not_there_is_404(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404
    assert client.get(path).json()["detail"].startswith("there is no incident")
    assert client.post(f"{path}/acknowledge", json={}).status_code == 404
    assert client.post(f"{path}/feedback", json={"word": "noise"}).status_code == 404


def test_only_the_four_words(client: Client, told: str) -> None:
    assert client.post(f"/v1/incidents/{told}/feedback", json={"word": "useless"}).status_code == 422


def test_a_closed_database_is_503(client: Client, control: Control, tmp_path: Any) -> None:
    control.close()
    for file in tmp_path.glob("control.db*"):
        file.unlink()
    (tmp_path / "control.db").mkdir()
    answer = client.get("/v1/incidents")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")

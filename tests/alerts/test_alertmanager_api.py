"""Alertmanager's API v2 over our alerts: its shapes, and the real amtool, unchanged, against it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alerts.samples import LINKS, finding
from alerts.serving import serving
from fastapi import FastAPI, Request, Response
from httpx import Client

from watchkeeper.alerts.alertmanager.api import AlertmanagerRoutes
from watchkeeper.alerts.alertmanager.inlet import AlertInlet
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.incidents.rounds import Rounds
from watchkeeper.alerts.routing.dispatch import no_change_known
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import NotFound
from watchkeeper.schemas.findings import Severity
from watchkeeper.store.control import declared, incidents, outbox
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Phase

DECLARED = (
    ("Receiver", "pager", {"type": "webhook", "url": "http://127.0.0.1:1/pager"}),
    ("Receiver", "team", {"type": "log"}),
    (
        "Route",
        "everyone",
        {
            "receiver": "team",
            "routes": [{"matchers": ['severity=~"page|critical"'], "receiver": "pager", "group_by": ["alertname"]}],
            "mute_time_intervals": ["never"],
        },
    ),
    ("TimeInterval", "never", {"time_intervals": [{"years": ["1999"]}]}),
    (
        "Inhibition",
        "x",
        {"source_matchers": ["severity=critical"], "target_matchers": ["severity=warning"], "equal": ["job"]},
    ),
)


class World:
    """Our routes on a free port, with a wall clock that can be moved on."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.ahead = timedelta(0)
        self.rounds = Rounds(control, self.declared, LINKS, no_change_known)
        self.client: Client

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def declared(self) -> Declarations:
        with self.control.snapshot() as tx:
            return declared.current(tx)

    def round(self, later: float = 0.0) -> int:
        self.ahead += timedelta(seconds=later)
        return self.rounds.run_once(self.now())

    def post(self, *alerts: dict[str, Any]) -> int:
        return self.client.post("/api/v2/alerts", json=list(alerts)).status_code

    def get(self, path: str, **params: Any) -> Any:
        return self.client.get(f"/api/v2/{path}", params=params).raise_for_status().json()

    def told(self) -> list[tuple[str, str]]:
        with self.control.snapshot() as tx:
            every = incidents.listed(tx, states=tuple(Phase), limit=None)
            rows = {m.key: m for one in every for m in outbox.of_incident(tx, one.id)}
        return [(m.receiver, str(m.payload["reason"])) for m in sorted(rows.values(), key=lambda m: m.created_at)]


async def _absent(_request: Request, error: Exception) -> Response:
    return Response(str(error), 404)


@pytest.fixture
def world(control: Control) -> Iterator[World]:
    world = World(control)
    with control.transaction() as tx:
        for kind, name, spec in DECLARED:
            document = {"apiVersion": "watchkeeper/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
            declared.put(tx, (kind, name), document, world.now(), "test")  # type: ignore[arg-type]
    inlet = AlertInlet(control, lambda: None)
    routes = AlertmanagerRoutes(control, world.now, LINKS, "1.2.3", world.now(), inlet)
    app = FastAPI()
    app.include_router(routes.way_in())
    app.include_router(routes.router())
    app.add_exception_handler(NotFound, _absent)
    with serving(app) as client:
        world.client = client
        yield world
    inlet.close()


DISK = {"alertname": "DiskFull", "severity": "critical", "job": "db", "instance": "a:9100"}
SLOW = {"alertname": "Slow", "severity": "warning", "job": "db"}


def alert(labels: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"labels": labels, "annotations": {"summary": "it is full"}, "generatorURL": "http://prom/graph", **more}


def test_a_posted_alert_is_shown_told_and_resolved_when_it_is_not_repeated(world: World) -> None:
    assert world.post(alert(DISK)) == 200
    (shown,) = world.get("alerts")
    assert shown["status"]["state"] == "unprocessed"
    world.round()
    (shown,) = world.get("alerts")
    assert shown["labels"] == DISK
    assert shown["annotations"] == {"summary": "it is full"}
    assert shown["generatorURL"] == "http://prom/graph"
    assert shown["status"] == {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []}
    assert shown["receivers"] == [{"name": "pager"}]
    assert set(shown) >= {"fingerprint", "startsAt", "updatedAt", "endsAt"}
    world.round(11)
    assert world.told() == [("pager", "fired")]
    world.post(alert(DISK))
    world.round(200)
    assert len(world.get("alerts")) == 1
    world.round(200)
    assert world.get("alerts") == [], "not repeated for five minutes"
    world.round(301)
    world.round(301)
    assert world.told() == [("pager", "fired"), ("pager", "resolved")]


def test_what_was_posted_is_shown_before_anyone_looks(world: World) -> None:
    world.post(alert(DISK))
    world.round()
    world.post(alert(SLOW), alert(DISK, annotations={"summary": "it is very full"}))
    shown = {one["status"]["state"]: one["annotations"]["summary"] for one in world.get("alerts")}
    assert shown == {"active": "it is very full", "unprocessed": "it is full"}
    world.post(alert(DISK, endsAt=world.now().isoformat()), alert(SLOW, endsAt=world.now().isoformat()))
    assert world.get("alerts") == []
    world.round()
    assert world.get("alerts") == []


def test_what_is_posted_survives_a_kill_before_anyone_looks(world: World) -> None:
    """F1: accepted, killed before the wait is over, never sent again."""
    world.post(alert(DISK, endsAt=(world.now() + timedelta(hours=1)).isoformat()))
    world.rounds = Rounds(world.control, world.declared, LINKS, no_change_known)
    world.round()
    world.rounds = Rounds(world.control, world.declared, LINKS, no_change_known)
    world.round(11)
    assert world.told() == [("pager", "fired")]


def test_what_fires_and_ends_between_two_looks_is_told_once(world: World) -> None:
    """F5: Alertmanager says nothing of it."""
    world.post(alert(DISK))
    world.post(alert(DISK, endsAt=world.now().isoformat()))
    world.round()
    world.round(301)
    world.round(301)
    assert world.told() == [("pager", "resolved")]


def test_an_end_of_what_nobody_knows_is_nothing(world: World) -> None:
    world.post(alert(DISK, startsAt="2026-01-01T00:00:00Z", endsAt="2026-01-01T01:00:00Z"))
    world.round()
    with world.control.snapshot() as tx:
        assert incidents.listed(tx, states=tuple(Phase)) == []


def test_a_sender_whose_clock_is_an_hour_ahead_fires_now(world: World) -> None:
    later = (world.now() + timedelta(hours=1)).isoformat()
    assert world.post(alert(DISK, startsAt=later)) == 200
    world.round()
    (shown,) = world.get("alerts")
    assert datetime.fromisoformat(shown["startsAt"]) <= world.now()


def test_one_wrong_alert_stops_no_other_and_is_named(world: World) -> None:
    answer = world.client.post("/api/v2/alerts", json=[alert(DISK), {"labels": {}}, {"labels": {"a-b": "c"}}])
    assert answer.status_code == 400
    assert "alert 1" in answer.text
    assert "alert 2" in answer.text
    world.round()
    assert len(world.get("alerts")) == 1


def test_filters_groups_and_inhibition(world: World) -> None:
    world.post(alert(DISK), alert(SLOW), alert(SLOW | {"job": "web"}))
    world.round()
    by_name = {(one["labels"]["alertname"], one["labels"]["job"]): one for one in world.get("alerts")}
    inhibited = by_name["Slow", "db"]["status"]
    assert (inhibited["state"], len(inhibited["inhibitedBy"])) == ("suppressed", 1)
    assert by_name["Slow", "web"]["status"]["state"] == "active"
    assert len(world.get("alerts", inhibited=False)) == 2
    assert [one["labels"]["job"] for one in world.get("alerts", filter=['alertname="Slow"', 'job!~"d.*"'])] == ["web"]
    assert len(world.get("alerts", receiver="page.*")) == 1
    assert world.get("alerts", active=False) == [by_name["Slow", "db"]]
    groups = world.get("alerts/groups")
    pager = next(one for one in groups if one["receiver"]["name"] == "pager")
    assert pager["labels"] == {"alertname": "DiskFull"}
    assert [one["fingerprint"] for one in pager["alerts"]] == [by_name["DiskFull", "db"]["fingerprint"]]
    assert world.get("receivers") == [{"name": "default"}, {"name": "pager"}, {"name": "team"}]
    assert world.client.get("/api/v2/alerts", params={"filter": "="}).status_code == 400


def test_our_own_alerts_stand_beside_them(world: World) -> None:
    record(world.control, [finding(at=world.now(), severity=Severity.PAGE)], world.declared(), world.now(), LINKS)
    (shown,) = world.get("alerts", filter=['class="drift"'])
    assert shown["labels"]["alertname"] == "drift/unseen_share"
    assert shown["annotations"]["summary"] == "31 % of carrier values were never seen before"


def test_silences_over_the_api_as_a_client_sends_them(world: World) -> None:
    world.post(alert(DISK))
    world.round()
    body = {
        "matchers": [{"name": "alertname", "value": "Disk.*", "isRegex": True}],
        "startsAt": world.now().isoformat(),
        "endsAt": (world.now() + timedelta(hours=1)).isoformat(),
        "createdBy": "ada",
        "comment": "known",
    }
    silence = world.client.post("/api/v2/silences", json=body).raise_for_status().json()["silenceID"]
    (shown,) = world.get("alerts")
    assert shown["status"] | {"mutedBy": []} == {
        "state": "suppressed",
        "silencedBy": [silence],
        "inhibitedBy": [],
        "mutedBy": [],
    }
    longer = world.client.post("/api/v2/silences", json=body | {"id": silence, "comment": "still"}).json()["silenceID"]
    assert longer == silence, "the same words: the same silence"
    other = [{"name": "job", "value": "db", "isRegex": False, "isEqual": True}]
    changed = world.client.post("/api/v2/silences", json=body | {"id": silence, "matchers": other}).json()["silenceID"]
    assert changed != silence, "other words: another one, and the old one ends"
    states = {one["id"]: one["status"]["state"] for one in world.get("silences")}
    assert states == {silence: "expired", changed: "active"}
    assert world.get(f"silence/{changed}")["matchers"] == other
    assert world.client.delete(f"/api/v2/silence/{changed}").status_code == 200
    assert world.client.get("/api/v2/silence/none").status_code == 404
    assert world.client.delete("/api/v2/silence/none").status_code == 404
    everything = body | {"matchers": [{"name": "a", "value": ".*", "isRegex": True}]}
    assert world.client.post("/api/v2/silences", json=everything).status_code == 400
    assert world.client.post("/api/v2/silences", json=body | {"id": "none"}).status_code == 404


@pytest.fixture
def amtool(world: World) -> Callable[..., str]:
    program = shutil.which("amtool")
    if program is None:
        pytest.skip("amtool is not installed: Debian package prometheus-alertmanager")

    def run(*arguments: str) -> str:
        url = f"--alertmanager.url={world.client.base_url}"
        done = subprocess.run([program, url, *arguments], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.debian
def test_amtool_adds_alerts_and_asks_for_them(world: World, amtool: Callable[..., str]) -> None:
    amtool("alert", "add", "DiskFull", "severity=critical", "job=db", "--annotation=summary=it is full")
    assert "DiskFull" in amtool("alert", "query", "--unprocessed"), "whoever posts reads it at once"
    world.round()
    record(world.control, [finding(at=world.now())], world.declared(), world.now(), LINKS)
    assert "DiskFull" in amtool("alert", "query")
    (found,) = json.loads(amtool("-o", "json", "alert", "query", "severity=critical"))
    assert found["labels"] == {"alertname": "DiskFull", "severity": "critical", "job": "db"}
    (ours,) = json.loads(amtool("-o", "json", "alert", "query", "service=delays", "--receiver=team"))
    assert ours["labels"]["class"] == "drift"
    assert json.loads(amtool("-o", "json", "alert", "query", "severity=info")) == []


@pytest.mark.debian
def test_amtool_silences(world: World, amtool: Callable[..., str]) -> None:
    world.post(alert(DISK))
    world.round()
    added = amtool("silence", "add", "alertname=DiskFull", 'job=~"d.*"', "--comment=known", "--author=ada", "-d", "2h")
    (shown,) = json.loads(amtool("-o", "json", "silence", "query"))
    assert shown["id"] == added.strip()
    assert (shown["createdBy"], shown["comment"]) == ("ada", "known")
    assert json.loads(amtool("-o", "json", "alert", "query")) == []
    assert len(json.loads(amtool("-o", "json", "alert", "query", "--silenced"))) == 1
    world.round(11)
    assert world.told() == []
    amtool("silence", "update", "--comment=better known", added.strip())
    amtool("silence", "expire", added.strip())
    (shown,) = world.get("silences")
    assert (shown["status"]["state"], shown["comment"]) == ("expired", "better known")
    world.round(1)
    assert world.told() == [("pager", "fired")]


@pytest.mark.debian
def test_amtool_reads_our_routes(world: World, amtool: Callable[..., str]) -> None:
    tree = amtool("config", "routes", "show")
    assert "receiver: pager" in tree
    test = amtool("config", "routes", "test", "severity=critical", "service=x")
    assert test.split() == ["pager"]
    assert amtool("config", "routes", "test", "severity=ticket").split() == ["team"]
    assert "watchkeeper" in amtool("config", "show") or "route:" in amtool("config", "show")
    amtool("cluster", "show")

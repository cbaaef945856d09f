"""The signed link of a message: following it changes nothing, its form does, and the evidence recomputes from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from alerts.declaring import declare, receiver, stored, tell
from alerts.samples import LINKS, day, finding
from alerts.serving import serving
from alerts.sink import sink
from e2e.running import Server
from fastapi import FastAPI

from watchkeeper.alerts.api.respond import LASTS, Responding, Ticket, read, sign
from watchkeeper.alerts.api.respond_routes import RespondRoutes
from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.analyzers.slo.burn_rate import BurnRate
from watchkeeper.schemas.declared import Route
from watchkeeper.schemas.errors import NotAllowed
from watchkeeper.schemas.findings import Evidence, Finding
from watchkeeper.store.control import audit, incidents
from watchkeeper.store.control.connection import Control

KEY = b"k" * 32
TICKET = Ticket("ab-1", day(0), day(14))
SNAPSHOT = {"long": [37, 1234], "short": [5, 101], "budget": 0.0123, "burn_limit": 2.0, "cannot_fire": []}


class Clock:
    def __init__(self) -> None:
        self.now = day(1)

    def __call__(self) -> datetime:
        return self.now


def burning(at: datetime, bad: int = 37) -> Finding:
    snapshot = {**SNAPSHOT, "long": [bad, 1234]}
    found = finding("latency", at=at, analyzer="slo.burn_rate", metric="burn_rate fast")
    evidence = Evidence("burn over 1 hour and 5 minutes", 1234, None, "C", snapshot)
    return replace(found, observed=BurnRate().recompute(snapshot), evidence=evidence)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(control: Control, clock: Clock) -> Iterator[httpx.Client]:
    responding = Responding(control, "http://watch.example")
    app = FastAPI()
    app.include_router(RespondRoutes(control, clock, clock, LINKS, responding).router())
    with serving(app) as running:
        yield running


@pytest.fixture
def link(control: Control) -> str:
    """The path of the link in a message that went out."""
    with sink() as hook:
        routes = declare(control, receiver("hook", "webhook", url=hook.url), Route(name="all", receiver="hook"))
        tell(control, routes, burning(day(0)), now=day(1))
        Sender(control, responding=Responding(control, "http://watch.example")).run_once(day(1))
        shared = hook.received[0].body["commonAnnotations"]
    assert isinstance(shared, dict)
    assert f"Frozen evidence: {shared['respond_url']}/evidence" in shared["message"]
    return urlsplit(shared["respond_url"]).path


def incident(control: Control):
    with control.snapshot() as tx:
        return incidents.get(tx, stored(control)[0].incident_id)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_following_it_changes_nothing(control: Control, client: httpx.Client, link: str, method: str) -> None:
    for path in (link, f"{link}?action=acknowledge", f"{link}/evidence"):
        client.request(method, path)
    assert incident(control).acknowledged_at is None
    with control.snapshot() as tx:
        assert audit.entries(tx) == []


def test_its_form_acknowledges(control: Control, client: httpx.Client, link: str) -> None:
    answer = client.post(link, data={"action": "acknowledge", "by": "Ada <b>"}, follow_redirects=True)
    assert answer.status_code == 200
    assert "Taken on by Ada &lt;b&gt; (by link)." in answer.text
    assert incident(control).acknowledged_by == "Ada <b> (by link)"
    with control.snapshot() as tx:
        assert [entry.action for entry in audit.entries(tx)] == ["incident.acknowledged"]


def test_its_form_takes_feedback(control: Control, client: httpx.Client, link: str) -> None:
    answer = client.post(link, data={"action": "noise", "reason": "a test"}, follow_redirects=True)
    assert "Last feedback: noise, by someone with the link." in answer.text


@pytest.mark.parametrize("form", [{}, {"action": "resolve"}, {"action": "x" * 20_000}])
def test_another_form_is_refused(control: Control, client: httpx.Client, link: str, form: dict[str, str]) -> None:
    assert client.post(link, data=form).status_code == 400
    assert incident(control).acknowledged_at is None


def test_an_old_link_and_one_that_is_not_ours(control: Control, client: httpx.Client, clock: Clock, link: str) -> None:
    forged = [
        link[:-1] + ("A" if link[-1] != "A" else "B"),
        link.replace("-1.", "-2.", 1),
        "/respond/x",
        "/respond/é.1.1.x",
    ]
    for path in forged:
        assert client.get(path).status_code == 403, path
        assert client.post(path, data={"action": "acknowledge"}).status_code == 403
    clock.now = day(1) + LASTS + timedelta(seconds=1)
    answer = client.post(link, data={"action": "acknowledge"})
    assert (answer.status_code, "expired on" in answer.text) == (403, True)
    assert incident(control).acknowledged_at is None


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_needs_nothing_but_itself(client: httpx.Client, link: str) -> None:
    answer = client.get(link)
    page = Page()
    page.feed(answer.text)
    names = [tag for tag, _ in page.tags]
    assert not {"script", "img", "link", "iframe"} & set(names)
    assert not any(name.startswith("on") or name == "src" for _, attributes in page.tags for name in attributes)
    assert [attributes.get("method") for tag, attributes in page.tags if tag == "form"] == ["post"]
    fields = {attributes["id"] for tag, attributes in page.tags if tag == "input"}
    assert fields == {attributes["for"] for tag, attributes in page.tags if tag == "label"}, "each field has its label"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "lang" in dict(page.tags[0][1])


def test_every_number_recomputes_bit_for_bit_and_stays_as_it_was_told(
    control: Control, client: httpx.Client, link: str
) -> None:
    """What is found later changes the incident, and not the evidence of the message that went before."""
    with control.snapshot() as tx:
        told = audit.entries(tx)
    assert told == []
    before = client.get(f"{link}/evidence").json()
    (found,) = before["findings"]
    assert found["observed"] == BurnRate().recompute(found["evidence"]["snapshot"]) == burning(day(0)).observed
    assert found["evidence"]["snapshot"] == json.loads(json.dumps(SNAPSHOT))
    assert found["interval"] == [0.28, 0.34]
    assert found["key"] == burning(day(0)).key
    routes = declare(control)
    tell(control, routes, burning(day(2), bad=99))
    assert client.get(f"{link}/evidence").json() == before


def test_a_ticket_is_read_to_the_microsecond() -> None:
    exact = replace(TICKET, told_at=day(0) + timedelta(microseconds=123457))
    assert read(KEY, sign(KEY, exact), day(1)) == exact
    with pytest.raises(NotAllowed):
        read(b"another" * 5, sign(KEY, exact), day(1))


def test_two_servers_sign_alike_and_the_key_is_kept(control: Control) -> None:
    first, second = Responding(control, "http://a"), Responding(control, "http://a")
    assert first.url(TICKET) == second.url(TICKET)
    assert re.fullmatch(r"http://a/respond/ab-1\.[0-9a-f]+\.[0-9a-f]+\.[\w-]{43}", first.url(TICKET))


def test_the_door_lets_only_signed_paths_pass(tmp_path: Path) -> None:
    key = tmp_path / "api.key"
    with (
        Server(tmp_path, {"WATCHKEEPER_AUTH_API_KEY_FILE": str(key)}) as server,
        httpx.Client(base_url=server.url, trust_env=False) as bare,
    ):
        assert bare.get("/v1/incidents").status_code == 401
        assert bare.get("/respond/x").status_code == 403
        assert "not one of ours" in bare.get("/respond/x").text
        assert bare.get("/respond/../v1/incidents").status_code in {401, 404}

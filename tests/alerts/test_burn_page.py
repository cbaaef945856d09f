"""One page about a burning objective, as each receiver gets it: everything that someone woken at 3 a.m. asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape

import msgspec
import numpy as np
import polars as pl
import pytest
from alerts.samples import AT_ONCE, LINKS
from analyzers.world import START, World, day

from watchkeeper.alerts.api.models import FindingOut
from watchkeeper.alerts.incidents.incidents import evaluate
from watchkeeper.alerts.messages.message import compose
from watchkeeper.alerts.messages.notices import Writer
from watchkeeper.alerts.messages.notification import Notification
from watchkeeper.alerts.notifiers import cloudevents, mail, pagerduty, slack, webhook
from watchkeeper.alerts.routing.grouping import Decision, Telling
from watchkeeper.alerts.routing.routing import Router
from watchkeeper.analyzers.slo import burn_rate
from watchkeeper.schemas.declared import Declarations, Receiver, Route, System, ValueModel
from watchkeeper.schemas.findings import Finding, Severity
from watchkeeper.schemas.objectives import Fallback, Objective, Sli
from watchkeeper.store.control.groups import Group, Grouped

PROMISE = Objective(name="flights-ok", service="flights", sli=Sli(measure="errors"), target=0.99, days=28)
WORTH = ValueModel(name="v", service="flights", currency="EUR", values={"error": -3.0})
OWNER = System(
    name="delays", services=["flights"], owner="operations", contact="#ops", runbook="https://runbooks.example/delays"
)
WHOLE = Declarations(objectives=(PROMISE,), values=(WORTH,), systems=(OWNER,))
ANSWER = "http://127.0.0.1:8091/respond/ab-1.0.0.signed"


@pytest.fixture(scope="module")
def burning() -> Finding:
    """30 days at 60 requests an hour, of which every second one fails in the last two hours."""
    n = 30 * 24 * 60
    number = np.arange(n)
    failing = (number >= n - 120) & (number % 2 == 0)
    frame = pl.DataFrame(
        {
            "ts": [START.replace(tzinfo=None) + timedelta(minutes=int(minute)) for minute in number],
            "ok": (~(failing | (number % 500 == 0))).astype(int),
            "latency_ms": np.full(n, 100.0),
        }
    )
    world = World(now=day(30)).load(frame)
    (found,) = world.findings(burn_rate.ANALYZER, day(30), WHOLE)
    return found


def written(found: Finding, declared: Declarations = WHOLE) -> Notification:
    at = found.as_of
    incident = evaluate(None, [found], at, AT_ONCE, lambda _: at)[-1].incident
    group = Group("g", 'on-call:{service="flights"}', "on-call", "pager", {"service": "flights"})
    decision = Decision(group, (Telling(incident, (found.fingerprint,)),), "fired", "fired", ("pager",))
    writer = Writer(declared, LINKS, lambda *_: "deploy 2.3, 3 hours before", at)
    made = writer.write(decision, [Grouped(incident.id, (found.fingerprint,))], [incident], {found.key: found}, "pager")
    made = replace(made, key="k:1", respond_url=ANSWER, text=f"{made.text}\nAcknowledge: {ANSWER}")
    return msgspec.convert(msgspec.to_builtins(made), Notification)  # as it comes out of the outbox


def test_it_reads_like_this(burning: Finding) -> None:
    said = written(burning)
    assert said.text.splitlines() == [
        "PAGE flights: 50.0 % of requests missed flights-ok in the last 1 h; the budget is gone in 9 hours.",
        f"Service flights, model m1, incident {said.incident_id}.",
        "Since 2026-02-03 23:00 UTC, noticed 2026-02-04 00:00 UTC (1 hour later).",
        "Look first at: failed requests, flights-ok.",
        (
            "- PAGE failed requests: 50.0 % of requests missed flights-ok in the last 1 h; the budget is gone in "
            "9 hours. Measured: 50 % bad (most likely between 37.7 % and 62.3 %), 1 % is allowed (target 99 %). "
            "How sure: 60 rows, by rule (burn over 1 h and 5 min), grade C."
        ),
        (
            "Burn rate: 50 times what flights-ok allows over the last 60 minutes (most likely between 37.7 and 62.3), "
            "told from 13.4; 1 is on budget."
        ),
        "Error budget of flights-ok: 65 % is left, gone in about 9 hours at this rate (2026-02-04 08:44 UTC).",
        (
            "For example predictions flights/m1/1/43198, flights/m1/1/43196, flights/m1/1/43194: the evidence page "
            "tells the story of each."
        ),
        "Cost: about 2 160 EUR a day (720 bad events a day at 3 EUR each).",
        "Changed before: deploy 2.3, 3 hours before (a candidate, no proof).",
        "Owner: operations, contact #ops.",
        "Runbook: https://runbooks.example/delays",
        f"Evidence: http://127.0.0.1:8091/incident?id={said.incident_id}",
        f"Acknowledge: {ANSWER}",
    ]


ASKED = {
    "what": "50.0 % of requests missed flights-ok",
    "since when": "Since 2026-02-03 23:00 UTC",
    "observed and its interval": "50 % bad (most likely between 37.7 % and 62.3 %)",
    "objective": "1 % is allowed (target 99 %)",
    "n": "60 rows",
    "burn": "Burn rate: 50 times what flights-ok allows",
    "exhaustion": "gone in about 9 hours at this rate (2026-02-04 08:44 UTC)",
    "money": "Cost: about 2 160 EUR a day",
    "subjects": "Look first at: failed requests, flights-ok.",
    "three samples": "flights/m1/1/43198, flights/m1/1/43196, flights/m1/1/43194",
    "last change": "Changed before: deploy 2.3",
    "runbook": "https://runbooks.example/delays",
    "owner": "operations",
    "signed link": ANSWER,
    "evidence": "http://127.0.0.1:8091/incident?id=",
}


def in_slack(said: Notification) -> str:
    blocks = slack.message(said)["blocks"]
    return "\n".join(block["text"]["text"] for block in blocks)  # type: ignore[index,call-overload,union-attr]


def in_mail(said: Notification, kind: str) -> str:
    part = mail.compose(said, "watchkeeper@example.org", ["ops@example.org"]).get_body((kind,))
    assert part is not None
    return part.get_content().replace("\n", " ") if kind == "plain" else unescape(part.get_content())


SHOWN: dict[str, Callable[[Notification], str]] = {
    "text": lambda said: said.text,
    "slack": in_slack,
    "mail": lambda said: in_mail(said, "plain"),
    "mail in HTML": lambda said: in_mail(said, "html"),
    "webhook": lambda said: str(webhook.payload(said)["commonAnnotations"]),
    "pagerduty": lambda said: str(pagerduty.event(said)),
    "cloudevents": lambda said: str(cloudevents.event(said)),
}


@pytest.mark.parametrize("receiver", SHOWN)
@pytest.mark.parametrize("asked", ASKED)
def test_every_receiver_gets_everything(burning: Finding, receiver: str, asked: str) -> None:
    assert ASKED[asked] in SHOWN[receiver](written(burning))


def test_other_systems_read_fields_and_no_text(burning: Finding) -> None:
    annotations = webhook.payload(written(burning))["commonAnnotations"]
    fields = {
        "burn_rate": "50 times what flights-ok allows over the last 60 minutes (most likely between 37.7 and 62.3), "
        "told from 13.4; 1 is on budget",
        "error_budget": "65 % is left, gone in about 9 hours at this rate (2026-02-04 08:44 UTC)",
        "since": "2026-02-03T23:00:00Z",
        "cost_per_day": "2 160 EUR",
        "last_change": "deploy 2.3, 3 hours before",
        "examples": "flights/m1/1/43198, flights/m1/1/43196, flights/m1/1/43194",
        "runbook_url": "https://runbooks.example/delays",
        "owner": "operations",
        "respond_url": ANSWER,
    }
    assert {name: annotations[name] for name in fields} == fields  # type: ignore[index,call-overload]
    data = json.loads(json.dumps(cloudevents.event(written(burning))["data"]))
    assert data["impact"]["per_day"] == 2160.0
    assert data["examples"] == ["flights/m1/1/43198", "flights/m1/1/43196", "flights/m1/1/43194"]
    (budget,) = data["budgets"]
    assert budget["objective"] == "flights-ok"
    assert (budget["bad"], budget["gone_at"]) == (0.5, "2026-02-04T08:44:24Z")
    assert budget["burn"] == pytest.approx(50)
    (alert,) = data["alerts"]
    assert (alert["n"], alert["budget"]) == (60, budget)
    assert alert["observed"] == burning.observed
    assert alert["interval"] == list(burning.interval or ())


def test_a_route_matches_the_objective(burning: Finding) -> None:
    mine = Route(name="mine", matchers=['slo="flights-ok"'], receiver="mine")
    routes = (Route(name="all", receiver="default", routes=(mine,)),)
    router = Router.of(Declarations(routes=routes, receivers=(Receiver(name="mine", type="log"),)))
    assert [one.receiver for one in router.branches(written(burning).alerts[0].labels)] == ["mine"]


@pytest.mark.parametrize("severity", [Severity.PAGE, Severity.TICKET])
def test_a_page_says_in_words_that_it_has_no_runbook(burning: Finding, severity: Severity) -> None:
    bare = msgspec.structs.replace(OWNER, runbook=None)
    text = written(replace(burning, severity=severity), Declarations(systems=(bare,))).text
    missing = "Runbook: none is declared for delays: add it to its System."
    assert (missing in text.splitlines()) == (severity is Severity.PAGE)
    assert "Owner: operations, contact #ops." in text
    nobody = written(burning, Declarations()).text
    assert "Owner: nobody declared an owner for flights: add a System in watchkeeper.d." in nobody
    assert "Runbook: none is declared for flights: add it to its System." in nobody


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (0.0, "Error budget of flights-ok: spent."),
        (-0.25, "Error budget of flights-ok: spent, and 25 % more than there was."),
        (0.5, "Error budget of flights-ok: 50 % is left, enough for the whole period at this rate."),
    ],
)
def test_a_budget_that_is_gone_or_lasts(burning: Finding, left: float, words: str) -> None:
    assert burning.budget is not None
    found = replace(burning, budget=replace(burning.budget, left=left, gone_at=None))
    assert words in written(found).text.splitlines()


def test_its_end_speaks_of_no_rate_that_goes_on(burning: Finding) -> None:
    at = burning.as_of
    over = replace(burning, as_of=at + timedelta(hours=2), active=False, budget=None)
    incident = None
    for one in (burning, over):
        incident = evaluate(incident, [one], one.as_of, AT_ONCE, lambda _, now=one.as_of: now)[-1].incident
    assert incident is not None
    content = compose("resolved", incident, {burning.key: burning, over.key: over}, WHOLE, LINKS.incident)
    lines = content.text.splitlines()
    assert not [line for line in lines if line.startswith("Burn rate")]
    assert "Error budget of flights-ok: 65 % is left, as of 2026-02-04 00:00 UTC." in lines
    assert "Cost while it lasted: about 2 160 EUR a day (720 bad events a day at 3 EUR each)." in lines


def test_the_objective_names_its_own_fallback(burning: Finding) -> None:
    own = msgspec.structs.replace(PROMISE, fallback=Fallback(name="the timetable"))
    shared = msgspec.structs.replace(OWNER, fallback="call the tower")
    both = Declarations(objectives=(own,), systems=(shared,))
    assert "Fall back on: the timetable" in written(burning, both).text.splitlines()
    assert written(burning, both).fallback == "the timetable"
    assert "Fall back on: call the tower" in written(burning, Declarations(systems=(shared,))).text.splitlines()


def test_the_api_gives_the_budget_of_a_finding(burning: Finding) -> None:
    shown = FindingOut.of(burning).model_dump(mode="json")
    assert shown["labels"] == {"slo": "flights-ok"}
    assert (shown["budget"]["burn_limit"], shown["budget"]["gone_at"]) == (13.44, "2026-02-04T08:44:24Z")

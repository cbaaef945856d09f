"""What stands first: one order for the members of an incident and for every list of incidents."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from alerts.samples import AT_ONCE, LINKS, NOTHING_DECLARED, START, day, finding
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.alerts.incidents.incidents import evaluate
from watchkeeper.alerts.incidents.urgency import SEGMENT, Stake, ranked, stake, subjects, worst_first
from watchkeeper.alerts.messages.message import compose
from watchkeeper.analyzers.registry import discover
from watchkeeper.analyzers.verdict.core import operations, outcomes
from watchkeeper.schemas.findings import ErrorBudget, Evidence, Finding, Impact, Severity, Window
from watchkeeper.store.control.records import Incident, Phase

PAGE, TICKET, NOTICE = Severity.PAGE, Severity.TICKET, Severity.NOTICE
COST = Impact(1951.84, "USD", "measured on 88.5 % of outcomes")


def verdict(subject: str, severity: Severity = TICKET, grade: str = "A", **more: object) -> Finding:
    found = finding(subject, severity=severity, grade=grade, analyzer="verdict.change", metric="strength")
    return replace(found, **({"unit": ""} | more))  # type: ignore[arg-type]


def unseen(**more: object) -> Finding:
    found = finding("carrier", analyzer="data.unseen", grade="B", summary="'JBU' makes 19.6 % of the rows")
    return replace(found, **({"observed": 0.196, "reference": 0.0, "unit": "share"} | more))  # type: ignore[arg-type]


def incident(*found: Finding) -> Incident:
    times = sorted({one.as_of for one in found})
    steps = []
    for at in times:
        last = steps[-1].incident if steps else None
        steps += evaluate(last, [one for one in found if one.as_of == at], at, AT_ONCE, lambda _: times[-1])
    return steps[-1].incident


def keyed(found: Iterable[Finding]) -> dict[str, Finding]:
    return {one.key: one for one in found}


DEMO = (
    verdict("distance", observed=0.0781, reference=0.0812),
    verdict("temp", observed=0.267, reference=0.503, evidence=Evidence("steps", 6346, 1.2e-172, "A")),
    verdict("carrier", observed=0.0, reference=0.16, unit="share"),
    unseen(),
)
"""What the demo's flights hold at its end: all tickets, the seasonal ones proven better than the planted fault."""


def test_what_the_demo_planted_stands_before_its_seasons() -> None:
    flights = incident(*DEMO)
    order = [(member.analyzer, member.subject) for member in ranked(flights.members, keyed(DEMO))]
    assert order[:2] == [("data.unseen", "carrier"), ("verdict.change", "carrier")]
    assert compose("fired", flights, keyed(DEMO), NOTHING_DECLARED, LINKS.incident).what == unseen().summary
    assert subjects(flights.members, keyed(DEMO)) == ["carrier", "temp", "distance"], "the surer of two without a size"


def test_an_open_page_stands_before_it_and_steps_behind_once_it_is_over() -> None:
    page = verdict("calibration", PAGE, "D", observed=0.0357, reference=0.0)
    found = (*DEMO, page)
    assert ranked(incident(*found).members, keyed(found))[0].subject == "calibration"
    over = replace(page, as_of=day(3), active=False)
    later = (*found, *(replace(one, as_of=day(3)) for one in DEMO), over)
    assert ranked(incident(*later).members, keyed(later))[0].subject == "carrier"
    assert ranked(incident(*later).members, keyed(later))[-1].subject == "calibration"


def test_money_goes_before_what_has_none_and_more_of_it_before_less() -> None:
    found = (
        unseen(subjects=("known",), impact=COST),
        unseen(subjects=("dear",), impact=replace(COST, per_day=9000.0), observed=0.01),
        unseen(subjects=("much",), observed=0.9),
    )
    assert [one.subject for one in ranked(incident(*found).members, keyed(found))] == ["dear", "known", "much"]


def test_an_objective_is_as_large_as_what_goes_beyond_it() -> None:
    span = Window(START - timedelta(days=3), START)
    budget = ErrorBudget("first", 0.97, span, 0.087, (0.08, 0.09), 2.9, -0.4)
    burning = finding("attempts", analyzer="slo.burn_rate", grade="C", budget=budget)
    smaller = verdict("attempts", observed=0.05, reference=0.01, unit="share")
    latency = verdict("latency", observed=0.5, reference=0.0)
    found = (latency, smaller, burning)
    assert [one.analyzer for one in ranked(incident(*found).members, keyed(found))] == [
        "slo.burn_rate", "verdict.change", "verdict.change",
    ]  # fmt: skip
    assert ranked(incident(*found).members, keyed(found))[-1].subject == "latency", (
        "5 points and 50 % have no common unit"
    )


def test_notices_are_no_part_of_the_order_and_names_follow_it() -> None:
    found = (
        verdict("weak", grade="B", subjects=("weak", "far", "carrier")),
        verdict("proven", grade="A"),
        verdict("segment:mail", PAGE, "D", subjects=("segment:mail", "strong")),
        replace(verdict("shown"), severity=NOTICE),
    )
    one = incident(*found)
    assert [member.subject for member in ranked(one.members)] == ["segment:mail", "proven", "weak"]
    assert subjects(one.members) == ["segment:mail", "proven", "weak", "strong", "far", "carrier"]


def of(name: str, *found: Finding, state: Phase = Phase.FIRING, **more: object) -> Incident:
    made = incident(*(replace(one, service=name) for one in found))
    return replace(made, state=state, **more)  # type: ignore[arg-type]


def test_incidents_stand_as_the_person_at_the_wall_needs_them() -> None:
    page, ticket = verdict("error", PAGE, "C"), verdict("error", TICKET, "A")
    listed = [
        of("resolved", page, state=Phase.RESOLVED, resolved_at=day(1)),
        of("silenced page", page),
        of("pending page", page, state=Phase.PENDING),
        of("moved ticket", verdict("temp")),
        of("broken ticket", unseen()),
        of("loss ticket", ticket),
        of("dear ticket", replace(ticket, impact=COST, evidence=replace(ticket.evidence, grade="D"))),
        of("taken page", page, acknowledged_at=START, acknowledged_by="ada"),
        of("older page", page),
        of("newer page", page, fired_at=day(1)),
        of("older resolved", page, state=Phase.RESOLVED, opened_at=day(-9), resolved_at=day(2)),
    ]
    found = {
        member.last_key: replace(one, service=made.service)
        for made in listed
        for member in made.members
        for one in (unseen(), replace(ticket, impact=COST if made.service == "dear ticket" else None))
        if one.subject == member.subject
    }
    held = {one.id for one in listed if one.service == "silenced page"}
    wanted = [
        "newer page", "older page", "taken page", "dear ticket", "loss ticket", "broken ticket", "moved ticket",
        "pending page", "silenced page", "resolved", "older resolved",
    ]  # fmt: skip
    assert [one.service for one in worst_first(listed, found, held)] == wanted
    assert [one.service for one in worst_first(reversed(listed), found, held)] == wanted


@given(st.permutations(DEMO))
def test_the_order_does_not_hang_on_who_came_first(found: tuple[Finding, ...]) -> None:
    first = ranked(incident(*DEMO).members, keyed(DEMO))
    assert ranked(incident(*found).members, keyed(found)) == first


def test_every_loss_of_the_verdict_is_known_as_one() -> None:
    sources = "".join(Path(str(one.__file__)).read_text(encoding="utf-8") for one in (operations, outcomes))
    named = set(re.findall(r'Channel\("[a-z ]+", ("?\w+"?), Family\.(?:QUALITY|OPERATION)', sources))
    losses = {operations.TAIL if one == "TAIL" else one.strip('"') for one in named}
    assert {"error", "calibration", "latency", "latency_p99", "ok"} <= losses
    assert {stake("verdict.change", one) for one in (*losses, f"{SEGMENT}mail")} == {Stake.LOSS}


@pytest.mark.parametrize("analyzer", sorted(discover()))
def test_every_analyzer_has_a_stake(analyzer: str) -> None:
    at_stake = stake(analyzer, "x")
    if analyzer.startswith(("quality.", "slo.", "cost.", "gpu.", "impact.")) or analyzer == "data.checks":
        assert at_stake is Stake.LOSS
    elif analyzer.startswith("data."):
        assert at_stake is Stake.BROKEN
    else:
        assert at_stake is Stake.MOVED

from __future__ import annotations

from dataclasses import replace

import pytest
from alerts.samples import AT_ONCE, LINKS, OWNED, START, day, finding
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.alerts.incidents.incidents import evaluate
from watchkeeper.alerts.messages.message import Content, compose
from watchkeeper.alerts.messages.notification import Transition
from watchkeeper.alerts.routing.labels import RECEIVED
from watchkeeper.schemas.declared import Declarations, ValueModel
from watchkeeper.schemas.findings import DataState, Evidence, Finding, Impact, Severity
from watchkeeper.store.control.records import Incident

NOTHING = Declarations()


def incident_of(*found: Finding) -> Incident:
    incident: Incident | None = None
    for at in sorted({one.as_of for one in found}):
        steps = evaluate(incident, [one for one in found if one.as_of == at], at, AT_ONCE, lambda _, at=at: at)
        incident = steps[-1].incident
    assert incident is not None
    return incident


def said(
    *found: Finding,
    declared: Declarations = NOTHING,
    transition: Transition = "fired",
    new: tuple[str, ...] = (),
    last_change: str | None = None,
) -> Content:
    known = {one.key: one for one in found}
    incident = incident_of(*found)
    return compose(transition, incident, known, declared, LINKS.incident, new=new, last_change=last_change)


def test_the_whole_text() -> None:
    found = [
        finding(
            severity=Severity.PAGE,
            second=("segment:UA",),
            at=day(0.125),
            since=START,
            impact=Impact(1234.5, "EUR", "41 late bookings a day at 30 EUR"),
            maturity=0.73,
            examples=("fl-1", "fl-2"),
        ),
        finding("latency", metric="p95", at=day(0.125), effect=1.0, examples=("fl-2", "fl-3", "fl-4")),
    ]
    content = said(*found, declared=Declarations(systems=(OWNED,)), last_change="deploy 2.3 at 09:12 UTC")
    incident = incident_of(*found)
    assert content.text.splitlines() == [
        "PAGE delays: 31 % of carrier values were never seen before",
        f"Service delays, model arrival, incident {incident.id}.",
        "Since 2026-02-28 13:00 UTC, noticed 2026-03-01 13:00 UTC (1 day later).",
        "Look first at: carrier, latency, segment:UA.",
        (
            "- PAGE carrier: 31 % of carrier values were never seen before. Measured: 31 % (most likely between 28 % "
            "and 34 %), expected 2 %. How sure: 3 120 rows, chi-squared test: by chance less than once in 24 000 times "
            "(corrected p = 4.1e-05), grade B; 73 % of the outcomes are known."
        ),
        (
            "- TICKET latency: 31 % of latency values were never seen before. Measured: 31 % (most likely between 28 % "
            "and 34 %), expected 2 %. How sure: 3 120 rows, chi-squared test: by chance less than once in 24 000 times "
            "(corrected p = 4.1e-05), grade B."
        ),
        "For example predictions fl-1, fl-2, fl-3: the evidence page tells the story of each.",
        "Cost: about 1 234 EUR a day (41 late bookings a day at 30 EUR).",
        "Changed before: deploy 2.3 at 09:12 UTC (a candidate, no proof).",
        "Owner: operations, contact #ops-oncall.",
        "Runbook: https://runbooks.example/delays",
        "Fall back on: timetable averages",
        f"Evidence: http://127.0.0.1:8091/incident?id={incident.id}",
    ]
    assert (content.owner, content.contact, content.runbook, content.fallback) == (
        "operations",
        "#ops-oncall",
        "https://runbooks.example/delays",
        "timetable averages",
    )
    assert content.impact == found[0].impact
    assert content.subjects == ("carrier", "latency", "segment:UA")


def test_what_is_not_known_is_said() -> None:
    text = said(finding()).text
    assert "Cost: not known: no value model is declared." in text
    assert "Owner: nobody declared an owner for delays: add a System in watchkeeper.d." in text
    value = ValueModel(name="v", service="delays", currency="EUR", values={"wrong": -30.0})
    assert (
        "Cost: not known: the value model does not cover what was found."
        in said(finding(), declared=Declarations(values=(value,))).text
    )


def test_costs_of_one_incident_are_not_added_up() -> None:
    """Two findings of one incident see the same bad answers: their sum would count these twice."""
    found = [finding(impact=Impact(100, "EUR", "a")), finding("origin", impact=Impact(300, "EUR", "b"))]
    assert said(*found).cost == "about 300 EUR a day (b)"


def test_a_rule_without_a_test_claims_no_chance() -> None:
    ruled = replace(finding(), evidence=Evidence("more than 5 nulls", 1))
    assert "How sure: 1 row, by rule (more than 5 nulls), grade C." in said(ruled).text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (DataState.ABSENT, "Data: no data arrive: nobody can see whether it goes on."),
        (DataState.STALE, "Data: the data are old: what is said may be over, or worse."),
        (DataState.PARTIAL, "Data: a part of the data is missing."),
        (DataState.EVALUATOR_ERROR, "Data: the analyzer failed: nobody can see whether it goes on."),
    ],
)
def test_poor_data_are_said(state: DataState, words: str) -> None:
    assert words in said(finding(data_state=state)).text.splitlines()


def test_an_update_speaks_of_what_is_new() -> None:
    old, new = finding(severity=Severity.PAGE), finding("origin", at=day(1))
    content = said(old, new, transition="updated", new=(new.fingerprint,))
    assert content.title == "TICKET (update) delays: 31 % of origin values were never seen before"
    assert content.severity is Severity.TICKET
    assert content.text.splitlines()[3] == "Look first at: origin, carrier."
    assert content.text.splitlines()[4].startswith("- TICKET origin")


def test_it_began_when_the_first_finding_says_however_long_it_goes_on() -> None:
    first, latest = finding(), finding(at=day(5))
    assert "Since 2026-02-28 10:00 UTC, noticed 2026-03-01 10:00 UTC (1 day later)." in said(first, latest).text


def test_the_end() -> None:
    found = [finding(), finding(at=day(2), active=False)]
    content = said(*found, transition="resolved")
    assert content.title == "RESOLVED delays: 31 % of carrier values were never seen before"
    lines = content.text.splitlines()
    assert lines[2].endswith("Over since 2026-03-03 10:00 UTC, after 3 days.")
    assert lines[3] == "It was about: carrier."
    assert "Last measured: 31 % (most likely between 28 % and 34 %), expected 2 %." in lines[4]
    assert lines[5] == "Cost while it lasted: not known: no value model is declared."


def test_what_no_longer_holds_is_said_so_and_no_word_of_the_title_is_cut_in_two() -> None:
    long = "carrier of flight-delay: 'JBU' makes 16.3 % of rows for over 28 days and was never seen in the reference"
    quiet = (finding("origin"), finding("origin", at=day(1), active=False))
    content = said(finding(severity=Severity.PAGE, summary=long, at=day(1)), *quiet)
    assert content.title.endswith("of rows for over 28 days and was never seen in the…")
    assert "- TICKET origin (no longer): 31 % of origin values were never seen before. Last measured: " in content.text


def test_the_end_of_a_page_asks_for_no_runbook() -> None:
    found = [finding(severity=Severity.PAGE), finding(at=day(2), active=False, severity=Severity.PAGE)]
    assert "Runbook: none" not in said(*found, transition="resolved").text
    assert "Runbook: none" in said(found[0]).text


def test_the_silence_of_a_service_names_no_model_and_says_how_long() -> None:
    silent = replace(finding(model=""), observed=7500.0, interval=None, reference=900.0, unit="s")
    text = said(silent).text
    assert text.splitlines()[1].startswith("Service delays, incident ")
    assert "Measured: 2 hours, expected 15 minutes." in text


def test_an_alert_of_another_system_claims_no_measurement_of_ours() -> None:
    foreign = replace(finding(analyzer=RECEIVED), observed=1.0, evidence=Evidence("alert of another system", 1))
    (line,) = [line for line in said(foreign).text.splitlines() if line.startswith("- ")]
    assert line.endswith("were never seen before. Told by another system, which measured it.")


def test_many_findings_are_counted_not_listed() -> None:
    text = said(*(finding(f"feature {number}") for number in range(12))).text
    assert text.count("\n- TICKET") == 5
    assert "\n- and 7 more, see the evidence\n" in text


ANY = st.text(min_size=1, max_size=200)


@settings(deadline=None)
@given(service=ANY, subject=ANY, summary=st.text(max_size=1000), severity=st.sampled_from(["page", "ticket"]))
def test_the_first_line_is_short_and_nobody_fakes_a_line(
    service: str, subject: str, summary: str, severity: str
) -> None:
    found = finding(subject, service=service, severity=Severity(severity), summary=summary)
    content = said(found)
    assert len(content.title) <= 110
    assert content.title.startswith(severity.upper())
    assert content.title.isprintable()
    kinds = [line.split(" ", 1)[0] for line in content.text.splitlines()[1:]]
    runbook = ["Runbook:"] if severity == "page" else []
    assert kinds == ["Service", "Since", "Look", "-", "Cost:", "Owner:", *runbook, "Evidence:"]

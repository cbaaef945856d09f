"""The sentence at the top is true, and what is not known is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from dashboard.made_numbers import ONSET
from dashboard.world import NOW

from watchkeeper.dashboard import asked, judged, rows, summary, verdict
from watchkeeper.dashboard.client import Client

Ask = Callable[[str], Client]


@pytest.fixture
def degraded(ask: Ask) -> tuple[asked.Head, asked.Fleet]:
    client = ask("degraded")
    return asked.head(client), asked.fleet(client, NOW)


@pytest.fixture
def healthy(ask: Ask) -> tuple[asked.Head, asked.Fleet]:
    client = ask("healthy")
    return asked.head(client), asked.fleet(client, NOW)


def test_the_worst_incident_is_the_sentence(degraded: tuple[asked.Head, asked.Fleet]) -> None:
    said = verdict.fleet(degraded[0], None)
    assert said.word == "Act now"
    assert said.tone == "orange"
    assert said.sentence.startswith("carrier of **flight\\-delay**\\: 'JBU' makes 16 %")
    assert said.facts.startswith("since Wed 04:50 UTC · noticed 5")
    assert "costs about $1" in said.facts
    assert said.facts.endswith("1 more incident open")
    assert said.incident is not None
    assert said.incident.id == "inc-7f3a"


def test_a_calm_fleet_says_so_and_what_it_rests_on(healthy: tuple[asked.Head, asked.Fleet]) -> None:
    head, numbers = healthy
    said = verdict.fleet(head, numbers)
    assert (said.word, said.tone) == ("Healthy", "gray")
    assert said.sentence == "5 of 6 services have objectives and keep them; nothing unusual in the last 7 days."
    lines = verdict.not_known(head, numbers)
    assert lines[0] == "what is good enough for vision-qc (no objective)"
    assert "how often demand-forecast is right (too few outcomes)" in lines
    assert lines[-1] == "162 events that clients had to drop"


def test_all_keep_their_objectives_only_if_all_have_one(healthy: tuple[asked.Head, asked.Fleet]) -> None:
    head, numbers = healthy
    extra = rows.Objective(name="x", service="vision-qc", sli=rows.Sli(measure="errors"), target=0.9, days=28)
    everyone = msgspec.structs.replace(head.declared, objectives=(*head.declared.objectives, extra))
    said = verdict.fleet(replace(head, declared=everyone), numbers)
    assert said.sentence == "All 6 services keep their objectives; nothing unusual in the last 7 days."
    nobody = msgspec.structs.replace(head.declared, objectives=())
    said = verdict.fleet(replace(head, declared=nobody), numbers)
    assert (said.word, "No objective is declared" in said.sentence) == ("Quiet", True)


def test_a_spent_budget_is_no_kept_objective(healthy: tuple[asked.Head, asked.Fleet]) -> None:
    head, numbers = healthy
    spent = msgspec.structs.replace(numbers.budgets[-1], value=-0.1, window_end=NOW + timedelta(hours=1))
    said = verdict.fleet(head, replace(numbers, budgets=(*numbers.budgets, spent)))
    assert (said.word, said.tone) == ("Over budget", "orange")
    assert "demand\\-forecast" in said.sentence


def test_drift_worth_a_notice_is_not_nothing_unusual(healthy: tuple[asked.Head, asked.Fleet]) -> None:
    head, numbers = healthy
    moved = msgspec.structs.replace(numbers.drift[-1], value=0.5, window_end=NOW)
    said = verdict.fleet(head, replace(numbers, drift=(*numbers.drift, moved)))
    assert said.sentence.endswith("no incident in the last 7 days.")
    assert "PSI 0.50" in said.facts
    assert said.tone == "gray"


def test_an_incident_that_is_over_is_not_nothing(healthy: tuple[asked.Head, asked.Fleet]) -> None:
    head, numbers = healthy
    over = rows.Incident(
        id="x", service="vision-qc", opened_at=NOW - timedelta(days=2), resolved_at=NOW, state="resolved"
    )
    said = verdict.fleet(replace(head, lately=(over,)), numbers)
    assert said.sentence.endswith("nothing wrong now, 1 incident in the last 7 days.")


def test_models_are_listed_worst_first_with_what_is_known(degraded: tuple[asked.Head, asked.Fleet]) -> None:
    models = summary.models(*degraded)
    assert [model.state for model in models] == ["Act now", "Degrading", "Healthy", "Healthy", "Healthy", "Quiet"]
    flights, assistant = models[0], models[1]
    assert flights.drifted
    assert not flights.slow
    assert flights.per_thousand is None
    assert flights.error is not None
    assert flights.error.maturity == pytest.approx(0.46, abs=0.01)
    assert assistant.slow
    assert not assistant.drifted
    assert assistant.budget == pytest.approx(0.19, abs=0.02)
    assert models[2].budget < models[3].budget < models[4].budget
    assert models[-1].limit is None


def test_cost_falls_back_on_the_declared_prices(degraded: tuple[asked.Head, asked.Fleet]) -> None:
    head, numbers = degraded
    sent = summary.fleet_cost(summary.models(head, numbers))[0]
    assert sent is not None
    unsent = tuple(msgspec.structs.replace(row, cost=None) for row in numbers.week)
    traffic = tuple(msgspec.structs.replace(row, cost=None) for row in numbers.traffic)
    read = tuple(
        rows.Reading(metric="cost_per_request", service="fraud-score", model="gbm-2026-09", subject="cost",
                     window_end=NOW - timedelta(days=n), value=0.002 + n / 1000)
        for n in range(7)
    )  # fmt: skip
    cost, course = summary.fleet_cost(summary.models(head, replace(numbers, week=unsent, traffic=traffic, costs=read)))
    assert cost == pytest.approx(2.0)
    assert course == pytest.approx([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0])
    assert summary.fleet_cost([]) == (None, [])


def test_completeness_names_what_is_missing(degraded: tuple[asked.Head, asked.Fleet]) -> None:
    status = degraded[0].status
    assert verdict.completeness(status) == "data complete to 08:59 UTC (99.98\u2009% of what was sent)"
    unknown = msgspec.structs.replace(status, completeness=None, evaluated_to=NOW - timedelta(days=4))
    assert verdict.completeness(unknown) == (
        "data complete to 08:59 UTC (how much was sent is not known) · analyzed to Tue 09:00"
    )
    never = msgspec.structs.replace(status, complete_to=None)
    assert verdict.completeness(never) == "how complete the data are is not known"


def test_how_sure_is_said_in_words() -> None:
    proof = rows.Proof(test="beta-binomial", n=910, p_value=2e-5, grade="B")
    finding = rows.Finding(metric="unseen_share", evidence=proof, maturity=0.73)
    assert verdict.how_sure(finding) == (
        "Grade B, beta-binomial: by chance once in 50\u2009k times, 910 rows, 73\u2009% of outcomes known"
    )
    ruled = rows.Finding(metric="psi", evidence=rows.Proof(test="PSI", grade="C"))
    assert verdict.how_sure(ruled) == "Grade C, by rule (PSI)"


def test_usefulness_counts_only_what_was_judged() -> None:
    def quality(**counts: int) -> judged.AnalyzerQuality:
        return judged.AnalyzerQuality(analyzer="a", **counts)

    assert verdict.usefulness([]) == "no alert was ever sent"
    assert "nobody has yet said" in verdict.usefulness([quality(fired=3)])
    words = verdict.usefulness([quality(fired=5, acted_on=3, noise=1), quality(fired=2, wrong_threshold=1)])
    assert words == "3 of 5 judged alerts were acted on (7 alerts in all)"


def test_an_incident_began_when_its_findings_say(degraded: tuple[asked.Head, asked.Fleet]) -> None:
    story = degraded[0].worst
    assert story is not None
    assert story.began == degraded[0].incidents[0].began == ONSET, "the list says the same as the evidence"
    assert story.opened_at > ONSET
    old = msgspec.structs.replace(story, onset=None)
    assert old.began == old.opened_at


def test_the_times_of_an_incident_that_is_over(degraded: tuple[asked.Head, asked.Fleet]) -> None:
    over = msgspec.structs.replace(degraded[0].incidents[0], state="resolved", resolved_at=ONSET + timedelta(days=2))
    assert verdict.times(over, NOW) == ["Wed 04:50 UTC for 2.0\u2009days", "noticed 5\u2009h later"]


def test_trouble_is_what_still_holds(degraded: tuple[asked.Head, asked.Fleet]) -> None:
    head = degraded[0]
    assert head.worst is not None
    assert verdict.troubled(head.incidents, None) == {"carrier", "error", "cost", "latency"}
    findings = (*head.worst.findings[:1], msgspec.structs.replace(head.worst.findings[1], active=False))
    story = msgspec.structs.replace(head.worst, findings=findings)
    assert verdict.troubled(head.incidents, story) == {"carrier", "cost", "latency"}

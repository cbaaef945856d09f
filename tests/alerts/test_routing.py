"""Trees of routes, groups and their timers, inhibition, silences, escalation: with a clock that is moved."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from alerts.samples import LINKS, START, finding

from watchkeeper.alerts.incidents.feedback import acknowledge
from watchkeeper.alerts.incidents.intake import no_change_known, record
from watchkeeper.alerts.incidents.rounds import Rounds
from watchkeeper.alerts.routing.dispatch import flush_due
from watchkeeper.alerts.routing.routing import Router, check_routes
from watchkeeper.schemas.declared import Declarations, parse
from watchkeeper.schemas.findings import DataState, Finding, Severity
from watchkeeper.schemas.matchers import read_matchers
from watchkeeper.store.control import declared, groups, incidents, maintenance, outbox, silences
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Phase


def declarations(*documents: tuple[str, str, dict[str, Any]]) -> Declarations:
    known, problems = declared.collect(
        [
            parse({"apiVersion": "watchkeeper/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}, name)
            for kind, name, spec in documents
        ]
    )
    assert problems == []
    return known


def receivers(*names: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [("Receiver", name, {"type": "webhook", "url": f"http://127.0.0.1:1/{name}"}) for name in names]


@dataclass
class Play:
    """One control database and a clock that only this test moves; rounds run every second that matters."""

    control: Control
    declared: Declarations
    now: datetime = START
    step: timedelta = timedelta(seconds=5)
    wanted: dict[str, Finding] = field(default_factory=dict)

    def find(self, *found: Finding) -> None:
        record(self.control, found, self.declared, self.now, LINKS, waits=True)

    def wait(self, seconds: float) -> None:
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now = min(end, self.now + self.step)
            flush_due(self.control, self.declared, self.now, LINKS)

    def texts(self) -> list[str]:
        """Give the text of every message, in order."""
        with self.control.snapshot() as tx:
            every = incidents.listed(tx, states=tuple(Phase), limit=None)
            found = [message for one in every for message in outbox.of_incident(tx, one.id)]
        return [str(one.payload["text"]) for one in sorted(found, key=lambda one: one.created_at)]

    def told(self) -> list[tuple[str, str, float]]:
        """Give receiver, reason and second of every message, in order."""
        with self.control.snapshot() as tx:
            every = incidents.listed(tx, states=tuple(Phase), limit=None)
            rows = {m.key: m for one in every for m in outbox.of_incident(tx, one.id)}
        return [
            (m.receiver, str(m.payload["reason"]), (m.created_at - START).total_seconds())
            for m in sorted(rows.values(), key=lambda m: (m.created_at, m.receiver))
        ]

    def incident(self) -> str:
        with self.control.snapshot() as tx:
            return incidents.listed(tx)[0].id


def tree(**spec: Any) -> tuple[str, str, dict[str, Any]]:
    return "Route", "all", {"receiver": "team", **spec}


PAGER = {"matchers": ['severity="page"'], "receiver": "pager"}
TEAM = receivers("team", "pager", "boss")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"severity": "ticket", "service": "chat"}, ["all"]),
        ({"severity": "page", "service": "chat"}, ["all/pages"]),
        ({"severity": "page", "service": "pay-eu"}, ["all/audit", 'all/pages/{service=~"pay.*"}']),
        ({"severity": "ticket", "service": "pay-eu"}, ["all/audit"]),
    ],
)
def test_an_alert_goes_to_the_deepest_branch_that_matches(labels: dict[str, str], expected: list[str]) -> None:
    routes = [
        {"name": "audit", "matchers": ["service=~pay.*"], "receiver": "boss", "continue": True},
        {
            "name": "pages",
            "match": {"severity": "page"},
            "receiver": "pager",
            "group_by": ["service"],
            "routes": [{"matchers": ["service=~pay.*"], "group_wait": "1s"}],
        },
    ]
    known = declarations(*TEAM, tree(routes=routes))
    assert check_routes(known) == []
    found = Router.of(known).branches(labels)
    assert [branch.path for branch in found] == expected
    if len(found) == 2 and found[1].receiver == "pager":
        assert (found[1].group_by, found[1].group_wait) == (("service",), timedelta(seconds=1)), "inherited, own"


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"receiver": None}, "its top needs a receiver"),
        ({"matchers": ["severity"]}, "is no matcher"),
        ({"routes": [{"matchers": ["a=~("]}]}, "no regular expression"),
        ({"group_wait": "soon"}, "group_wait: 'soon'"),
        ({"routes": [{"receiver": "nobody"}]}, "there is no Receiver 'nobody'"),
        ({"mute_time_intervals": ["night"]}, "there is no TimeInterval 'night'"),
        ({"escalate": {"after": "5m", "receiver": "nobody"}}, "there is no Receiver 'nobody' to escalate to"),
    ],
)
def test_what_cannot_be_routed_is_said_before(spec: dict[str, Any], problem: str) -> None:
    (found,) = check_routes(declarations(*TEAM, tree(**spec)))
    assert found.startswith("Route all: ")
    assert problem in found


def test_a_group_is_told_once_after_its_wait_and_again_after_its_interval(control: Control) -> None:
    play = Play(control, declarations(*TEAM, tree(group_by=["service"], group_wait="30s", group_interval="5m")))
    play.find(finding(), finding(model="departure"), finding("origin"))
    play.wait(20)
    play.find(finding("latency", at=play.now))
    play.wait(100)
    assert play.told() == [("team", "fired", 30.0)]
    play.find(finding("late", at=play.now))
    play.wait(600)
    assert play.told()[1:] == [("team", "updated", 330.0)]


def test_one_message_tells_of_all_incidents_of_its_group(control: Control) -> None:
    play = Play(control, declarations(*TEAM, tree(group_by=["service"])))
    play.find(finding(), finding(model="departure", severity=Severity.PAGE))
    play.wait(10)
    with control.snapshot() as tx:
        both = [outbox.of_incident(tx, one.id) for one in incidents.listed(tx)]
    assert both[0] == both[1]
    payload = both[0][0].payload
    assert payload["title"] == "PAGE 2 incidents of service delays"
    first, second = str(payload["text"]).splitlines()[1:3]
    assert first.startswith("- PAGE delays: 31 % of carrier values were never seen before. Model departure. Evidence: ")
    assert second.startswith(
        "- TICKET delays: 31 % of carrier values were never seen before. Model arrival. Evidence: "
    )
    assert payload["group_key"] == 'all:{service="delays"}'
    assert len(payload["alerts"]) == 2  # type: ignore[arg-type]


def test_a_page_does_not_wait_behind_a_ticket(control: Control) -> None:
    play = Play(control, declarations(*TEAM, tree(group_interval="1h")))
    play.find(finding())
    play.wait(60)
    play.find(finding("latency", at=play.now, severity=Severity.PAGE))
    play.wait(60)
    assert play.told() == [("team", "fired", 10.0), ("team", "updated", 70.0)]


def test_pages_are_repeated_until_someone_acknowledges(control: Control) -> None:
    play = Play(control, declarations(*TEAM, tree(repeat_interval="1h")), step=timedelta(seconds=30))
    play.find(finding(severity=Severity.PAGE))
    play.wait(2.5 * 3600)
    assert [reason for _, reason, _ in play.told()] == ["fired", "repeat", "repeat"]
    assert play.texts()[1].splitlines()[:2] == [
        "PAGE (again) delays: 31 % of carrier values were never seen before",
        "Told again: nobody acknowledged it since it was told first, 2026-03-01 10:00 UTC.",
    ]
    acknowledge(control, play.incident(), "ada", play.now)
    play.wait(3 * 3600)
    assert len(play.told()) == 3


@pytest.mark.parametrize("acknowledged", [False, True])
def test_who_comes_next_is_told_where_nobody_acknowledges(control: Control, acknowledged: bool) -> None:
    play = Play(control, declarations(*TEAM, tree(escalate={"after": "15m", "receiver": "boss"})))
    play.find(finding(severity=Severity.PAGE))
    play.wait(600)
    if acknowledged:
        acknowledge(control, play.incident(), "ada", play.now)
    play.wait(1200)
    assert play.told()[1:] == ([] if acknowledged else [("boss", "escalated", 910.0)])
    if not acknowledged:
        why = "Passed on to you: nobody acknowledged it since it was told first, 2026-03-01 10:00 UTC."
        assert play.texts()[1].splitlines()[1] == why
    play.find(finding(at=play.now, active=False))
    play.now += timedelta(hours=2)
    play.find()
    play.wait(10)
    ends = [receiver for receiver, reason, _ in play.told() if reason == "resolved"]
    assert ends == (["team"] if acknowledged else ["boss", "team"]), "whoever was told hears the end"


def silence(play: Play, written: str, seconds: float) -> str:
    with play.control.transaction() as tx:
        wish = silences.Wish(read_matchers([written]), play.now, play.now + timedelta(seconds=seconds), "ada", "known")
        groups.look_again(tx, play.now)
        return silences.put(tx, wish, play.now).id


def test_a_silence_that_ends_while_it_still_fires_leads_to_a_message(control: Control) -> None:
    play = Play(control, declarations(*TEAM, tree()))
    silence(play, 'service="delays"', 1000)
    play.find(finding(), finding(service="chat"))
    play.wait(990)
    assert play.told() == [("team", "fired", 10.0)], "chat alone"
    play.wait(30)
    assert play.told()[1:] == [("team", "fired", 1000.0)]


def test_what_was_told_before_a_silence_is_told_again_after_it(control: Control) -> None:
    play = Play(control, declarations(*TEAM, tree()))
    play.find(finding())
    play.wait(60)
    silence(play, 'service="delays"', 600)
    play.wait(590)
    assert len(play.told()) == 1
    play.wait(60)
    assert play.told()[1:] == [("team", "updated", 660.0)]


def test_what_ends_in_silence_is_told_to_nobody_and_its_timeline_says_why(control: Control) -> None:
    play = Play(control, declarations(*TEAM, tree()))
    silence(play, 'alertname=~"drift/.*"', 100_000)
    play.find(finding(severity=Severity.PAGE))
    incident = play.incident()
    play.wait(60)
    play.find(finding(at=play.now, active=False))
    play.now += timedelta(hours=2)
    play.find()
    play.wait(600)
    assert play.told() == []
    with control.snapshot() as tx:
        (held,) = [event for event in incidents.timeline(tx, incident) if event.kind == "held"]
        assert groups.listed(tx) == []
    assert held.detail["reason"] == "silenced by ada: known"


def test_maintenance_keeps_back_until_its_end(control: Control) -> None:
    play = Play(control, declarations(*TEAM, tree()))
    with control.transaction() as tx:
        work = read_matchers(['service="delays"'])
        maintenance.add(tx, work, START, START + timedelta(minutes=10), "ada", "disks", START)
    play.find(finding())
    play.wait(1200)
    assert play.told() == [("team", "fired", 600.0)]


def test_a_declared_inhibition_holds_as_long_as_its_source_fires(control: Control) -> None:
    rule = {"source_matchers": ["class=slo"], "target_matchers": ["class=cost"], "equal": ["service"]}
    play = Play(control, declarations(*TEAM, tree(group_by=["service", "class"]), ("Inhibition", "why", rule)))
    slow = finding("latency", analyzer="slo.burn_rate", severity=Severity.PAGE)
    dear = finding("cost", analyzer="cost.per_request", model="other")
    elsewhere = finding("cost", analyzer="cost.per_request", service="chat")
    play.find(slow, dear, elsewhere)
    play.wait(600)
    assert sorted(at for _, _, at in play.told()) == [10.0, 10.0], "the page, and the cost of another service"
    play.find(finding("latency", analyzer="slo.burn_rate", severity=Severity.PAGE, at=play.now, active=False))
    play.now += timedelta(hours=2)
    play.find()
    play.wait(120)
    assert sorted(reason for _, reason, at in play.told() if at > 600) == ["fired", "resolved"]


@pytest.mark.parametrize(("severity", "held"), [(Severity.TICKET, True), (Severity.PAGE, False)])
def test_broken_telemetry_keeps_back_what_rests_on_it_but_no_page(
    control: Control, severity: Severity, held: bool
) -> None:
    play = Play(control, declarations(*TEAM, tree(group_by=["class"])))
    silent = finding("everywhere", analyzer="data.telemetry", model="", data_state=DataState.ABSENT)
    play.find(silent, finding(severity=severity), finding("idle", analyzer="gpu.idle", model="gpu"))
    play.wait(60)
    with control.snapshot() as tx:
        drifting = next(one for one in incidents.listed(tx) if one.model == "arrival")
        told = outbox.of_incident(tx, drifting.id)
    assert len(play.told()) == (2 if held else 3)
    assert (told == []) is held


NIGHT = {"time_intervals": [{"times": [{"start_time": "10:00", "end_time": "12:00"}], "location": "Etc/GMT"}]}


def test_what_is_muted_is_told_when_the_interval_is_over(control: Control) -> None:
    spec = tree(mute_time_intervals=["night"])
    play = Play(control, declarations(*TEAM, spec, ("TimeInterval", "night", NIGHT)), step=timedelta(seconds=30))
    play.find(finding())
    play.wait(3 * 3600)
    ((_, _, at),) = play.told()
    assert 7200 <= at <= 7260


def test_what_comes_and_goes_within_the_wait_is_told_once(control: Control) -> None:
    play = Play(
        control,
        declarations(*TEAM, tree(group_wait="10m"), ("Monitor", "m", {"analyzer": "drift", "keepFiringFor": "1s"})),
    )
    play.find(finding())
    play.wait(60)
    play.find(finding(at=play.now, active=False))
    play.wait(1000)
    assert [reason for _, reason, _ in play.told()] == ["resolved"]


def test_flapping_for_two_hours_is_two_messages_at_most(control: Control) -> None:
    """90 s on, 90 s off: the incident outlives each pause."""
    play = Play(control, declarations(*TEAM, tree()), step=timedelta(seconds=30))
    for turn in range(80):
        play.find(finding(at=play.now, active=turn % 2 == 0, severity=Severity.PAGE))
        play.wait(90)
    assert [reason for _, reason, _ in play.told()] == ["fired"]
    play.find(finding(at=play.now, active=False, severity=Severity.PAGE))
    play.wait(2 * 3600)
    play.find()
    play.wait(600)
    assert [reason for _, reason, _ in play.told()] == ["fired", "resolved"]


def test_a_condition_must_hold_for_as_long_as_is_declared_also_over_a_restart(control: Control) -> None:
    monitor = ("Monitor", "m", {"analyzer": "drift", "for": "10m"})
    play = Play(control, declarations(*TEAM, tree(group_wait="1s"), monitor))
    play.find(finding())
    play.wait(300)
    again = Play(control, play.declared, play.now)  # nothing but what is stored is known here
    again.find(finding(at=again.now))
    again.wait(290)
    again.find()
    again.wait(5)
    assert again.told() == []
    again.wait(5)
    again.find()
    again.wait(5)
    assert again.told() == [("team", "fired", 605.0)], "looked at every five seconds here"


def test_a_pause_starts_the_time_that_a_condition_must_hold_anew(control: Control) -> None:
    monitor = ("Monitor", "m", {"analyzer": "drift", "for": "10m"})
    play = Play(control, declarations(*TEAM, tree(group_wait="1s"), monitor))
    for active in (True, False, True, True):
        play.find(finding(at=play.now, active=active))
        play.wait(240)
    play.find()
    assert play.told() == []
    play.wait(300)
    play.find()
    play.wait(5)
    assert len(play.told()) == 1


def test_timers_are_rows(control: Control) -> None:
    """Whoever looks next, after a kill say, tells what was due; nothing was in memory."""
    play = Play(control, declarations(*TEAM, tree(escalate={"after": "15m", "receiver": "boss"})))
    play.find(finding(severity=Severity.PAGE))
    late = Play(control, play.declared, START + timedelta(hours=1))
    late.wait(5)
    later = Play(control, play.declared, START + timedelta(hours=2))
    later.wait(5)
    assert [(receiver, reason) for receiver, reason, _ in later.told()] == [("team", "fired"), ("boss", "escalated")]


def test_a_replay_repeats_nothing_however_far_its_clock_is_ahead(control: Control) -> None:
    play = Play(control, declarations(*receivers("team"), tree()))
    record(
        control, [finding("a", severity=Severity.PAGE)], play.declared, START + timedelta(hours=1), LINKS, waits=False
    )
    told = play.told()
    assert len(told) == 1
    replay = Rounds(control, lambda: play.declared, LINKS, no_change_known, waits=False)
    assert replay.run_once(START + timedelta(days=90)) == 0
    assert play.told() == told
    assert Rounds(control, lambda: play.declared, LINKS, no_change_known).run_once(START + timedelta(days=90)) == 1

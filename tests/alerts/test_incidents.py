"""The state machine: a table of stories, then properties over random ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from alerts.samples import AT_ONCE, START, day, finding
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.alerts.incidents.incidents import Step, Timing, advance, evaluate, settle
from watchkeeper.schemas.findings import DataState, Finding, Severity
from watchkeeper.store.control.records import Incident, Member, Phase

PAGE, TICKET, NOTICE = Severity.PAGE, Severity.TICKET, Severity.NOTICE
TIMING = AT_ONCE


def run(
    days: dict[float, list[Finding]], timing: Timing = TIMING, marks: dict[str, datetime] | None = None
) -> list[Step]:
    """Evaluate at each of these days."""
    steps: list[Step] = []
    for number, found in sorted(days.items()):
        now = day(number)

        def evaluated(member: Member, now: datetime = now) -> datetime:
            return (marks or {}).get(member.analyzer, now)

        last = steps[-1].incident if steps else None
        steps += evaluate(last, found, now, timing, evaluated)
    return steps


def kinds(steps: list[Step]) -> list[str]:
    return [step.kind for step in steps]


def told(steps: list[Step]) -> list[str]:
    return [step.kind for step in steps if step.tell]


def f(number: float, subject: str = "carrier", severity: Severity = TICKET, **more: object) -> Finding:
    return finding(subject, at=day(number), severity=severity, **more)  # type: ignore[arg-type]


STORIES: dict[str, tuple[dict[float, list[Finding]], list[str]]] = {
    "a ticket fires and resolves when told so": (
        {0: [f(0)], 1: [f(1, active=False)]},
        ["opened", "fired", "quiet", "resolved"],
    ),
    "a page too": ({0: [f(0, severity=PAGE)]}, ["opened", "fired"]),
    "a notice opens nothing": ({0: [f(0, severity=NOTICE)]}, []),
    "an inactive finding opens nothing": ({0: [f(0, active=False)]}, []),
    "the same again is no news": ({0: [f(0)], 1: [f(1)], 2: [f(2)]}, ["opened", "fired", "seen", "seen"]),
    "another subject is told": (
        {0: [f(0)], 1: [f(1, "origin")]},
        ["opened", "fired", "joined", "updated"],
    ),
    "another measure of a told subject is not": (
        {0: [f(0)], 1: [f(1, metric="psi")]},
        ["opened", "fired", "joined"],
    ),
    "two at once are told once": (
        {0: [f(0), f(0, "origin"), f(0, "latency", PAGE)]},
        ["opened", "joined", "joined", "fired"],
    ),
    "a known one that becomes a page is told": (
        {0: [f(0)], 1: [f(1, severity=PAGE)], 2: [f(2, severity=PAGE)]},
        ["opened", "fired", "escalated", "updated", "seen"],
    ),
    "another measure of a told subject that is a page is told": (
        {0: [f(0)], 1: [f(1, metric="psi", severity=PAGE)]},
        ["opened", "fired", "joined", "updated"],
    ),
    "a ticket after a page, on the same subject, is not": (
        {0: [f(0, severity=PAGE)], 1: [f(1, metric="psi")]},
        ["opened", "fired", "joined"],
    ),
    "a told subject that is much stronger is told again, once": (
        {
            0: [f(0)],
            3: [f(3, metric="unseen_share, stronger (2)")],
            4: [f(4), f(4, metric="unseen_share, stronger (2)")],
        },
        ["opened", "fired", "joined", "updated", "seen", "seen"],
    ),
    "a told subject that is only better proven is not told again": (
        {0: [f(0)], 3: [f(3), f(3, metric="unseen_share, surer (2)")], 4: [f(4)]},
        ["opened", "fired", "joined", "seen", "seen"],
    ),
    "nor one that was named behind what was told": (
        {
            0: [f(0, second=("origin",))],
            3: [f(3, second=("origin",)), f(3, "origin", metric="unseen_share, surer (2)")],
        },
        ["opened", "fired", "seen", "joined"],
    ),
    "one that nobody was told of is, whatever its name": (
        {0: [f(0)], 3: [f(3, "origin", metric="unseen_share, surer (2)")]},
        ["opened", "fired", "joined", "updated"],
    ),
    "errors, turned outcomes and calibration of near days are one fault": (
        {0: [f(0, "outcome", PAGE)], 2: [f(2, "outcome", PAGE), f(2, "error", PAGE)], 6: [f(6, "calibration", PAGE)]},
        ["opened", "fired", "seen", "joined", "joined"],
    ),
    "what of them comes weeks later is news": (
        {0: [f(0, "outcome")], 5: [f(5, "outcome")], 10: [f(10, "outcome")], 15: [f(15, "error")]},
        ["opened", "fired", "seen", "seen", "joined", "updated"],
    ),
    "a louder one of them is told": (
        {0: [f(0, "outcome")], 2: [f(2, "error", PAGE)]},
        ["opened", "fired", "joined", "updated"],
    ),
    "a segment is no other measure": (
        {0: [f(0, "error", PAGE)], 2: [f(2, "segment:AA", PAGE)]},
        ["opened", "fired", "joined", "updated"],
    ),
    "a notice is context": ({0: [f(0)], 1: [f(1, "origin", NOTICE)]}, ["opened", "fired", "context"]),
    "a context that becomes a ticket is told": (
        {0: [f(0)], 1: [f(1, "origin", NOTICE)], 2: [f(2, "origin", TICKET)]},
        ["opened", "fired", "context", "escalated", "updated"],
    ),
    "context alone keeps nothing open": (
        {0: [f(0), f(0, "origin", NOTICE)], 1: [f(1, active=False)]},
        ["opened", "context", "fired", "quiet", "resolved"],
    ),
    "one of two ends": (
        {0: [f(0), f(0, "origin")], 1: [f(1, active=False)], 2: [f(2, "origin", active=False)]},
        ["opened", "joined", "fired", "quiet", "quiet", "resolved"],
    ),
    "coming back while open is not told": (
        {0: [f(0), f(0, "origin")], 1: [f(1, active=False)], 2: [f(2)]},
        ["opened", "joined", "fired", "quiet", "returned"],
    ),
    "six silent days do not end it": ({0: [f(0)], 6: []}, ["opened", "fired"]),
    "seven do": ({0: [f(0)], 7: []}, ["opened", "fired", "quiet", "resolved"]),
    "a finding sets the seven days anew": ({0: [f(0)], 6: [f(6)], 12: []}, ["opened", "fired", "seen"]),
    "after the end it is a new episode": (
        {0: [f(0)], 7: [], 8: [f(8)]},
        ["opened", "fired", "quiet", "resolved", "opened", "fired"],
    ),
    "absent data are not quiet": (
        {0: [f(0)], 1: [f(1, active=False, data_state=DataState.ABSENT)], 7.5: []},
        ["opened", "fired", "not_visible"],
    ),
    "seven days after the data came back they are": (
        {0: [f(0)], 1: [f(1, active=False, data_state=DataState.STALE)], 8: []},
        ["opened", "fired", "not_visible", "quiet", "resolved"],
    ),
    "partial data are enough to see that it is over": (
        {0: [f(0)], 1: [f(1, active=False, data_state=DataState.PARTIAL)]},
        ["opened", "fired", "quiet", "resolved"],
    ),
    "silence of the data can itself be what fires": (
        {0: [f(0, "delays", data_state=DataState.ABSENT)]},
        ["opened", "fired"],
    ),
    "a place that loses events and then falls silent is told of twice": (
        {
            0: [f(0, "site:ams", analyzer="data.telemetry", data_state=DataState.PARTIAL)],
            1: [f(1, "site:ams", analyzer="data.silence", data_state=DataState.ABSENT)],
            2: [f(2, "site:ams", analyzer="data.silence", data_state=DataState.ABSENT)],
        },
        ["opened", "fired", "joined", "updated", "seen"],
    ),
    "what comes late about a known condition is old news": (
        {0: [f(0)], 2: [f(2, active=False)], 3: [f(1)]},
        ["opened", "fired", "quiet", "resolved"],
    ),
    "what comes late about an unknown one is not lost": (
        {0: [f(0)], 2: [f(2, active=False)], 3: [f(1, "origin")]},
        ["opened", "fired", "quiet", "resolved", "opened", "fired"],
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    days, expected = STORIES[name]
    assert kinds(run(days)) == expected


def test_episodes_count_and_ids_are_stable() -> None:
    steps = run({0: [f(0)], 7: [], 8: [f(8)]})
    first, second = steps[0].incident, steps[-1].incident
    assert (first.episode, second.episode) == (1, 2)
    assert first.fingerprint == second.fingerprint
    assert second.id == f"{first.fingerprint}-2"
    assert second.told == 1
    assert second.told_subjects == ("carrier",)


def test_data_state_stands_beside_the_state() -> None:
    steps = run({0: [f(0)], 1: [f(1, active=False, data_state=DataState.ABSENT)], 2: [f(2)]})
    assert [(step.incident.state, step.incident.data_state) for step in steps[1:]] == [
        (Phase.FIRING, DataState.OK),
        (Phase.FIRING, DataState.ABSENT),
        (Phase.FIRING, DataState.OK),
    ]


def test_hold_keeps_it_pending_and_a_short_one_is_never_told() -> None:
    timing = Timing(timedelta(days=2), keep_page=timedelta(0), keep_ticket=timedelta(0))
    assert kinds(run({0: [f(0)], 1: [f(1)], 2: [f(2)]}, timing)) == ["opened", "seen", "seen", "fired"]
    short = run({0: [f(0)], 1: [f(1, active=False)], 3: [f(3)], 5: [f(5)]}, timing)
    assert kinds(short) == ["opened", "quiet", "subsided", "opened", "seen", "fired"]
    assert short[2].incident.state is Phase.INACTIVE
    assert {step.incident.episode for step in short} == {1}


def test_an_analyzer_that_stands_still_resolves_nothing() -> None:
    still = run({0: [f(0)], 30: []}, marks={"drift": day(1)})
    assert kinds(still) == ["opened", "fired"]


def test_new_member_found_late_opens_at_the_end_of_the_last_episode() -> None:
    steps = run({0: [f(0)], 2: [f(2, active=False)], 3: [f(1, "origin")]})
    assert steps[-1].incident.opened_at == day(2)
    assert steps[-1].at >= day(2)


def test_the_causes_of_a_message_are_what_is_new() -> None:
    carrier, origin = f(0), f(1, "origin")
    steps = run({0: [carrier], 1: [f(1), origin], 2: [f(2, active=False), f(2, "origin", active=False)]})
    assert [step.causes for step in steps if step.tell] == [
        (carrier.fingerprint,),
        (origin.fingerprint,),
        (origin.fingerprint, carrier.fingerprint),
    ]


def test_time_alone_changes_nothing_that_is_not_open() -> None:
    assert settle(None, START, TIMING, lambda _: START) == []
    closed = run({0: [f(0)], 7: []})[-1].incident
    assert settle(closed, day(90), TIMING, lambda _: day(90)) == []
    assert advance(closed, f(8, severity=NOTICE)) == []


# Properties

STEPS = st.lists(
    st.builds(
        f,
        st.integers(0, 20),
        st.sampled_from(["carrier", "origin", "latency"]),
        st.sampled_from([PAGE, TICKET, NOTICE]),
        metric=st.sampled_from(["psi", "unseen_share"]),
        active=st.booleans(),
        data_state=st.sampled_from(list(DataState)),
    ),
    max_size=25,
    unique_by=lambda one: one.key,
)


def by_day(found: list[Finding]) -> dict[float, list[Finding]]:
    days: dict[float, list[Finding]] = {}
    for one in found:
        days.setdefault((one.as_of - START).days, []).append(one)
    return days


@settings(deadline=None)
@given(STEPS)
def test_a_year_at_once_ends_as_a_year_day_by_day(found: list[Finding]) -> None:
    slow = run(by_day(found))
    last = max((one.as_of for one in found), default=START)
    assert evaluate(None, found, last, TIMING, lambda _: last) == slow


@settings(deadline=None)
@given(STEPS, st.randoms())
def test_the_order_within_one_evaluation_does_not_matter(found: list[Finding], random: object) -> None:
    mixed = list(found)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert run(by_day(mixed)) == run(by_day(found))


@settings(deadline=None)
@given(STEPS)
def test_no_transition_is_lost(found: list[Finding]) -> None:
    steps = run({**by_day(found), 60: []})
    open_now: Incident | None = None
    for step in steps:
        before, after = open_now, step.incident
        assert before is None or step.at >= before.opened_at
        if step.kind == "fired":
            assert before is not None
            assert before.state is Phase.PENDING
        if step.kind == "resolved":
            assert before is not None
            assert before.state is Phase.FIRING
        if before is not None and after.id != before.id:
            assert before.state is Phase.RESOLVED
            assert after.episode == before.episode + 1
        open_now = after
    fired, resolved = kinds(steps).count("fired"), kinds(steps).count("resolved")
    assert fired == resolved, "after 40 silent days everything that fired is over"
    # Every alerting subject that was ever active had its message, or was over in the same evaluation.
    for step in steps:
        if step.kind in {"fired", "updated"}:
            quiet_about = {m.subject for m in step.incident.alerting if m.active} - set(step.incident.told_subjects)
            assert quiet_about == set()


@settings(deadline=None)
@given(STEPS)
def test_told_only_for_a_reason(found: list[Finding]) -> None:
    steps = run(by_day(found))
    for before, step in pairwise(steps):
        if step.kind == "updated":
            louder = step.incident.told_severity != before.incident.told_severity
            newer = set(step.incident.told_subjects) > set(before.incident.told_subjects)
            assert louder or newer
            assert step.causes


@settings(deadline=None)
@given(STEPS)
def test_known_conditions_that_fire_again_are_silent(found: list[Finding]) -> None:
    steps = run(by_day(found))
    if not steps or not steps[-1].incident.open:
        return
    last = steps[-1].incident
    known = {member.fingerprint for member in last.alerting if member.active}
    again = [replace(one, as_of=day(21), severity=TICKET) for one in found if one.fingerprint in known]
    repeated = evaluate(last, again, day(21), TIMING, lambda _: day(21))
    assert "fired" not in told(repeated)
    assert "updated" not in told(repeated)


@pytest.mark.parametrize(("severity", "keeps"), [(TICKET, 7.0), (PAGE, 1 / 24)])
def test_what_comes_and_goes_is_told_once(severity: Severity, keeps: float) -> None:
    gap = keeps * 0.9
    days = {number * gap: [f(number * gap, severity=severity, active=number % 2 == 0)] for number in range(9)}
    steps = run(days, Timing())
    assert told(steps) == ["fired"]
    quiet_since = 8 * gap
    ended = evaluate(
        steps[-1].incident,
        [f(quiet_since + 0.001, severity=severity, active=False)],
        day(quiet_since + keeps),
        Timing(),
        lambda _: day(quiet_since + keeps),
    )
    assert told(ended) == ["resolved"]

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from alerts.samples import AT_ONCE, LINKS, NOTHING_DECLARED, OWNED, START, day, finding, sqlite_control, webhook
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.messages import notices
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import DataState, Finding, Severity
from watchkeeper.store.control import findings, groups, incidents, outbox, watermarks
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Phase, Sending

BOTH = Declarations(
    systems=(OWNED,),
    routes=(
        webhook("http://127.0.0.1:1/page", "pager", severity="page"),
        webhook("http://127.0.0.1:1/all", "team", service="delays"),
    ),
)


def everything(control: Control) -> dict[str, object]:
    """All that an evaluation may have changed."""
    with control.snapshot() as tx:
        stored = incidents.listed(tx, states=tuple(Phase), limit=None)
        return {
            "incidents": stored,
            "timelines": [incidents.timeline(tx, one.id) for one in stored],
            "outbox": [outbox.of_incident(tx, one.id) for one in stored],
            "findings": {one.key for one in findings.recent(tx, limit=1000)},
            "watermarks": watermarks.every(tx),
        }


def messages(control: Control) -> list[tuple[str, str]]:
    with control.snapshot() as tx:
        stored = incidents.listed(tx, states=tuple(Phase), limit=None)
        return [(m.receiver, m.transition) for one in stored for m in outbox.of_incident(tx, one.id)]


def test_one_evaluation_is_stored_as_a_whole(control: Control) -> None:
    changes = record(
        control,
        [finding(second=("segment:UA",)), finding("latency", severity=Severity.PAGE)],
        NOTHING_DECLARED,
        START,
        LINKS,
        watermarks={"drift": START},
    )
    assert [change.kind for change in changes] == ["opened", "joined", "fired"]
    assert changes[-1].receivers == ("default",)
    with control.snapshot() as tx:
        (incident,) = incidents.listed(tx)
        (message,) = outbox.of_incident(tx, incident.id)
        assert watermarks.get(tx, "drift") == START
        timeline = incidents.timeline(tx, incident.id)
    assert incident.state is Phase.FIRING
    assert incident.told_severity is Severity.PAGE
    assert message.key == f"{incident.fingerprint}:1:fired:default:1:{int(message.created_at.timestamp())}"
    assert message.state is Sending.WAITING
    assert message.payload["title"] == "PAGE delays: 31 % of latency values were never seen before"
    assert message.payload["evidence_url"] == f"http://127.0.0.1:8091/incident?id={incident.id}"
    assert [event.kind for event in timeline] == ["opened", "joined", "fired"]
    assert timeline[-1].detail == {"subjects": ["latency", "carrier"], "receivers": ["default"]}


def test_each_matching_route_gets_its_own_message_and_those_told_hear_the_end(control: Control) -> None:
    record(control, [finding()], BOTH, START, LINKS)
    assert messages(control) == [("team", "fired")]
    record(control, [finding("latency", at=day(1), severity=Severity.PAGE)], BOTH, day(1), LINKS)
    assert messages(control)[1:] == [("pager", "fired"), ("team", "updated")]
    # A ticket that joins does not wake whoever is paged.
    record(control, [finding("origin", at=day(2))], BOTH, day(2), LINKS)
    assert messages(control)[3:] == [("team", "updated")]
    record(control, [], BOTH, day(10), LINKS)
    assert sorted(messages(control)[4:]) == [("pager", "resolved"), ("team", "resolved")]


def test_the_same_receiver_by_two_routes_is_told_once(control: Control) -> None:
    twice = Declarations(routes=(webhook("http://127.0.0.1:1/a", "a"), webhook("http://127.0.0.1:1/a", "b")))
    record(control, [finding()], twice, START, LINKS)
    assert messages(control) == [("a", "fired")]


def test_a_removed_route_is_not_told_the_end(control: Control) -> None:
    record(control, [finding()], BOTH, START, LINKS)
    record(
        control, [finding(at=day(1), active=False)], Declarations(routes=BOTH.routes[:1]), day(1), LINKS, timing=AT_ONCE
    )
    assert messages(control) == [("team", "fired")]


def test_that_no_route_matches_is_on_the_timeline(control: Control) -> None:
    pages_only = Declarations(routes=BOTH.routes[:1])
    (_, fired) = record(control, [finding()], pages_only, START, LINKS)
    assert fired.receivers == ()
    assert messages(control) == []
    with control.snapshot() as tx:
        assert incidents.timeline(tx, fired.incident.id)[-1].detail["receivers"] == []


def test_notices_are_stored_and_open_nothing(control: Control) -> None:
    assert record(control, [finding(severity=Severity.NOTICE)], NOTHING_DECLARED, START, LINKS) == []
    with control.snapshot() as tx:
        assert [one.subject for one in findings.recent(tx)] == ["carrier"]


def test_models_are_separate_incidents(control: Control) -> None:
    record(control, [finding(), finding(model="departure"), finding(service="chat")], NOTHING_DECLARED, START, LINKS)
    with control.snapshot() as tx:
        assert len(incidents.listed(tx)) == 3


def test_time_alone_ends_incidents_of_services_that_say_nothing(control: Control) -> None:
    record(control, [finding()], NOTHING_DECLARED, START, LINKS)
    changes = record(control, [finding(service="chat", at=day(7))], NOTHING_DECLARED, day(7), LINKS)
    assert [(c.incident.service, c.kind) for c in changes] == [
        ("chat", "opened"),
        ("chat", "fired"),
        ("delays", "quiet"),
        ("delays", "resolved"),
    ]


def test_an_incident_waits_for_the_watermark_of_its_analyzer(control: Control) -> None:
    record(control, [finding()], NOTHING_DECLARED, START, LINKS, watermarks={"drift": START})
    assert record(control, [], NOTHING_DECLARED, day(30), LINKS, watermarks={"cost": day(30)}) == []
    over = record(control, [], NOTHING_DECLARED, day(30), LINKS, watermarks={"drift": day(30)})
    assert [change.kind for change in over] == ["quiet", "resolved"]


def test_the_last_change_is_named(control: Control) -> None:
    def last_change(service: str, model: str, before: datetime) -> str:
        return f"deploy of {service}/{model} before {before:%H:%M}"

    record(control, [finding()], NOTHING_DECLARED, START, LINKS, last_change=last_change)
    with control.snapshot() as tx:
        (message,) = outbox.of_incident(tx, incidents.listed(tx)[0].id)
    assert "Changed before: deploy of delays/arrival before 10:00 (a candidate, no proof)." in str(
        message.payload["text"]
    )


class Killed(BaseException):
    """Stands for the end of the process at this very line."""


def test_killed_at_any_write_nothing_or_all_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop before each write of the second evaluation in turn; after the repeat, all is as if never stopped."""
    evaluations = [
        (START, [finding(), finding("origin", severity=Severity.NOTICE)]),
        (day(1), [finding(at=day(1), active=False), finding("latency", at=day(1), severity=Severity.PAGE)]),
        (day(2), [finding("latency", at=day(2), active=False)]),
    ]

    def play(control: Control, stop_at: int | None) -> int:
        writes = 0

        for at, found in evaluations:
            before = everything(control)

            def counted(original: object, *args: object, **kwargs: object) -> object:
                nonlocal writes
                writes += 1
                if writes == stop_at:
                    raise Killed
                return original(*args, **kwargs)  # type: ignore[operator]

            with monkeypatch.context() as patch:
                for module, name in WRITES:
                    patch.setattr(module, name, partial(counted, getattr(module, name)))
                try:
                    record(control, found, BOTH, at, LINKS, watermarks={"drift": at})
                except Killed:
                    assert everything(control) == before
                    record(control, found, BOTH, at, LINKS, watermarks={"drift": at})
        return writes

    (tmp_path / "whole").mkdir()
    whole = sqlite_control(tmp_path / "whole")
    total = play(whole, None)
    expected = everything(whole)
    assert total > 15
    for stop_at in range(1, total + 1):
        folder = tmp_path / str(stop_at)
        folder.mkdir()
        control = sqlite_control(folder)
        play(control, stop_at)
        assert everything(control) == expected
        control.close()
    whole.close()


WRITES = [
    (findings, "insert"),
    (incidents, "save"),
    (incidents, "notes"),
    (outbox, "put"),
    (watermarks, "put"),
    (groups, "save"),
    (notices, "compose"),
]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(
            lambda number, subject, severity, active, service: finding(
                subject, at=day(number), severity=severity, active=active, service=service
            ),
            st.integers(0, 12),
            st.sampled_from(["carrier", "origin"]),
            st.sampled_from(list(Severity)),
            st.booleans(),
            st.sampled_from(["delays", "chat"]),
        ),
        max_size=15,
        unique_by=lambda one: one.key,
    )
)
def test_recording_again_changes_nothing(tmp_path_factory: pytest.TempPathFactory, found: list[Finding]) -> None:
    control = sqlite_control(tmp_path_factory.mktemp("again"))
    last = max((one.as_of for one in found), default=START)
    record(control, found, BOTH, last, LINKS, watermarks={"drift": last})
    first = everything(control)
    assert record(control, found, BOTH, last, LINKS, watermarks={"drift": last}) == []
    assert everything(control) == first
    control.close()


def test_what_is_read_back_is_what_was_decided(control: Control) -> None:
    """The stored incident equals the one that the state machine made, member by member."""
    changes = record(
        control,
        [finding(effect=None), finding("origin", effect=float("inf"), second=("a\x00b",))],
        NOTHING_DECLARED,
        START,
        LINKS,
    )
    with control.snapshot() as tx:
        stored = incidents.get(tx, changes[-1].incident.id)
    assert stored == changes[-1].incident


def test_a_service_that_falls_silent_is_never_told_to_be_well(control: Control) -> None:
    """Watermarks go on while nothing is judged; only what was seen and was calm may end an incident."""
    (_, fired) = record(control, [finding()], NOTHING_DECLARED, START, LINKS, watermarks={"drift": START})
    for number in range(1, 31):
        unseen = finding(at=day(number), active=False, data_state=DataState.ABSENT)
        changes = record(control, [unseen], NOTHING_DECLARED, day(number), LINKS, watermarks={"drift": day(number)})
        assert [change.kind for change in changes] == (["not_visible"] if number == 1 else [])
    with control.snapshot() as tx:
        held = incidents.get(tx, fired.incident.id)
        assert (held.state, held.data_state) == (Phase.FIRING, DataState.ABSENT)
        assert len(outbox.of_incident(tx, held.id)) == 1
    calm = finding(at=day(31), active=False)
    record(control, [calm], NOTHING_DECLARED, day(31), LINKS, watermarks={"drift": day(31)})
    ended = record(control, [], NOTHING_DECLARED, day(38), LINKS, watermarks={"drift": day(38)})
    assert [change.kind for change in ended] == ["resolved"]

"""The same behaviour on SQLite and on PostgreSQL, whose server stands in another time zone on purpose."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta, timezone
from itertools import count
from pathlib import Path

import pytest
from alerts.declaring import declare, receiver, stored
from alerts.postgres import private_cluster
from alerts.samples import LINKS, NOTHING_DECLARED, START, day, finding, sqlite_control, webhook
from alerts.sink import Answer, sink
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.incidents.feedback import acknowledge, give_feedback, quality
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.routing.dispatch import flush_due
from watchkeeper.schemas.declared import Route
from watchkeeper.schemas.events import Feedback
from watchkeeper.schemas.findings import DataState, Evidence, Impact, Json, Severity
from watchkeeper.schemas.matchers import read_matchers
from watchkeeper.store.control import (
    audit,
    declared,
    findings,
    groups,
    incidents,
    outbox,
    received,
    silences,
    watermarks,
)
from watchkeeper.store.control.apply import apply
from watchkeeper.store.control.connection import Control, open_control
from watchkeeper.store.control.records import AuditEntry, Backlog, Phase, Sending

_numbers = count()


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with private_cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.debian)])
def control(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Control]:
    if request.param == "sqlite":
        opened = sqlite_control(tmp_path)
    else:
        psycopg = pytest.importorskip("psycopg")
        cluster: str = request.getfixturevalue("cluster")
        name = f"control_{next(_numbers)}"
        with psycopg.connect(cluster.format(name="postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        opened = open_control(cluster.format(name=name))
    yield opened
    opened.close()


RICH = replace(
    finding(
        "segment:UA\x00'\";--",
        severity=Severity.PAGE,
        second=("日本", "😀"),
        impact=Impact(0.1 + 0.2, "EUR", "basis"),
        effect=-math.inf,
        data_state=DataState.PARTIAL,
        since=day(-3),
        maturity=1 / 3,
        model_version="v\u202e1",
    ),
    interval=(5e-324, math.inf),
    evidence=Evidence(
        "KS",
        2**40,
        1e-300,
        "A",
        {"a": [1, 2.5, -0.0, math.inf, None, True], "b": {"c": 0.1 + 0.2, "big": 2**60}, "$float": "no"},
    ),
)


def test_a_finding_comes_back_bit_for_bit(control: Control) -> None:
    plain = finding("plain")
    with control.transaction() as tx:
        assert findings.insert(tx, [RICH, plain, RICH]) == [RICH, plain]
        assert findings.insert(tx, [plain]) == []
    with control.snapshot() as tx:
        found = findings.get(tx, [RICH.key, plain.key, "missing"])
        without = findings.get(tx, [RICH.key], snapshots=False)[RICH.key]
        listed = findings.recent(tx)
    assert found == {RICH.key: RICH, plain.key: plain}
    assert repr(found[RICH.key]) == repr(RICH)
    assert found[RICH.key].as_of.tzname() == "UTC"
    assert without == replace(RICH, evidence=replace(RICH.evidence, snapshot={}))
    assert [one.key for one in listed] == sorted([RICH.key, plain.key])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5), st.integers(1, 10**6))
def test_any_snapshot_comes_back(control: Control, snapshot: dict[str, Json], number: int) -> None:
    one = finding(f"subject {number}", at=START + timedelta(microseconds=next(_numbers)))
    one = replace(one, evidence=replace(one.evidence, snapshot=snapshot))
    with control.transaction() as tx:
        findings.insert(tx, [one])
    with control.snapshot() as tx:
        assert repr(findings.get(tx, [one.key])[one.key].evidence.snapshot) == repr(snapshot)


def test_times_are_the_same_moment_and_in_utc(control: Control) -> None:
    kolkata = timezone(timedelta(hours=5, minutes=30))
    at = START.replace(microsecond=123456)
    with control.transaction() as tx:
        watermarks.put(tx, "drift", at.astimezone(kolkata))
        watermarks.put(tx, "drift", at, subject="delays")
        watermarks.put(tx, "drift", day(2), subject="delays")
    with control.snapshot() as tx:
        assert watermarks.get(tx, "drift") == at
        assert watermarks.get(tx, "drift").utcoffset() == timedelta(0)  # type: ignore[union-attr]
        assert watermarks.get(tx, "slo") is None
        assert watermarks.every(tx) == {("drift", ""): at, ("drift", "delays"): day(2)}


def test_an_incident_from_first_finding_to_feedback(control: Control) -> None:
    first = record(control, [RICH, finding()], NOTHING_DECLARED, START, LINKS, watermarks={"drift": START})
    assert [change.kind for change in first] == ["opened", "joined", "fired"]
    assert record(control, [RICH, finding()], NOTHING_DECLARED, START, LINKS, watermarks={"drift": START}) == []
    incident_id = first[-1].incident.id
    with control.snapshot() as tx:
        assert incidents.get(tx, incident_id) == first[-1].incident
        assert outbox.backlog(tx) == Backlog(1, 0, START)
    assert Sender(control).run_once(day(1)) == 1
    acknowledge(control, incident_id, "ada", day(1))
    give_feedback(control, incident_id, Feedback("noise", None, "ada"), day(1))
    give_feedback(control, incident_id, Feedback("acted_on", "rolled back", "ada"), day(2))
    record(control, [], NOTHING_DECLARED, day(8), LINKS, watermarks={"drift": day(8)})
    with control.snapshot() as tx:
        resolved = incidents.get(tx, incident_id)
        (one,) = quality(tx)
        kinds = [event.kind for event in incidents.timeline(tx, incident_id)]
        assert outbox.backlog(tx) == Backlog(1, 0, day(8))
        states = [message.state for message in outbox.of_incident(tx, incident_id)]
    assert (resolved.state, resolved.acknowledged_by) == (Phase.RESOLVED, "ada")
    assert (one.fired, one.acted_on, one.noise, one.precision) == (1, 1, 0, 1.0)
    assert kinds == ["opened", "joined", "fired", "acknowledged", "feedback", "feedback", "quiet", "quiet", "resolved"]
    assert states == [Sending.DELIVERED, Sending.WAITING]


def test_evaluators_at_once_open_one_incident(control: Control) -> None:
    """Two processes with the same findings, as after a failover: one incident, one message."""
    gate = threading.Barrier(4)

    def evaluate() -> None:
        gate.wait()
        record(control, [finding(), finding("origin")], NOTHING_DECLARED, START, LINKS)

    threads = [threading.Thread(target=evaluate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with control.snapshot() as tx:
        (incident,) = incidents.listed(tx)
        assert len(outbox.of_incident(tx, incident.id)) == 1
        assert [event.kind for event in incidents.timeline(tx, incident.id)] == ["opened", "joined", "fired"]


def test_one_message_has_one_holder(control: Control) -> None:
    record(control, [finding()], NOTHING_DECLARED, START, LINKS)
    gate = threading.Barrier(4)
    taken: list[str] = []

    def take(holder: str) -> None:
        gate.wait()
        with control.transaction() as tx:
            if outbox.lease(tx, "default", day(1), holder, timedelta(minutes=5)):
                taken.append(holder)

    threads = [threading.Thread(target=take, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    with control.transaction() as tx:
        assert outbox.release(tx, taken[0]) == 1


def test_two_senders_and_a_receiver_that_fails_at_first(control: Control) -> None:
    """Twenty groups, the receiver answers 500 to the first fifteen: each arrives once, whichever sender brings it."""
    with sink() as hook:
        hook.answers = [Answer(500)] * 15
        routes = declare(control, webhook(hook.url))
        for number in range(20):
            record(control, [finding(service=f"service {number}")], routes, START, LINKS, now=day(1))
        senders = [Sender(control, name, jitter=lambda: 0.5) for name in ("one", "two")]
        for second in range(0, 240, 8):
            now = day(1) + timedelta(seconds=second)
            threads = [threading.Thread(target=one.run_once, args=(now,)) for one in senders]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert {message.state for message in stored(control)} == {Sending.DELIVERED}
        taken = [one for message in stored(control) for one in message.deliveries if one.outcome == "delivered"]
        assert len(taken) == len(set(hook.keys)) == 20
        assert len(hook.keys) == 35


def test_what_carries_and_what_is_refused_on_both(control: Control) -> None:
    with sink() as hook:
        routes = declare(
            control,
            receiver("log", "log"),
            receiver("hook", "webhook", url=hook.url, fallback="log"),
            Route(name="all", receiver="hook"),
        )
        record(control, [finding()], routes, START, LINKS)
        record(control, [finding("origin", at=START)], routes, START, LINKS)
        hook.answers = [Answer(400)]
        assert Sender(control).run_once(START + timedelta(minutes=30)) == 1
        assert Sender(control).run_once(START + timedelta(minutes=30)) == 1
        states = [(message.receiver, message.state) for message in stored(control)]
        assert states == [("hook", Sending.DEAD), ("hook", Sending.DEAD), ("log", Sending.DELIVERED)]


def test_apply_twice_from_two_places(control: Control, tmp_path: Path) -> None:
    folder = tmp_path / "watchkeeper.d"
    folder.mkdir()
    (folder / "a.yaml").write_text(
        "apiVersion: watchkeeper/v1\nkind: System\nmetadata: {name: x}\nspec: {services: [a], owner: ops}\n",
        encoding="utf-8",
    )
    threads = [threading.Thread(target=apply, args=(folder, control, START, "ada")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with control.snapshot() as tx:
        assert declared.versions(tx) == {("System", "x"): 1}
        assert audit.entries(tx) == [AuditEntry(START, "ada", "declared.added", "System x", {"version": 1})]
    (folder / "a.yaml").unlink()
    assert apply(folder, control, day(1), "ada").removed == ("System x",)
    with control.snapshot() as tx:
        assert declared.current(tx) == NOTHING_DECLARED


def test_posted_alerts_groups_and_silences(control: Control) -> None:
    """What routing stores: upserts, timers, JSON."""
    posted = received.Received("f1", {"a": "b"}, {}, "", START, day(1), START, "a")
    with control.transaction() as tx:
        received.put(tx, [posted, replace(posted, fingerprint="f2")])
        received.taken(tx, received.waiting(tx, START, 10), START)
        received.put(tx, [replace(posted, starts_at=day(0.1), ends_at=day(2), updated_at=day(0.2))])
        assert received.waiting(tx, day(0.3), 10) == []
        assert received.get(tx, ["f1"])["f1"].starts_at == START, "it goes on since its beginning"
        assert [one.fingerprint for one in received.waiting(tx, day(1.5), 10)] == ["f2"], "not repeated in time"
        received.put(tx, [replace(posted, ends_at=day(0.5), updated_at=day(0.5))])
        assert [one.fingerprint for one in received.waiting(tx, day(0.6), 10)] == ["f1"], "its end is news"
    record(control, [finding()], NOTHING_DECLARED, START, LINKS, waits=True)
    with control.transaction() as tx:
        (key,) = groups.due(tx, day(1))
        assert groups.due(tx, START) == []
        groups.look_again(tx, START)
        assert groups.due(tx, START) == [key]
        wish = silences.Wish(read_matchers(['a=~"b|c"']), START, day(1), "ada", "known")
        made = silences.put(tx, wish, START)
        assert silences.active(tx, day(0.5)) == [made]
    assert flush_due(control, NOTHING_DECLARED, day(0.5), LINKS) == 1
    with control.snapshot() as tx:
        (group,) = groups.listed(tx)
    assert (group.labels, group.told_at, group.messages) == ({"service": "delays", "model": "arrival"}, day(0.5), 1)

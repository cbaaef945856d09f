"""Posted alerts between answer and incident: nothing is lost, nothing twice, all in order, and bounded."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import SimpleQueue
from typing import Any

import pytest
from alerts.postgres import private_cluster
from alerts.samples import LINKS, NOTHING_DECLARED

from watchkeeper.alerts.alertmanager.inlet import AlertInlet
from watchkeeper.alerts.alertmanager.posted import PER_POST, read
from watchkeeper.alerts.alertmanager.posted import received as alerts_of
from watchkeeper.alerts.alertmanager.received import apply_posts, take
from watchkeeper.alerts.incidents.rounds import Rounds
from watchkeeper.alerts.routing.dispatch import no_change_known
from watchkeeper.schemas.errors import NotDecodable, Overloaded, StoreUnavailable
from watchkeeper.store.control import alert_journal, incidents, received
from watchkeeper.store.control.connection import Control, open_control
from watchkeeper.store.control.records import Phase

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


def posted(*alerts: dict[str, Any]) -> bytes:
    return json.dumps([*alerts]).encode()


def alert(name: str, **more: Any) -> dict[str, Any]:
    return {"labels": {"alertname": name, "job": f"job-{name}"}, **more}


def nothing() -> None:
    pass


def keep(control: Control, body: bytes, at: datetime = NOW) -> None:
    posts, problems = read(body, at)
    assert problems == []
    with control.transaction() as tx:
        alert_journal.append(tx, posts)


def test_good_ones_are_kept_beside_bad_ones_which_are_named() -> None:
    body = posted(
        alert("a"),
        {"labels": {"b-c": "no name"}},
        {"labels": {"alertname": 7}},
        {"labels": {"alertname": ""}},
        {},
        alert("d", startsAt="2026-03-01T09:00:00Z", endsAt="2026-03-01T08:30:00Z"),
        alert("e", startsAt="0001-01-01T00:00:00Z", endsAt="0001-01-01T00:00:00Z", annotations=None),
        alert("f", startsAt="2026-03-01T09:59:00.123456789+02:00", extra={"more": 1}),
    )
    (post,), problems = read(body, NOW)
    kept = alerts_of(post.body, NOW)
    assert [one.labels["alertname"] for one in kept] == ["a", "e", "f"]
    assert [problem.split(":")[0] for problem in problems] == [f"alert {place}" for place in range(1, 6)]
    assert [one.starts_at for one in kept] == [NOW, NOW, datetime(2026, 3, 1, 7, 59, 0, 123457, UTC)]
    assert {one.ends_at for one in kept} == {NOW + timedelta(minutes=5)}


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"7", b"null", b'"x"'])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(NotDecodable):
        read(body, NOW)


def test_a_big_post_is_kept_in_parts_and_one_of_nothing_in_none() -> None:
    posts, _ = read(posted(*(alert(str(number)) for number in range(PER_POST + 1))), NOW)
    assert [post.alerts for post in posts] == [PER_POST, 1]
    assert read(b"[]", NOW) == ([], [])


def test_the_order_of_posts_is_the_order_of_what_happened(control: Control) -> None:
    """Fired, resolved, fired again, all applied together: it fires; what began and ended is told as over."""
    ended = alert("a", startsAt=NOW.isoformat(), endsAt=(NOW + timedelta(seconds=1)).isoformat())
    for seconds, body in enumerate((alert("a"), ended, alert("a"), alert("b"), ended | alert("b"))):
        keep(control, posted(body), NOW + timedelta(seconds=seconds))
    assert apply_posts(control) == 5
    assert take(control, NOTHING_DECLARED, NOW + timedelta(seconds=5), LINKS, no_change_known) == 2
    with control.snapshot() as tx:
        states = {one.service: one.members[0].active for one in incidents.listed(tx, states=tuple(Phase))}
        assert alert_journal.backlog(tx).posts == 0
    assert states == {"job-a": True, "job-b": False}


def test_pages_are_taken_before_what_came_before_them(control: Control) -> None:
    keep(control, posted(*(alert(str(number)) for number in range(500))))
    page = {"labels": {"alertname": "page", "service": "shop", "severity": "critical"}}
    keep(control, posted(page), NOW + timedelta(seconds=1))
    apply_posts(control)
    with control.snapshot() as tx:
        first = received.waiting(tx, NOW, 3)
    assert [one.labels["alertname"] for one in first] == ["page", "0", "1"]


def test_a_full_journal_refuses_until_it_is_applied(control: Control) -> None:
    inlet = AlertInlet(control, nothing, most_alerts=3)
    try:
        posts, _ = read(posted(alert("a"), alert("b"), alert("c"), alert("d")), NOW)
        inlet.append(posts).result(10)
        with pytest.raises(Overloaded, match="4 posted alerts wait"):
            inlet.append(posts).result(10)
        assert apply_posts(control) == 4
        inlet.append(posts).result(10)
    finally:
        inlet.close()
    with pytest.raises(StoreUnavailable, match="stopping"):
        inlet.append(posts)


def test_what_hung_up_meanwhile_does_not_stop_the_writer(control: Control) -> None:
    inlet = AlertInlet(control, nothing)
    posts, _ = read(posted(alert("a")), NOW)
    with control.transaction():
        done = [inlet.append(posts) for _ in range(50)]
        cancelled = [one for one in done[1:] if one.cancel()]
    for one in set(done) - set(cancelled):
        one.result(10)
    inlet.close()
    assert cancelled
    with control.snapshot() as tx:
        assert alert_journal.backlog(tx).posts == len(done) - len(cancelled)


def _serve(url: str, answered: SimpleQueue, first: int) -> None:
    """One server: four clients post, the rounds take. Says which posts were answered for."""
    control = open_control(url)
    inlet = AlertInlet(control, nothing)
    numbers = iter(range(first, first + 1_000_000))
    lock = threading.Lock()

    def client() -> None:
        while True:
            with lock:
                number = next(numbers)
            posts, _ = read(posted(*(alert(f"{number}-{place}") for place in range(3))), datetime.now(UTC))
            inlet.append(posts).result()
            with lock:
                answered.put(number)

    for _ in range(4):
        threading.Thread(target=client, daemon=True).start()
    rounds = Rounds(control, lambda: NOTHING_DECLARED, LINKS, no_change_known)
    while True:
        rounds.step(datetime.now(UTC))


def killed_again_and_again(url: str, kills: int, servers: int) -> None:
    """Kill servers at random moments; in the end each alert that was answered for fired once."""
    moments = random.Random(7)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    answered: set[int] = set()
    first = 0
    for _ in range(kills):
        running = []
        for _ in range(servers):
            told = context.SimpleQueue()
            process = context.Process(target=_serve, args=(url, told, first), daemon=True)
            process.start()
            running.append((process, told))
            first += 1_000_000
        answered |= {told.get() for _, told in running}  # they run
        time.sleep(moments.uniform(0.05, 0.6))
        for process, told in running:
            os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
            process.join()
            while not told.empty():
                answered.add(told.get())
    control = open_control(url)
    Rounds(control, lambda: NOTHING_DECLARED, LINKS, no_change_known).run_once(datetime.now(UTC))
    with control.snapshot() as tx:
        fired = incidents.listed(tx, states=tuple(Phase), limit=None)
        kinds = {one.id: [event.kind for event in incidents.timeline(tx, one.id)] for one in fired}
        waits = alert_journal.backlog(tx)
    control.close()
    assert waits.alerts == 0
    names = [one.members[0].labels["alertname"] for one in fired]
    assert len(names) == len(set(names)), "an alert became two incidents"
    assert {f"{number}-{place}" for number in answered for place in range(3)} <= set(names)
    assert all(told.count("fired") == 1 for told in kinds.values())
    assert len(answered) > kills


def test_killed_at_any_moment_it_loses_nothing_and_fires_once(control: Control) -> None:
    assert control.file is not None
    killed_again_and_again(f"sqlite:///{control.file}", kills=5, servers=1)


@pytest.mark.debian
def test_two_servers_on_postgresql_apply_each_post_once() -> None:
    pytest.importorskip("psycopg")
    with private_cluster() as url:
        killed_again_and_again(url.format(name="postgres"), kills=2, servers=2)


def test_two_that_apply_at_once_apply_each_post_once(control: Control) -> None:
    for number in range(40):
        keep(control, posted(*(alert(f"{number}-{place}") for place in range(100))))
    counts: list[int] = []

    def work() -> None:
        while count := apply_posts(control):
            counts.append(count)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 4000

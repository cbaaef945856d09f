"""Alertmanager as a receiver: what is sent when, and the real one from Debian takes it, shows it and resolves it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from alerts.declaring import declare, receiver, stored, tell
from alerts.notes import NOTE
from alerts.samples import AT_ONCE, LINKS, day, finding
from alerts.sink import Answer, sink

from watchkeeper.alerts.delivery import registry
from watchkeeper.alerts.delivery.repeating import Repeater
from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.notifiers.alertmanager import Alertmanager
from watchkeeper.schemas.declared import Declarations, Receiver, Route
from watchkeeper.schemas.findings import Severity
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Sending

SECOND = timedelta(seconds=1)


def declared_with(control: Control, *urls: str) -> Declarations:
    return declare(control, receiver("am", "alertmanager", urls=list(urls)), Route(name="all", receiver="am"))


def test_every_member_is_told_and_one_that_is_away_is_told_later(control: Control) -> None:
    with sink() as first, sink() as second:
        second.answers = [Answer(503)]
        tell(control, declared_with(control, first.url, second.url), finding())
        Sender(control, jitter=lambda: 0.5).run_once(day(0))
        assert [message.state for message in stored(control)] == [Sending.DELIVERED, Sending.WAITING]
        Sender(control).run_once(day(0) + 60 * SECOND)
        assert first.received[0].path == second.received[1].path == "/hook/api/v2/alerts"
        assert len(first.received) == 1


def test_again_every_minute_until_it_ends_and_five_minutes_more(control: Control) -> None:
    with sink() as member:
        routes = declared_with(control, member.url)
        tell(control, routes, finding())
        Sender(control).run_once(day(0))
        repeater = Repeater(control)
        for second in range(0, 181, 10):
            repeater.run_once(day(0) + second * SECOND)
        ends = [one.body[0]["endsAt"] for one in member.received]  # type: ignore[index, call-overload]
        assert ends == [f"2026-03-01T10:0{minute}:00Z" for minute in (4, 4, 5, 6, 7)]
        labels = [one.body[0]["labels"] for one in member.received]  # type: ignore[index, call-overload]
        assert all(one == labels[0] for one in labels), "a label that changes makes another alert"
        over = day(0) + timedelta(minutes=10)
        record(control, [finding(at=over, active=False)], routes, over, LINKS, timing=AT_ONCE)
        member.received.clear()
        Sender(control).run_once(over)
        for minute in range(20):
            repeater.run_once(over + timedelta(minutes=minute))
        assert len(member.received) == 1 + 6
        assert {one.body[0]["endsAt"] for one in member.received} == {"2026-03-01T10:10:00Z"}  # type: ignore[index, call-overload]


def test_a_member_that_fails_does_not_keep_the_others_from_hearing(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    with sink() as first, sink() as second:
        tell(control, declared_with(control, first.url, second.url), finding())
        Sender(control).run_once(day(0))
        first.answers = [Answer(500)]
        assert Repeater(control).run_once(day(0)) == 1
        assert len(second.received) == 2
    assert "am@1 could not be told again" in caplog.text


def test_the_end_of_a_year_of_replay_is_no_error() -> None:
    """Alertmanager refuses an alert that ends before it begins."""
    ended = NOTE.alerts[0].starts_at - timedelta(hours=1)
    with sink() as member:
        alert = NOTE.alerts[0].__class__(**{**as_dict(NOTE.alerts[0]), "ends_at": ended})
        notification = NOTE.__class__(**{**as_dict(NOTE), "alerts": (alert,)})
        registry.build(Receiver(type="alertmanager", url=member.url)).notify(notification)
        (sent,) = member.received[0].body
        assert sent["startsAt"] == sent["endsAt"]  # type: ignore[index, call-overload]


def as_dict(record_: object) -> dict[str, object]:
    return {name: getattr(record_, name) for name in record_.__slots__}  # type: ignore[attr-defined]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def real(tmp_path: Path) -> Iterator[str]:
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        pytest.skip("prometheus-alertmanager is not installed: Debian package prometheus-alertmanager")
    file = tmp_path / "am.yml"
    file.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n", encoding="utf-8")
    port = free_port()
    command = [
        program,
        f"--config.file={file}",
        f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _ready(url))
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shown(url: str) -> list[dict[str, object]]:
    return httpx.get(f"{url}/api/v2/alerts", trust_env=False).json()


@pytest.mark.debian
def test_the_real_one_takes_shows_and_resolves(control: Control, real: str) -> None:
    now = datetime.now(UTC) - timedelta(seconds=10)
    routes = declared_with(control, real)
    found = [finding(at=now, severity=Severity.PAGE), finding('日本 "quoted"\n', at=now)]
    tell(control, routes, *found)
    Sender(control).run_once(now)
    assert [message.state for message in stored(control)] == [Sending.DELIVERED]
    alerts = shown(real)
    assert {alert["labels"]["subject"] for alert in alerts} == {"carrier", '日本 "quoted"\n'}  # type: ignore[index]
    assert {alert["status"]["state"] for alert in alerts} == {"active"}  # type: ignore[index]
    before = {alert["fingerprint"] for alert in alerts}
    later = now + timedelta(seconds=90)
    Repeater(control).run_once(later)
    alerts = shown(real)
    assert {alert["fingerprint"] for alert in alerts} == before, "the same alerts, with a later end"
    assert all(datetime.fromisoformat(str(alert["endsAt"])) > now + timedelta(minutes=5) for alert in alerts)
    over = [finding(one.subject, at=now + SECOND, active=False) for one in found]
    record(control, over, routes, now + SECOND, LINKS, timing=AT_ONCE)
    Sender(control).run_once(now + SECOND)
    wait_until(lambda: not shown(real))
    Repeater(control).run_once(datetime.now(UTC))
    assert shown(real) == []


@pytest.mark.debian
def test_the_real_one_shows_the_heartbeat(real: str) -> None:
    member = registry.build(Receiver(type="alertmanager", url=real))
    assert isinstance(member, Alertmanager)
    member.heartbeat("chain", datetime.now(UTC), "evaluated to now")
    (alert,) = shown(real)
    assert alert["labels"] == {"alertname": "Watchdog", "heartbeat": "chain", "severity": "none"}

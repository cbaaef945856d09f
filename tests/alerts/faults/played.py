"""The rounds and the sender of one server, its clock, and how much time really passes."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from alerts.declaring import declare, receiver
from alerts.samples import LINKS, START
from alerts.sink import Sink

from watchkeeper.alerts.alertmanager.posted import read
from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.incidents.rounds import Rounds
from watchkeeper.alerts.routing.dispatch import no_change_known
from watchkeeper.schemas.declared import Escalation, Route
from watchkeeper.store.control import alert_journal
from watchkeeper.store.control.connection import Control

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


class Server:
    """The rounds and the sender of one server; ``true`` is how much time has passed, ``wrong`` what the clock adds."""

    def __init__(self, control: Control, hook: Sink) -> None:
        self.control = control
        route = Route(
            name="all",
            receiver="team",
            group_by=["service"],
            group_wait="30s",
            group_interval="5m",
            escalate=Escalation(after="15m", receiver="boss"),
        )
        both = [receiver(name, "webhook", url=f"{hook.url}/{name}") for name in ("team", "boss")]
        self.declared = declare(control, *both, route)
        self.true, self.wrong = START, timedelta(0)
        self.start()

    def start(self) -> None:
        """Start it, or start it again: what it only remembered is gone."""
        self.rounds = Rounds(self.control, lambda: self.declared, LINKS, no_change_known)
        self.sender = Sender(self.control, "one", jitter=lambda: 0.5)

    @property
    def now(self) -> datetime:
        return self.true + self.wrong

    def post(self, service: str, *, ends: timedelta = 4 * HOUR, sender_ahead: timedelta = timedelta(0)) -> None:
        """Post an alert of another system, whose own clock may be ahead of ours."""
        its_now = self.now + sender_ahead
        alert = {
            "labels": {"alertname": "Down", "service": service, "severity": "critical"},
            "startsAt": its_now.isoformat(),
            "endsAt": (its_now + ends).isoformat(),
        }
        posts, problems = read(json.dumps([alert]).encode(), self.now)
        assert problems == []
        with self.control.transaction() as tx:
            alert_journal.append(tx, posts)

    def pass_time(self, seconds: float) -> None:
        """Look every few seconds, as the loops do every second; less often later on."""
        begin, end = self.true, self.true + timedelta(seconds=seconds)
        while self.true < end:
            step = 5 * SECOND if self.true < begin + 60 * SECOND else 30 * SECOND
            self.true = min(end, self.true + step)
            self.rounds.run_once(self.now)
            self.sender.run_once(self.now)

    def jump(self, by: timedelta, *, restarted: bool = False) -> None:
        self.wrong += by
        if restarted:
            self.start()


def told(hook: Sink) -> list[tuple[str, str, str]]:
    return [
        (one.path.rpartition("/")[2], str(one.body["groupLabels"]["service"]), str(one.body["status"]))  # type: ignore[index, call-overload]
        for one in hook.received
    ]

"""Was the planted fault found, named first and delivered, and how often was it a false alarm before?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from watchkeeper.app.demo.flights import FlightReplay
from watchkeeper.app.demo.sink import AlertSink, Delivery
from watchkeeper.app.remote import Remote

SERVICE = "flight-delay"
SUBJECT = "carrier"
MAX_FALSE_PER_30_DAYS = 1.0


@dataclass(frozen=True, slots=True)
class Told:
    """One message that someone got: when (in the replay), about what, ranked."""

    service: str
    at: datetime
    severity: str
    subjects: tuple[str, ...]
    title: str
    incident: str
    seconds: float

    def as_json(self) -> dict[str, object]:
        """Give it for the report."""
        return {
            "day": self.at.date().isoformat(),
            "severity": self.severity,
            "subjects": list(self.subjects),
            "title": self.title,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the demo ended."""

    fault_at: datetime
    first: datetime
    found: Told | None
    before: Sequence[Told]
    told: Sequence[Told]
    status: Mapping[str, Any]
    delivered: int
    ready_seconds: float

    @property
    def false_per_30_days(self) -> float:
        """Alerts on the flights before the fault, per 30 days."""
        return len(self.before) / ((self.fault_at - self.first).days / 30)

    @property
    def passed(self) -> bool:
        """Found after its date, named first, delivered; before that at most one alert in 30 days."""
        return self.found is not None and self.false_per_30_days <= MAX_FALSE_PER_30_DAYS

    @property
    def incident_id(self) -> str:
        """The incident to look at."""
        return self.found.incident if self.found else ""

    @property
    def sentence(self) -> str:
        """Say it to a person."""
        if self.found is None:
            return f"The fault of {self.fault_at:%d %b %Y} was not found."
        days = (self.found.at - self.fault_at).total_seconds() / 86400
        return (
            f"Planted on {self.fault_at:%d %b %Y}, told {days:.1f} days later: {self.found.title} "
            f"Alerts on the flights before that: {len(self.before)} in {(self.fault_at - self.first).days} days."
        )

    def report(self) -> dict[str, object]:
        """Give everything for ``--check``."""
        services: dict[str, list[dict[str, object]]] = {}
        for told in self.told:
            services.setdefault(told.service, []).append(told.as_json())
        first = min((told.seconds for told in self.told), default=None)
        return {
            "passed": self.passed,
            "sentence": self.sentence,
            "events": {name: self.status[name] for name in ("accepted", "loaded", "rejected", "duplicates")},
            "dropped_by_clients": self.status["dropped_by_clients"],
            "fault": {
                "planted": self.fault_at.isoformat(),
                "subject": SUBJECT,
                "found": self.found.at.isoformat() if self.found else None,
            },
            "alerts": services,
            "flight_alerts_before_fault": len(self.before),
            "flight_alerts_before_fault_per_30_days": round(self.false_per_30_days, 2),
            "alerts_delivered": self.delivered,
            "seconds_to_ready": round(self.ready_seconds, 1),
            "seconds_to_first_alert": None if first is None else round(first, 1),
        }


def judge(remote: Remote, sink: AlertSink, replay: FlightReplay, ready_seconds: float) -> Verdict:
    """Compare what arrived at the sink with what was planted."""
    told = [_told(delivery) for delivery in sink.deliveries if delivery.body["status"] == "firing"]
    told.sort(key=lambda one: one.at)
    flights = [one for one in told if one.service == SERVICE]
    after = [one for one in flights if one.at >= replay.fault_at]
    return Verdict(
        fault_at=replay.fault_at,
        first=replay.first,
        found=next((one for one in after if one.subjects[:1] == (SUBJECT,)), None),
        before=[one for one in flights if one.at < replay.fault_at],
        told=told,
        status=remote.get("/v1/status"),
        delivered=len(sink.deliveries),
        ready_seconds=ready_seconds,
    )


def note_lines(replay: FlightReplay, verdict: Verdict) -> list[str]:
    """Name the fault, now that it is over."""
    return [
        (
            f"Planted on {replay.fault_at:%d %b %Y %H:%M} UTC: carrier {replay.fault_carrier} arrives as "
            f"{replay.fault_value}. Nothing marked it."
        ),
        verdict.sentence,
    ]


def _told(delivery: Delivery) -> Told:
    """Read a message as its receiver does; what is new in it began last."""
    body = delivery.body
    alerts = [alert for alert in body["alerts"] if alert["status"] == "firing"]
    common = body["commonAnnotations"]
    newest = max(alerts, key=lambda alert: alert["startsAt"])
    return Told(
        service=body["groupLabels"]["service"],
        at=datetime.fromisoformat(newest["startsAt"]).astimezone(UTC),
        severity=newest["labels"]["severity"],
        subjects=tuple(common["subjects"].split(", ")),
        title=newest["annotations"]["summary"],
        incident=common["incident"],
        seconds=delivery.seconds,
    )

"""Alerts of other systems: posted ones become findings, and so incidents, like those of our own analyzers."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from watchkeeper.alerts.dispatch import BREATH
from watchkeeper.alerts.intake import record
from watchkeeper.alerts.labels import RECEIVED
from watchkeeper.alerts.links import Links
from watchkeeper.alerts.notices import LastChange
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Severity, Window
from watchkeeper.store.control import received
from watchkeeper.store.control.connection import Control, Transaction
from watchkeeper.store.control.received import Received

PER_LOOK = 10_000
PER_ROUND = 2_000
"""Alerts taken before groups are looked at again: pages go first, and do not wait behind a storm."""

PER_TRANSACTION = 200
"""Alerts in one transaction: while it lasts, on SQLite nobody else writes."""

PAGES = frozenset({"page", "critical", "emergency"})
AN_INSTANT = timedelta(microseconds=1)


def take(
    control: Control,
    declarations: Callable[[], Declarations],
    now: datetime,
    links: Links,
    last_change: LastChange,
    *,
    waits: bool = True,
) -> int:
    """Take what was posted or has ended into incidents, incident by incident; give the number of alerts."""
    with control.snapshot() as tx:
        found = received.waiting(tx, now, PER_LOOK)
    found.sort(key=lambda one: (one.labels.get("severity") not in PAGES, about(one.labels)))
    found = found[:PER_ROUND]
    for at in range(0, len(found), PER_TRANSACTION):
        part = found[at : at + PER_TRANSACTION]
        if at:
            time.sleep(BREATH)

        def mark(tx: Transaction, done: list[Received] = part) -> None:
            received.taken(tx, done, now)

        findings = [finding for one in part for finding in _findings(one, now)]
        record(control, findings, declarations(), now, links, last_change=last_change, waits=waits, also=mark, now=now)
    return len(found)


def about(labels: dict[str, str]) -> tuple[str, str]:
    """Name the service and the model that an alert is about.

    >>> about({"alertname": "DiskFull", "job": "db"})
    ('db', '')
    """
    return labels.get("service") or labels.get("job") or labels.get("alertname", "alert"), labels.get("model", "")


def finding_of(alert: Received, now: datetime, *, active: bool) -> Finding:
    """Give the finding that says what an alert says."""
    labels = alert.labels
    service, model = about(labels)
    name = labels.get("alertname", "alert")
    told = alert.annotations
    rest = {key: value for key, value in labels.items() if key not in {"alertname", "service", "model"}}
    return Finding(
        analyzer=RECEIVED,
        service=service,
        model=model,
        metric=name,
        subjects=(", ".join(f"{key}={value}" for key, value in sorted(rest.items())) or name,),
        window=Window(min(alert.starts_at, now), now),
        as_of=now,
        observed=1.0,
        severity=Severity.PAGE if labels.get("severity") in PAGES else Severity.TICKET,
        summary=told.get("summary") or told.get("description") or told.get("message") or name,
        evidence=Evidence(
            "alert of another system",
            1,
            None,
            "C",
            {"labels": {**labels}, "annotations": {**told}, "generator_url": alert.generator_url},
        ),
        since=alert.starts_at,
        active=active,
        labels=labels,
    )


def _findings(alert: Received, now: datetime) -> list[Finding]:
    """Give what is new of an alert; one that began and ended since the last look did both."""
    if alert.ends_at > now:
        return [] if alert.firing else [finding_of(alert, now, active=True)]
    began = [] if alert.firing else [finding_of(alert, now - AN_INSTANT, active=True)]
    return [*began, finding_of(alert, now, active=False)]

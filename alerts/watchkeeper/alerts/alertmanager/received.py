"""Alerts of other systems: posted ones become findings, and so incidents, like those of our own analyzers."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from watchkeeper.alerts.alertmanager.posted import about, is_page
from watchkeeper.alerts.alertmanager.posted import received as read_post
from watchkeeper.alerts.incidents.intake import record_news
from watchkeeper.alerts.messages.links import Links
from watchkeeper.alerts.messages.notices import LastChange
from watchkeeper.alerts.routing.dispatch import Dispatch
from watchkeeper.alerts.routing.labels import RECEIVED
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Severity, Window
from watchkeeper.store.control import alert_journal, received
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.received import Received

PER_LOOK = 2_000
"""Posted alerts that are applied at once: cheap, and nothing is known of a page before it is applied."""

PER_TRANSACTION = 200
"""Alerts taken in one transaction: while it lasts, on SQLite nobody else writes."""

logger = logging.getLogger("watchkeeper.alerts.incidents.rounds")
AN_INSTANT = timedelta(microseconds=1)
LONG_OVER = timedelta(minutes=30)
"""Prometheus repeats an end for a quarter of an hour: what is older comes from a clock that is wrong."""


def apply_posts(control: Control) -> int:
    """Apply the oldest posts of the journal, in order; give the number of their alerts.

    They leave the journal in the transaction that keeps their alerts: whenever a process ends, each was applied once
    or is applied later. Of several servers one at a time applies.
    """
    with control.snapshot() as tx:
        if not alert_journal.oldest(tx, 1):
            return 0
    with control.transaction() as tx:
        tx.serialize("intake")
        posts = alert_journal.oldest(tx, PER_LOOK)
        alerts = [alert for post in posts for alert in read_post(post.body, post.received_at)]
        received.put(tx, alerts)
        alert_journal.drop(tx, posts)
    over = [alert for alert in alerts if alert.ends_at < alert.updated_at - LONG_OVER]
    if over:
        logger.warning(
            "%d posted alerts were over for more than %s when they came, %s the first of them: nobody is told. "
            "Is the clock of their sender behind?",
            len(over),
            LONG_OVER,
            over[0].labels,
        )
    return sum(post.alerts for post in posts)


def take(
    control: Control,
    declarations: Declarations,
    now: datetime,
    links: Links,
    last_change: LastChange,
    *,
    waits: bool = True,
) -> int:
    """Take some of what began or ended into incidents, pages first; give the number of alerts."""
    with control.snapshot() as tx:
        if not received.any_waiting(tx, now):
            return 0
    with control.transaction() as tx:
        tx.serialize("intake")
        found = received.waiting(tx, now, PER_TRANSACTION)
        dispatch = Dispatch(tx, declarations, links, last_change, waits, now)
        record_news(dispatch, [finding for one in found for finding in _findings(one, now)], now)
        received.taken(tx, found, now)
    return len(found)


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
        severity=Severity.PAGE if is_page(labels) else Severity.TICKET,
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

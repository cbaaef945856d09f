"""Alerts as Prometheus and Alertmanager write them: labels that stay the same, annotations that change. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from watchkeeper.alerts.messages.notification import Alert, Notification
from watchkeeper.alerts.messages.wording import burning, left, number


def labels_of(alert: Alert, notification: Notification) -> dict[str, str]:
    """Give what identifies the alert: the same from its first message to its last."""
    return {
        "alertname": f"{alert.analyzer}/{alert.metric}",
        "service": notification.service,
        "model": notification.model,
        "severity": alert.severity.value,
        "analyzer": alert.analyzer,
        "metric": alert.metric,
        "subject": alert.subject,
        **alert.labels,
    }


def annotations_of(alert: Alert, notification: Notification) -> dict[str, str]:
    """Give what changes from message to message; in a label it would make another alert each time."""
    impact = notification.impact
    optional = {
        "runbook_url": notification.runbook,
        "owner": notification.owner,
        "contact": notification.contact,
        "fallback": notification.fallback,
        "respond_url": notification.respond_url,
        "burn_rate": burning(alert.budget) if alert.budget else None,
        "error_budget": left(alert.budget) if alert.budget else None,
        "since": rfc3339(notification.since) if notification.since else None,
        "cost_per_day": number(impact.per_day, impact.currency) if impact else None,
        "last_change": notification.last_change,
        "examples": ", ".join(notification.examples),
    }
    return {
        "summary": alert.summary,
        "description": alert.description,
        "incident": notification.incident_id,
        "subjects": ", ".join(notification.subjects),
        "message": notification.text,
        **{name: value for name, value in optional.items() if value},
        **({"late": "true"} if notification.late_seconds else {}),
    }


def rfc3339(at: datetime) -> str:
    """Write a time.

    >>> rfc3339(datetime(2026, 3, 1, 10, tzinfo=UTC))
    '2026-03-01T10:00:00Z'
    """
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")

"""Posts the message as an Alertmanager webhook, payload version 4: what receives Alertmanager receives this.

Source: Alertmanager documentation, ``webhook_config``. Only a 2xx answer counts as delivered.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import httpx
import msgspec

from watchkeeper.alerts.notification import Alert, Notification
from watchkeeper.alerts.posting import address, post
from watchkeeper.alerts.receiver_settings import SecretRef, read_secret, settings_of
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.findings import Json

STILL_FIRING = "0001-01-01T00:00:00Z"
"""What Alertmanager writes for "has not ended"."""


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """``urlFrom``: where the URL is a secret; ``authorization``: the value of that header."""

    url_from: SecretRef | None = None
    authorization: SecretRef | None = None


def build(receiver: Receiver) -> Webhook:
    """Make one for the receiver's ``url``."""
    settings = settings_of(receiver, WebhookSettings)
    if settings.url_from is None:
        return Webhook(address(receiver.url, "webhook"), settings.authorization)
    if receiver.url is not None:
        raise SettingsError("a webhook receiver has a url or settings.urlFrom, not both")
    return Webhook(settings.url_from, settings.authorization)


class Webhook:
    """One URL."""

    def __init__(self, url: httpx.URL | SecretRef, authorization: SecretRef | None = None) -> None:
        self._url = url
        self._authorization = authorization

    def notify(self, notification: Notification) -> None:
        """Post it with its idempotency key, so that a receiver can drop what arrives twice."""
        headers = {"Idempotency-Key": notification.key, "Content-Type": "application/json"}
        if self._authorization is not None:
            headers["Authorization"] = read_secret(self._authorization)
        url = self._url if isinstance(self._url, httpx.URL) else address(read_secret(self._url), "webhook")
        post(url, msgspec.json.encode(payload(notification)), headers)


def payload(notification: Notification) -> dict[str, Json]:
    """Give the body, version 4."""
    alerts = [_alert(alert, notification) for alert in notification.alerts]
    group = {"model": notification.model, "service": notification.service}
    return {
        "version": "4",
        "groupKey": "{}:{" + ", ".join(f'{name}="{_quoted(value)}"' for name, value in group.items()) + "}",
        "truncatedAlerts": 0,
        "status": "resolved" if notification.transition == "resolved" else "firing",
        "receiver": notification.receiver,
        "groupLabels": {**group},
        "commonLabels": _common(_labels(alert, notification) for alert in notification.alerts),
        "commonAnnotations": _common(_annotations(alert, notification) for alert in notification.alerts),
        "externalURL": notification.external_url,
        "alerts": [*alerts],
    }


def _alert(alert: Alert, notification: Notification) -> Json:
    return {
        "status": "firing" if alert.ends_at is None else "resolved",
        "labels": {**_labels(alert, notification)},
        "annotations": {**_annotations(alert, notification)},
        "startsAt": _rfc3339(alert.starts_at),
        "endsAt": STILL_FIRING if alert.ends_at is None else _rfc3339(alert.ends_at),
        "generatorURL": notification.evidence_url,
        "fingerprint": alert.fingerprint,
    }


def _labels(alert: Alert, notification: Notification) -> dict[str, str]:
    return {
        "alertname": f"{alert.analyzer}/{alert.metric}",
        "service": notification.service,
        "model": notification.model,
        "severity": alert.severity.value,
        "analyzer": alert.analyzer,
        "metric": alert.metric,
        "subject": alert.subject,
    }


def _annotations(alert: Alert, notification: Notification) -> dict[str, str]:
    """Give what changes from message to message; in a label it would make another alert each time."""
    optional = {
        "runbook_url": notification.runbook,
        "owner": notification.owner,
        "contact": notification.contact,
        "fallback": notification.fallback,
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


def _common(of_each: Iterable[dict[str, str]]) -> dict[str, Json]:
    """Keep the pairs that all alerts share."""
    every = list(of_each)
    first = every[0] if every else {}
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in every)}


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")

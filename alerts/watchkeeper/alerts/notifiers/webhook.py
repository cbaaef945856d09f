"""Posts the message as an Alertmanager webhook, payload version 4: what receives Alertmanager receives this.

Source: Alertmanager documentation, ``webhook_config``. Only a 2xx answer counts as delivered.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from watchkeeper.alerts.alertmanager.prometheus_alerts import annotations_of, labels_of, rfc3339
from watchkeeper.alerts.delivery.posting import Target, TargetSettings, target_of
from watchkeeper.alerts.delivery.receiver_settings import settings_of
from watchkeeper.alerts.messages.notification import Alert, Notification
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.findings import Json

STILL_FIRING = "0001-01-01T00:00:00Z"
"""What Alertmanager writes for "has not ended"."""


class WebhookSettings(TargetSettings, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """``heartbeatMethod``: how a heartbeat is sent; some watchers want a GET."""

    heartbeat_method: Literal["POST", "GET"] = "POST"


def build(receiver: Receiver) -> Webhook:
    """Make one for the receiver's ``url``, or for ``settings.urlFrom`` where that is a secret."""
    settings = settings_of(receiver, WebhookSettings)
    return Webhook(target_of(receiver, settings), settings.heartbeat_method)


class Webhook:
    """One URL."""

    def __init__(self, target: Target, beat_method: str = "POST") -> None:
        self._target = target
        self._beat_method = beat_method

    def notify(self, notification: Notification) -> None:
        """Post it with its idempotency key, so that a receiver can drop what arrives twice."""
        body = msgspec.json.encode(payload(notification))
        self._target.post(body, {"Idempotency-Key": notification.key, "Content-Type": "application/json"})

    def heartbeat(self, name: str, now: datetime, said: str) -> None:
        """Post a sign of life."""
        body = {"heartbeat": name, "at": rfc3339(now), "message": said}
        content = msgspec.json.encode(body) if self._beat_method == "POST" else b""
        self._target.post(content, {"Content-Type": "application/json"}, self._beat_method)


def payload(notification: Notification) -> dict[str, Json]:
    """Give the body, version 4."""
    alerts = [_alert(alert, notification) for alert in notification.alerts]
    return {
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": notification.truncated,
        "status": "resolved" if notification.transition == "resolved" else "firing",
        "receiver": notification.receiver,
        "groupLabels": {**notification.group_labels},
        "commonLabels": _common(labels_of(alert, notification) for alert in notification.alerts),
        "commonAnnotations": _common(annotations_of(alert, notification) for alert in notification.alerts),
        "externalURL": notification.external_url,
        "alerts": [*alerts],
    }


def _alert(alert: Alert, notification: Notification) -> Json:
    return {
        "status": "firing" if alert.ends_at is None else "resolved",
        "labels": {**labels_of(alert, notification)},
        "annotations": {**annotations_of(alert, notification)},
        "startsAt": rfc3339(alert.starts_at),
        "endsAt": STILL_FIRING if alert.ends_at is None else rfc3339(alert.ends_at),
        "generatorURL": notification.evidence_url,
        "fingerprint": alert.fingerprint,
    }


def _common(of_each: Iterable[dict[str, str]]) -> dict[str, Json]:
    """Keep the pairs that all alerts share."""
    every = list(of_each)
    first = every[0] if every else {}
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in every)}

"""Posts each change as a CloudEvent (1.0, structured JSON): what another system acts on, without reading our text.

Source: CloudEvents specification 1.0.2 and its HTTP binding. The event's ``id`` is the idempotency key.
"""

from __future__ import annotations

import msgspec

from watchkeeper.alerts.alertmanager.prometheus_alerts import rfc3339
from watchkeeper.alerts.delivery.posting import Target, target_of
from watchkeeper.alerts.messages.notification import Notification
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.findings import Json

TYPE = "watchkeeper.incident"
NOT_DATA = {"key", "receiver", "receipt", "sent_at"}
"""What of a notification stands in the envelope, or is nobody else's business."""


def build(receiver: Receiver) -> CloudEvents:
    """Make one for the receiver's ``url``, or for ``settings.urlFrom`` where that is a secret."""
    return CloudEvents(target_of(receiver))


class CloudEvents:
    """One URL that takes CloudEvents."""

    acknowledgements = True

    def __init__(self, target: Target) -> None:
        self._target = target

    def notify(self, notification: Notification) -> None:
        """Post the event."""
        headers = {"Content-Type": "application/cloudevents+json", "Idempotency-Key": notification.key}
        self._target.post(msgspec.json.encode(event(notification)), headers)


def event(notification: Notification) -> dict[str, Json]:
    """Give the event: ``data`` holds the notification, ``subject`` the incident."""
    data: dict[str, Json] = msgspec.to_builtins(notification)
    return {
        "specversion": "1.0",
        "id": notification.key,
        "source": f"{notification.external_url.rstrip('/')}/",
        "type": f"{TYPE}.{notification.transition}",
        "subject": notification.incident_id,
        "time": rfc3339(notification.at),
        "datacontenttype": "application/json",
        "data": {name: value for name, value in data.items() if name not in NOT_DATA},
    }

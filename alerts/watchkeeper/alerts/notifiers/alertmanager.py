"""Sends alerts to an Alertmanager over its API version 2, as Prometheus would, and again every minute.

Name every member of a cluster in ``urls``: each is told, and tracked by itself. A 200 of Alertmanager says "in memory",
so a firing alert is sent again until it ends, and its end for five minutes more; an alert that is no longer sent ends
by itself after four minutes. Source: Alertmanager documentation, ``alerts_api``;
Prometheus, ``--rules.alert.resend-delay``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import httpx
import msgspec

from watchkeeper.alerts.alertmanager.prometheus_alerts import annotations_of, labels_of, rfc3339
from watchkeeper.alerts.delivery.posting import Target, TargetSettings, address
from watchkeeper.alerts.delivery.receiver_settings import settings_of
from watchkeeper.alerts.messages.notification import Alert, Notification
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.findings import Json

AGAIN = timedelta(minutes=1)
ENDS_AFTER = 4 * AGAIN
BATCH = 64
PATH = "/api/v2/alerts"
WATCHDOG = "Watchdog"


def build(receiver: Receiver) -> Alertmanager:
    """Make one for one member, whose ``url`` is the one of its page."""
    settings = settings_of(receiver, TargetSettings)
    if settings.url_from is not None:
        raise SettingsError("an alertmanager receiver has a url, or urls: one for each member")
    url = address(receiver.url, "alertmanager")
    url = url if url.path.endswith(PATH) else url.copy_with(path=url.path.rstrip("/") + PATH)
    return Alertmanager(url, Target(url, "alertmanager", settings.authorization))


class Alertmanager:
    """One member."""

    every_step = True
    """It finds out by itself what is over, and must hear of each beginning for that."""

    def __init__(self, url: httpx.URL, target: Target) -> None:
        self._url = url
        self._target = target

    def notify(self, notification: Notification) -> None:
        """Send the alerts of one message."""
        self._post(
            [as_alert(alert, notification, notification.sent_at or notification.at) for alert in notification.alerts],
            notification.key,
        )

    def repeat(self, standing: Sequence[Notification], now: datetime) -> None:
        """Send all that still holds again; one fingerprint in two messages counts as in the later one."""
        alerts: dict[str, Json] = {}
        for notification in standing:
            for alert in notification.alerts:
                if alert.ends_at is None or notification.transition == "resolved":
                    alerts[alert.fingerprint] = as_alert(alert, notification, now)
        every = [*alerts.values()]
        for first in range(0, len(every), BATCH):
            self._post(every[first : first + BATCH])

    def heartbeat(self, name: str, now: datetime, said: str) -> None:
        """Send the alert that always fires: whoever is told of its end knows that we have fallen silent."""
        self._post(
            [
                {
                    "labels": {"alertname": WATCHDOG, "heartbeat": name, "severity": "none"},
                    "annotations": {"summary": "Watchkeeper takes events, evaluates and sends.", "description": said},
                    "startsAt": rfc3339(now),
                    "endsAt": rfc3339(now + ENDS_AFTER),
                }
            ]
        )

    def _post(self, alerts: list[Json], key: str | None = None) -> None:
        headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
        self._target.post(msgspec.json.encode(alerts), headers)


def as_alert(alert: Alert, notification: Notification, now: datetime) -> Json:
    """Give one alert; while it fires its end is a promise to be renewed."""
    ends_at = now + ENDS_AFTER if alert.ends_at is None else alert.ends_at
    return {
        "labels": {**labels_of(alert, notification)},
        "annotations": {**annotations_of(alert, notification)},
        # Alertmanager refuses a beginning after the end.
        "startsAt": rfc3339(min(alert.starts_at, ends_at)),
        "endsAt": rfc3339(ends_at),
        "generatorURL": notification.evidence_url,
    }

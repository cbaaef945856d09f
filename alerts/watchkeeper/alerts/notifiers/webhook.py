"""Posts the message as an Alertmanager webhook, payload version 4: what receives Alertmanager receives this.

Source: Alertmanager documentation, ``webhook_config``. Only a 2xx answer counts as delivered.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from watchkeeper.alerts.notification import Alert, Notification
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.errors import DeliveryError, SettingsError
from watchkeeper.schemas.findings import Json

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
RETRYABLE = frozenset({408, 429})
REASON_BYTES = 300
STILL_FIRING = "0001-01-01T00:00:00Z"
"""What Alertmanager writes for "has not ended"."""


def build(receiver: Receiver) -> Webhook:
    """Make one for the receiver's ``url``."""
    try:
        url = httpx.URL(receiver.url or "")
    except httpx.InvalidURL as error:
        raise SettingsError(f"a webhook receiver needs a url: {error}") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise SettingsError("a webhook receiver needs a url that begins with http:// or https://")
    return Webhook(url)


class Webhook:
    """One URL."""

    def __init__(self, url: httpx.URL) -> None:
        self._url = url

    def notify(self, notification: Notification) -> None:
        """Post it with its idempotency key, so that a receiver can drop what arrives twice."""
        headers = {"Idempotency-Key": notification.key}
        try:
            # No proxy from the environment: the operator declared this very address.
            with (
                httpx.Client(timeout=TIMEOUT, trust_env=False) as client,
                client.stream("POST", self._url, json=payload(notification), headers=headers) as response,
            ):
                if not response.is_success:
                    raise _refusal(response, self._url.host)
        except httpx.RequestError as error:
            # The URL may hold a secret; the host says enough.
            raise DeliveryError(f"{self._url.host}: {type(error).__name__}: {error}", retryable=True) from error


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
    }


def _common(of_each: Iterable[dict[str, str]]) -> dict[str, Json]:
    """Keep the pairs that all alerts share."""
    every = list(of_each)
    first = every[0] if every else {}
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in every)}


def _refusal(response: httpx.Response, host: str) -> DeliveryError:
    status = response.status_code
    reason = next(response.iter_raw(REASON_BYTES), b"").decode("utf-8", "replace")
    return DeliveryError(
        f"{host} answered {status} {' '.join(reason.split())}".strip(),
        retryable=status >= 500 or status in RETRYABLE,
        retry_after=_retry_after(response),
    )


def _retry_after(response: httpx.Response) -> float | None:
    """Read ``Retry-After``: seconds, or a date that is compared with the receiver's own clock."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        return max(0.0, (until - parsedate_to_datetime(response.headers.get("date", ""))).total_seconds())
    except (ValueError, TypeError):
        return None


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")

"""Sends events to PagerDuty (Events API v2): an alert for each group, acknowledged and resolved with it.

The key that PagerDuty merges by is made of what is told together, so a message that arrives twice is one alert. What
comes for an alert that is over is dropped there: order matters, so each step goes by itself, however late.
Source: PagerDuty developer documentation, Events API v2.
"""

from __future__ import annotations

import hashlib

import msgspec

from watchkeeper.alerts.alertmanager.prometheus_alerts import rfc3339
from watchkeeper.alerts.delivery.posting import address, post
from watchkeeper.alerts.delivery.receiver_settings import SecretRef, read_secret, settings_of
from watchkeeper.alerts.messages.notification import Notification
from watchkeeper.alerts.messages.wording import burning, left, number, one_line
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.findings import Json, Severity

URL = "https://events.pagerduty.com/v2/enqueue"
SUMMARY_LENGTH = 1024
BODY_BYTES = 512 * 1000
SHOWN_TEXT = 20_000
SEVERITY = {Severity.PAGE: "critical", Severity.TICKET: "warning", Severity.NOTICE: "info"}
ACTION = {"fired": "trigger", "updated": "trigger", "acknowledged": "acknowledge", "resolved": "resolve"}


class PagerDutySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """``routingKey``: the integration key of an Events API v2 integration."""

    routing_key: SecretRef


def build(receiver: Receiver) -> PagerDuty:
    """Make one; ``url`` is only for another region's address, or a proxy."""
    settings = settings_of(receiver, PagerDutySettings)
    return PagerDuty(str(address(receiver.url or URL, "pagerduty")), settings.routing_key)


class PagerDuty:
    """One integration."""

    every_step = True
    acknowledgements = True

    def __init__(self, url: str, routing_key: SecretRef) -> None:
        self._url = url
        self._routing_key = routing_key

    def notify(self, notification: Notification) -> None:
        """Send the event; 400 is never tried again, 429 and 5xx are."""
        body = encoded(event(notification), read_secret(self._routing_key))
        headers = {"Content-Type": "application/json", "Idempotency-Key": notification.key}
        post(address(self._url, "pagerduty"), body, headers)


def event(notification: Notification) -> dict[str, Json]:
    """Give the event without its key; only a trigger has a payload."""
    action = ACTION[notification.transition]
    told: dict[str, Json] = {"event_action": action, "dedup_key": dedup_key(notification)}
    if action != "trigger":
        return told
    links: list[Json] = [{"href": notification.evidence_url, "text": "Evidence"}]
    if notification.runbook and notification.runbook.startswith(("https://", "http://")):
        links.append({"href": notification.runbook, "text": "Runbook"})
    impact = notification.impact
    details: dict[str, Json] = {
        "message": notification.text[:SHOWN_TEXT],
        "incident": notification.incident_id,
        "subjects": ", ".join(notification.subjects),
        "owner": notification.owner or "",
        **{f"burn rate of {one.objective}": burning(one) for one in notification.budgets},
        **{f"error budget of {one.objective}": left(one) for one in notification.budgets},
        **({"cost a day": number(impact.per_day, impact.currency)} if impact else {}),
        **({"last change": notification.last_change} if notification.last_change else {}),
        **({"examples": ", ".join(notification.examples)} if notification.examples else {}),
    }
    payload: dict[str, Json] = {
        "summary": one_line(notification.title, SUMMARY_LENGTH),
        "source": notification.service or "watchkeeper",
        "severity": SEVERITY[notification.severity],
        "timestamp": rfc3339(notification.at),
        "component": notification.model,
        "group": notification.service,
        "class": notification.alerts[0].metric if notification.alerts else "",
        "custom_details": details,
    }
    shown: dict[str, Json] = {
        "client": "Watchkeeper",
        "client_url": notification.external_url,
        "links": links,
        "payload": payload,
    }
    return told | shown


def dedup_key(notification: Notification) -> str:
    """Give the key that all messages of one group share, of one incident where there is no group."""
    about = notification.group_key or notification.incident_id
    return hashlib.sha256(f"watchkeeper\x1f{about}".encode()).hexdigest()


def encoded(told: dict[str, Json], routing_key: str) -> bytes:
    """Write the body; the details are left out where it would be over PagerDuty's limit."""
    body = msgspec.json.encode({"routing_key": routing_key, **told})
    payload = told.get("payload")
    if len(body) <= BODY_BYTES or not isinstance(payload, dict):
        return body
    short: dict[str, Json] = {**payload, "custom_details": {"message": "too long to be sent: see the evidence"}}
    return msgspec.json.encode({"routing_key": routing_key, **told, "payload": short})

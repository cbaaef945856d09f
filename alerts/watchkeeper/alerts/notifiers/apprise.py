"""Hands the message to Apprise, which knows a hundred more services: the long tail, behind our outbox.

Apprise says only whether it worked: no status, no Retry-After, no idempotency key; every failure is tried again, and
what it failed may have arrived. Take our own type where there is one. Needs ``pip install 'watchkeeper[apprise]'``.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, cast

import msgspec

from watchkeeper.alerts.delivery.receiver_settings import SecretRef, read_secret, settings_of
from watchkeeper.alerts.messages.notification import Notification
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.errors import DeliveryError, SettingsError
from watchkeeper.schemas.findings import Severity


class AppriseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """``urlFrom``: the Apprise URL of one service; it holds its secrets."""

    url_from: SecretRef


def build(receiver: Receiver) -> Apprise:
    """Make one; Apprise is imported when the first message goes out."""
    settings = settings_of(receiver, AppriseSettings)
    if receiver.url is not None:
        raise SettingsError("an apprise receiver has settings.urlFrom: its URL holds secrets")
    if find_spec("apprise") is None:
        raise SettingsError("an apprise receiver needs the package: pip install 'watchkeeper[apprise]'")
    return Apprise(settings.url_from)


class Apprise:
    """One service by its Apprise URL."""

    def __init__(self, url: SecretRef) -> None:
        self._url = url

    def notify(self, notification: Notification) -> None:
        """Send it."""
        import apprise  # noqa: PLC0415 - it takes a second, and most servers have no such receiver

        module = cast("Any", apprise)
        client = module.Apprise(asset=module.AppriseAsset(app_id="Watchkeeper", app_url=notification.external_url))
        if not client.add(read_secret(self._url)):
            raise DeliveryError("Apprise cannot read the URL of this receiver: correct the secret", retryable=True)
        title, _, body = notification.text.partition("\n")
        if not client.notify(title=title, body=body or title, body_format="text", notify_type=_kind(notification)):
            raise DeliveryError("Apprise could not deliver it, and does not say why", retryable=True, unsure=True)


def _kind(notification: Notification) -> str:
    if notification.transition == "resolved":
        return "success"
    return "failure" if notification.severity is Severity.PAGE else "warning"

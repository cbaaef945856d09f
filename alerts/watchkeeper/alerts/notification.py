"""What a notifier gets: one change of one incident for one receiver, finished, with nothing left to look up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from watchkeeper.schemas.findings import Severity

Transition = Literal["fired", "updated", "resolved"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One condition of the incident. ``fingerprint`` stays the same from firing to resolved, over all episodes."""

    fingerprint: str
    analyzer: str
    metric: str
    subject: str
    severity: Severity
    summary: str
    description: str
    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Notification:
    """One message. ``key`` is its idempotency key: a receiver that gets the same key twice may drop the second.

    ``title`` is the first line of ``text``. ``new`` holds the fingerprints that this message is sent for.
    """

    key: str
    receiver: str
    transition: Transition
    incident_id: str
    service: str
    model: str
    severity: Severity
    title: str
    text: str
    subjects: tuple[str, ...]
    new: tuple[str, ...]
    alerts: tuple[Alert, ...]
    at: datetime
    evidence_url: str
    external_url: str
    owner: str | None = None
    contact: str | None = None
    runbook: str | None = None
    fallback: str | None = None


class Notifier(Protocol):
    """Brings a message to where a person sees it."""

    def notify(self, notification: Notification) -> None:
        """Deliver, or say why not.

        Raises:
            DeliveryError: not delivered; ``retryable`` says whether another attempt is sensible, ``retry_after``
                how many seconds the receiver wants to be left alone.

        """
        ...

"""Signed, expiring addresses where whoever got a message answers it: acknowledge, feedback, the evidence as it was.

Following one changes nothing, as mail scanners and chat previews follow links; only its form does. The address is the
proof: who has it may act on this one incident until it expires, nothing else.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from watchkeeper.alerts.messages.notification import Notification
from watchkeeper.schemas.errors import NotAllowed
from watchkeeper.store.control import signing
from watchkeeper.store.control.connection import Control

LASTS = timedelta(days=14)
PURPOSE = "respond"
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a signed address allows: one incident, as it was told at ``told_at``, until ``expires_at``."""

    incident_id: str
    told_at: datetime
    expires_at: datetime


def sign(key: bytes, ticket: Ticket) -> str:
    """Write a ticket so that nobody can write another, in characters that any URL may hold.

    >>> at = datetime(2026, 3, 1, tzinfo=UTC)
    >>> read(b"k", sign(b"k", Ticket("ab-1", at, at)), at).incident_id
    'ab-1'
    """
    told = (ticket.told_at - EPOCH) // timedelta(microseconds=1)
    said = f"{ticket.incident_id}.{told:x}.{int(ticket.expires_at.timestamp()):x}"
    return f"{said}.{_signature(key, said)}"


def read(key: bytes, token: str, now: datetime) -> Ticket:
    """Read a ticket.

    Raises:
        NotAllowed: nobody here signed it, or its time is over.

    """
    said, _, signature = token.rpartition(".")
    if not hmac.compare_digest(_signature(key, said).encode(), signature.encode()):
        raise NotAllowed("this link is not one of ours: open it as it stands in the message")
    incident_id, told, expires = said.rsplit(".", 2)
    ticket = Ticket(
        incident_id,
        EPOCH + timedelta(microseconds=int(told, 16)),
        datetime.fromtimestamp(int(expires, 16), UTC),
    )
    if now > ticket.expires_at:
        raise NotAllowed(f"this link expired on {ticket.expires_at:%Y-%m-%d %H:%M} UTC: open the incident's page")
    return ticket


def _signature(key: bytes, said: str) -> str:
    digest = hmac.digest(key, f"{PURPOSE}\x00{said}".encode(), hashlib.sha256)
    return binascii.b2a_base64(digest, newline=False).translate(_URL_SAFE).decode().rstrip("=")


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Responding:
    """Makes the addresses of one server, and reads them; the key is read once."""

    def __init__(self, control: Control, public_url: str) -> None:
        self._control = control
        self._public_url = public_url
        self._key: bytes | None = None

    def url(self, ticket: Ticket) -> str:
        """Give the address of a ticket."""
        return f"{self._public_url}/respond/{sign(self._signing_key(ticket.told_at), ticket)}"

    def read(self, token: str, now: datetime) -> Ticket:
        """Read the ticket of an address; NotAllowed where it is none or too old."""
        return read(self._signing_key(now), token, now)

    def invited(self, notification: Notification, now: datetime) -> Notification:
        """Give the message with its address in its last lines."""
        url = self.url(Ticket(notification.incident_id, notification.at, now + LASTS))
        lines = [f"Acknowledge, or say whether it was any use: {url}", f"Frozen evidence: {url}/evidence"]
        return replace(notification, text="\n".join([notification.text, *lines]), respond_url=url)

    def _signing_key(self, now: datetime) -> bytes:
        if self._key is None:
            self._key = signing.key(self._control, PURPOSE, now)
        return self._key

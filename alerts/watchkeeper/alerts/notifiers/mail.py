"""Sends mail over SMTP, text and HTML; all mails about one incident form one thread.

The Message-ID is made of the idempotency key, so a mail that is sent twice bears the same one and most servers drop the
second. Source: RFC 5321, 5322, 3834.
"""

from __future__ import annotations

import hashlib
import html
import re
import smtplib
import ssl
from datetime import UTC
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from watchkeeper.alerts.delivery.receiver_settings import SecretRef, read_secret, settings_of
from watchkeeper.alerts.messages.notification import Notification
from watchkeeper.alerts.messages.wording import one_line
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.errors import DeliveryError, SettingsError

TIMEOUT = 15.0
SUBJECT_LENGTH = 200
PORTS = {"starttls": 587, "tls": 465, "none": 25}
_LINK = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:)]")


class MailSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """``security``: starttls (port 587), tls (465) or none (25); ``caFile``: whom to trust, if not the system."""

    host: str
    sender: str = msgspec.field(name="from")
    to: Annotated[list[str], Meta(min_length=1)]
    security: Literal["starttls", "tls", "none"] = "starttls"
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    username: str | None = None
    password: SecretRef | None = None
    ca_file: str | None = None


def build(receiver: Receiver) -> Mail:
    """Make one from ``settings``."""
    settings = settings_of(receiver, MailSettings)
    if receiver.url is not None:
        raise SettingsError("a mail receiver has no url: settings.host, from and to say where it goes")
    for one in (settings.sender, *settings.to):
        name, address = parseaddr(one)
        if "@" not in address or any(char in one for char in "\r\n") or (name and not address):
            raise SettingsError(f"{one!r} is no mail address")
    if (settings.username is None) != (settings.password is None):
        raise SettingsError("a mail receiver has both username and password, or neither")
    if settings.username is not None and settings.security == "none":
        raise SettingsError("a password would go over the network in the clear: take security starttls or tls")
    return Mail(settings)


class Mail:
    """One list of recipients. Its receipt is the Message-ID of the thread's first mail."""

    acknowledgements = False

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    def notify(self, notification: Notification) -> str | None:
        """Send it; a recipient who is refused is told to the fallback, the others have it."""
        mail = compose(notification, self._settings.sender, self._settings.to)
        sending = False
        try:
            with self._connected() as server:
                sending = True
                refused = server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            raise _refusal(error.recipients, sent=False) from None
        except smtplib.SMTPResponseException as error:
            reason = f"{self._settings.host} answered {error.smtp_code} {_plain(error.smtp_error)}"
            raise DeliveryError(reason, retryable=error.smtp_code < 500) from None
        except (OSError, smtplib.SMTPException) as error:
            reason = f"{self._settings.host}: {type(error).__name__}: {error}"
            raise DeliveryError(reason, retryable=True, unsure=sending) from None
        if refused:
            raise _refusal(refused, sent=True)
        return None if notification.receipt else str(mail["Message-ID"])

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        port = settings.port or PORTS[settings.security]
        if settings.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(settings.host, port, timeout=TIMEOUT, context=self._trusted())
        else:
            server = smtplib.SMTP(settings.host, port, timeout=TIMEOUT)
        try:
            if settings.security == "starttls":
                server.starttls(context=self._trusted())
            if settings.username is not None and settings.password is not None:
                server.login(settings.username, read_secret(settings.password))
        except BaseException:
            server.close()
            raise
        return server

    def _trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._settings.ca_file and str(Path(self._settings.ca_file)))


def compose(notification: Notification, sender: str, to: list[str]) -> EmailMessage:
    """Write the mail."""
    mail = EmailMessage()
    domain = parseaddr(sender)[1].rpartition("@")[2]
    mail["From"], mail["To"] = sender, ", ".join(to)
    mail["Subject"] = one_line(notification.title, SUBJECT_LENGTH)
    mail["Date"] = format_datetime((notification.sent_at or notification.at).astimezone(UTC))
    mail["Message-ID"] = f"<{hashlib.sha256(notification.key.encode()).hexdigest()[:32]}@{domain}>"
    if notification.receipt:
        mail["In-Reply-To"] = mail["References"] = notification.receipt
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Watchkeeper-Key"] = one_line(notification.key, 500)
    mail.set_content(notification.text, cte="quoted-printable")
    mail.add_alternative(_html(notification), subtype="html", cte="quoted-printable")
    return mail


def _html(notification: Notification) -> str:
    title, _, body = notification.text.partition("\n")
    lines = "".join(f"<p style='margin:0 0 .6em'>{_linked(line)}</p>" for line in body.splitlines() if line.strip())
    return (
        "<!DOCTYPE html><html><body style='font-family:sans-serif;max-width:44em'>"
        f"<h2 style='font-size:1.15em'>{html.escape(title)}</h2>{lines}</body></html>"
    )


def _linked(line: str) -> str:
    parts: list[str] = []
    end = 0
    for found in _LINK.finditer(line):
        url = html.escape(found[0])
        parts += [html.escape(line[end : found.start()]), f'<a href="{url}">{url}</a>']
        end = found.end()
    return "".join([*parts, html.escape(line[end:])])


def _refusal(recipients: dict[str, tuple[int, bytes]], *, sent: bool) -> DeliveryError:
    """Say who was refused; try again where all of them may be taken later and nobody has it yet."""
    said = "; ".join(f"{name}: {code} {_plain(reason)}" for name, (code, reason) in recipients.items())
    later = all(code < 500 for code, _ in recipients.values())
    return DeliveryError(f"refused for {said}", retryable=later and not sent)


def _plain(reason: bytes | str) -> str:
    text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
    return " ".join(text.split())[:300]

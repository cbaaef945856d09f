"""Mail against a real SMTP server on loopback."""

from __future__ import annotations

import email
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from alerts.declaring import declare, receiver, tell
from alerts.notes import NOTE, note
from alerts.samples import AT_ONCE, LINKS, day, finding

from watchkeeper.alerts.delivery import registry
from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.schemas.declared import Receiver, Route
from watchkeeper.schemas.errors import DeliveryError
from watchkeeper.store.control.connection import Control


@dataclass
class Box:
    port: int = 0
    mails: list[Message] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    after_data: str = "250 OK"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, to: str, options: list[str]) -> str:  # noqa: N802
        answer = self.answers.get(to, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(to)
            self.recipients.append(to)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.mails.append(email.message_from_bytes(envelope.content or b""))  # type: ignore[arg-type]
        return self.after_data


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def mailbox(**options: object) -> Iterator[Box]:
    box = Box(free_port())
    controller = Controller(box, hostname="127.0.0.1", port=box.port, **options)  # type: ignore[arg-type]
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


def to(box: Box, **more: object) -> Receiver:
    settings = {
        "host": "127.0.0.1",
        "port": box.port,
        "from": "Watchkeeper <watch@wk.example>",
        "to": ["ada@ops.example", "bob@ops.example"],
        "security": "none",
        **more,
    }
    return receiver("mail", "mail", settings=settings)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *named]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return key, cert


def test_text_and_html_in_one_mail() -> None:
    with mailbox() as box:
        registry.build(to(box)).notify(NOTE)
    (mail,) = box.mails
    assert box.recipients == ["ada@ops.example", "bob@ops.example"]
    assert mail["Subject"] == NOTE.title
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Watchkeeper-Key"] == NOTE.key
    plain, html = mail.get_payload()
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")  # type: ignore[union-attr]
    shown = html.get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert "it &lt;drifts&gt; &amp; more" in shown
    assert '<a href="http://127.0.0.1:8091/incident?id=ab-1">' in shown
    assert plain.get_payload(decode=True).decode().replace("\r\n", "\n").strip() == NOTE.text  # type: ignore[union-attr]


def test_the_same_message_bears_the_same_id() -> None:
    with mailbox() as box:
        for _ in range(2):
            registry.build(to(box)).notify(NOTE)
        registry.build(to(box)).notify(note("resolved"))
    ids = [mail["Message-ID"] for mail in box.mails]
    assert ids[0] == ids[1] != ids[2]


def test_mails_about_one_incident_are_a_thread(control: Control) -> None:
    with mailbox() as box:
        routes = declare(control, to(box), Route(name="all", receiver="mail"))
        tell(control, routes, finding())
        Sender(control).run_once(day(0))
        tell(control, routes, finding("origin", at=day(1)))
        Sender(control).run_once(day(1))
        record(
            control,
            [finding(at=day(2), active=False), finding("origin", at=day(2), active=False)],
            routes,
            day(2),
            LINKS,
            timing=AT_ONCE,
        )
        Sender(control).run_once(day(2))
    first, second, third = box.mails
    assert first["References"] is None
    assert second["References"] == third["References"] == second["In-Reply-To"] == first["Message-ID"]
    assert third["Subject"].startswith("RESOLVED")


@pytest.mark.parametrize(
    ("answers", "retryable", "sent"),
    [
        ({"ada@ops.example": "550 no such user", "bob@ops.example": "550 no such user"}, False, 0),
        ({"ada@ops.example": "451 later", "bob@ops.example": "451 later"}, True, 0),
        ({"ada@ops.example": "550 no such user"}, False, 1),
    ],
)
def test_refused_recipients(answers: dict[str, str], retryable: bool, sent: int) -> None:
    with mailbox() as box:
        box.answers = answers
        with pytest.raises(DeliveryError, match="refused for ada@ops") as refused:
            registry.build(to(box)).notify(NOTE)
    assert refused.value.retryable is retryable
    assert len(box.mails) == sent


@pytest.mark.parametrize(("answer", "retryable"), [("452 disk full", True), ("554 looks like spam", False)])
def test_a_mail_that_is_refused(answer: str, retryable: bool) -> None:
    with mailbox() as box:
        box.after_data = answer
        with pytest.raises(DeliveryError, match=f"answered {answer}") as refused:
            registry.build(to(box)).notify(NOTE)
    assert refused.value.retryable is retryable


def test_a_server_that_is_away() -> None:
    with pytest.raises(DeliveryError) as failed:
        registry.build(to(Box(free_port()))).notify(NOTE)
    assert failed.value.retryable
    assert not failed.value.unsure


def test_starttls_and_a_password(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key, cert = certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    seen: list[tuple[str, bytes, bytes]] = []

    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
        seen.append((mechanism, data.login, data.password))  # type: ignore[attr-defined]
        return AuthResult(success=data.password == b"right", handled=False)  # type: ignore[attr-defined]

    monkeypatch.setenv("MAIL_PASSWORD", "right")
    secret = {"username": "watch", "password": {"env": "MAIL_PASSWORD"}, "security": "starttls"}
    with mailbox(tls_context=context, authenticator=authenticate, auth_required=True) as box:
        registry.build(to(box, caFile=str(cert), **secret)).notify(NOTE)
        assert len(box.mails) == 1
        assert seen[0][1:] == (b"watch", b"right")
        with pytest.raises(DeliveryError, match="CERTIFICATE_VERIFY_FAILED"):
            registry.build(to(box, **secret)).notify(NOTE)
        monkeypatch.setenv("MAIL_PASSWORD", "wrong-secret")
        with pytest.raises(DeliveryError, match="answered 535") as refused:
            registry.build(to(box, caFile=str(cert), **secret)).notify(NOTE)
    assert not refused.value.retryable, "the fallback is told, as nobody reads this mail"
    assert "wrong-secret" not in str(refused.value)

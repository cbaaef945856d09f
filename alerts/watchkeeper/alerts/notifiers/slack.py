"""Posts to Slack: by an incoming webhook, or with a bot's token, which keeps one message an incident up to date.

With a token the message is edited where it stands when the incident is acknowledged or over; what is new also goes into
its thread and the channel, as an edit makes no sound. Slack has no idempotency key: a server killed at the wrong
moment posts twice. Source: Slack API documentation (``chat.postMessage``, ``chat.update``, Block Kit limits).
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from watchkeeper.alerts.delivery.posting import Target, address, post
from watchkeeper.alerts.delivery.receiver_settings import SecretRef, read_secret, settings_of
from watchkeeper.alerts.messages.notification import Notification
from watchkeeper.alerts.messages.wording import one_line
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.errors import DeliveryError, SettingsError
from watchkeeper.schemas.findings import Json

URL = "https://slack.com/api"
HEADER_LENGTH, SECTION_LENGTH, TOTAL_LENGTH = 150, 3000, 12_000
"""Slack's limits of a block, and under the 13 000 or so at which a whole message is refused."""

TRY_AGAIN = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "ratelimited"})
CANNOT_EDIT = frozenset({"message_not_found", "edit_window_closed", "cant_update_message", "update_failed"})


class SlackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """``webhookUrl`` alone, or ``token`` and ``channel``."""

    webhook_url: SecretRef | None = None
    token: SecretRef | None = None
    channel: str | None = None


def build(receiver: Receiver) -> SlackWebhook | SlackBot:
    """Make one; ``url`` is only for another address of Slack's API, or a proxy."""
    settings = settings_of(receiver, SlackSettings)
    if settings.webhook_url is not None and settings.token is None and settings.channel is None:
        return SlackWebhook(Target(settings.webhook_url, "slack"))
    if settings.token is None or not settings.channel or settings.webhook_url is not None:
        raise SettingsError("a slack receiver needs settings.webhookUrl, or settings.token and settings.channel")
    return SlackBot(str(address(receiver.url or URL, "slack")).rstrip("/"), settings.token, settings.channel)


class SlackWebhook:
    """An incoming webhook: each message is a new one."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def notify(self, notification: Notification) -> None:
        """Post it."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": notification.key}
        self._target.post(msgspec.json.encode(message(notification)), headers)


class SlackBot:
    """A bot in one channel; its receipt is the channel's id and the message's time, which is its name."""

    acknowledgements = True

    def __init__(self, url: str, token: SecretRef, channel: str) -> None:
        self._url = url
        self._token = token
        self._channel = channel

    def notify(self, notification: Notification) -> str | None:
        """Post the incident's message, or edit the one that stands there."""
        channel, _, ts = (notification.receipt or "").partition(" ")
        if not ts:
            return self._new(notification)
        try:
            self._call("chat.update", {"channel": channel, "ts": ts, **message(notification)})
        except DeliveryError as error:
            if not any(str(error).endswith(f": {code}") for code in CANNOT_EDIT):
                raise
            return self._new(notification)
        if notification.transition in {"fired", "updated"}:
            thread: dict[str, Json] = {"channel": channel, "thread_ts": ts, "reply_broadcast": True}
            self._call("chat.postMessage", {**thread, "text": escaped(notification.title)})
        return None

    def _new(self, notification: Notification) -> str | None:
        answer = self._call("chat.postMessage", {"channel": self._channel, **message(notification)})
        return f"{answer['channel']} {answer['ts']}" if "ts" in answer and "channel" in answer else None

    def _call(self, method: str, body: dict[str, Json]) -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {read_secret(self._token)}",
            "Content-Type": "application/json; charset=utf-8",
        }
        raw = post(address(f"{self._url}/{method}", "slack"), msgspec.json.encode(body), headers)
        try:
            answer = cast("dict[str, Any]", msgspec.json.decode(raw, type=dict))
        except msgspec.DecodeError:
            raise DeliveryError(f"slack {method}: the answer is no JSON", retryable=True, unsure=True) from None
        if not answer.get("ok"):
            code = str(answer.get("error", "no reason given"))
            raise DeliveryError(f"slack {method}: {code}", retryable=code in TRY_AGAIN)
        return answer


def message(notification: Notification) -> dict[str, Json]:
    """Give text and blocks: a header, the lines in sections that keep to the limits, and the links."""
    _, _, body = notification.text.partition("\n")
    links = [("Evidence", notification.evidence_url), ("Runbook", notification.runbook or "")]
    shown = [f"<{url}|{name}>" for name, url in links if url.startswith(("http://", "https://"))]
    sections = [*_sections(escaped(body)), *([" · ".join(shown)] if shown else [])]
    header: Json = {
        "type": "header",
        "text": {"type": "plain_text", "text": one_line(notification.title, HEADER_LENGTH)},
    }
    blocks: list[Json] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": section}} for section in sections if section.strip()
    ]
    return {"text": escaped(notification.title), "blocks": [header, *blocks]}


def escaped(text: str) -> str:
    """Keep Slack from reading commands in what a service sent.

    >>> escaped("<!channel> & more")
    '&lt;!channel&gt; &amp; more'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _sections(text: str) -> list[str]:
    """Divide at line ends; what is over the total limit is left to the evidence page."""
    if len(text) > TOTAL_LENGTH:
        text = text[:TOTAL_LENGTH].rsplit("\n", 1)[0] + "\n… more on the evidence page"
    found = [""]
    for line in text.splitlines():
        for piece in (line[at : at + SECTION_LENGTH] for at in range(0, max(len(line), 1), SECTION_LENGTH)):
            if len(found[-1]) + len(piece) + 1 > SECTION_LENGTH:
                found.append("")
            found[-1] += ("\n" if found[-1] else "") + piece
    return found

"""Every type of receiver against one that answers on loopback."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from alerts.declaring import declare, receiver, stored, tell
from alerts.notes import NOTE, note
from alerts.samples import AT_ONCE, LINKS, day, finding
from alerts.sink import Answer, sink

from watchkeeper.alerts.delivery import registry
from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.incidents.feedback import acknowledge
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.notifiers import pagerduty, slack
from watchkeeper.schemas.declared import Receiver, Route
from watchkeeper.schemas.errors import DeliveryError, SettingsError
from watchkeeper.store.control.connection import Control

KEY = "0123456789abcdef0123456789abcdef"
PAGERDUTY = {"routingKey": {"env": "PD_KEY"}}
BOT = {"token": {"env": "SLACK_TOKEN"}, "channel": "C1"}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PD_KEY", KEY)
    monkeypatch.setenv("SLACK_TOKEN", "xoxb-secret")


@pytest.mark.parametrize(
    ("type_", "more", "said"),
    [
        ("pagerduty", {}, "routingKey"),
        ("pagerduty", {"settings": {"routingKey": {}}}, "one of env and file"),
        ("pagerduty", {"settings": {"routingKey": "plain"}}, "routingKey"),
        ("slack", {"settings": {"token": {"env": "X"}}}, "webhookUrl, or"),
        ("slack", {"settings": {"webhookUrl": {"env": "X"}, "chanel": "C"}}, "chanel"),
        ("mail", {"settings": {"host": "mx", "from": "a@b", "to": []}}, "to"),
        ("mail", {"settings": {"host": "mx", "from": "a@b", "to": ["nobody"]}}, "'nobody' is no mail address"),
        ("mail", {"settings": {"host": "mx", "from": "a@b\nBcc: c@d", "to": ["c@d"]}}, "is no mail address"),
        ("mail", {"settings": {"host": "mx", "from": "a@b", "to": ["c@d"], "username": "u"}}, "both username"),
        (
            "mail",
            {
                "settings": {
                    "host": "mx",
                    "from": "a@b",
                    "to": ["c@d"],
                    "username": "u",
                    "password": {"env": "X"},
                    "security": "none",
                }
            },
            "in the clear",
        ),
        ("alertmanager", {}, "url"),
        ("cloudevents", {"url": "http://x/", "settings": {"urlFrom": {"env": "X"}}}, "not both"),
        ("apprise", {"url": "json://x"}, "urlFrom"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_declared(type_: str, more: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        registry.build(Receiver(type=type_, **more))  # type: ignore[arg-type]


def test_pagerduty_event_field_by_field() -> None:
    with sink() as hook:
        registry.build(Receiver(type="pagerduty", url=hook.url, settings=PAGERDUTY)).notify(NOTE)
        body = hook.received[0].body
    payload = body["payload"]
    assert isinstance(payload, dict)
    assert body["routing_key"] == KEY
    assert body["event_action"] == "trigger"
    assert len(str(body["dedup_key"])) == 64
    assert payload["severity"] == "critical"
    assert payload["source"] == "delays"
    assert payload["summary"] == NOTE.title
    assert payload["timestamp"] == "2026-03-01T10:00:00Z"
    assert [link["text"] for link in body["links"]] == ["Evidence", "Runbook"]  # type: ignore[index, attr-defined]


@pytest.mark.parametrize(("transition", "action"), [("acknowledged", "acknowledge"), ("resolved", "resolve")])
def test_pagerduty_follows_with_the_same_key(transition: str, action: str) -> None:
    first, later = pagerduty.event(NOTE), pagerduty.event(note(transition))
    assert later == {"event_action": action, "dedup_key": first["dedup_key"]}


def test_pagerduty_limits() -> None:
    huge = dataclasses.replace(NOTE, title="x" * 5000, text="y" * 900_000, subjects=("z" * 900_000,))
    body = pagerduty.encoded(pagerduty.event(huge), KEY)
    assert len(body) <= 512 * 1000
    assert len(json.loads(body)["payload"]["summary"]) == 1024


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (403, False), (429, True), (500, True)])
def test_pagerduty_which_answers_are_tried_again(status: int, retryable: bool) -> None:
    with sink() as hook:
        hook.answers = [Answer(status)]
        with pytest.raises(DeliveryError) as refused:
            registry.build(Receiver(type="pagerduty", url=hook.url, settings=PAGERDUTY)).notify(NOTE)
    assert refused.value.retryable is retryable
    assert KEY not in str(refused.value)


def test_pagerduty_gets_every_step_in_order_however_late(control: Control) -> None:
    """A resolve for a key that it never saw would be dropped there: nobody would ever be told."""
    with sink() as hook:
        routes = declare(
            control,
            receiver("pd", "pagerduty", url=hook.url, settings=PAGERDUTY),
            Route(name="all", receiver="pd"),
        )
        tell(control, routes, finding())
        record(control, [finding(at=day(1), active=False)], routes, day(1), LINKS, timing=AT_ONCE)
        Sender(control).run_once(day(2))
        assert [one.body["event_action"] for one in hook.received] == ["trigger", "resolve"]
        assert len({one.body["dedup_key"] for one in hook.received}) == 1


def test_who_takes_it_on_is_told_to_those_who_want_to_know(control: Control) -> None:
    with sink() as pager, sink() as hook:
        routes = declare(
            control,
            receiver("pd", "pagerduty", url=pager.url, settings=PAGERDUTY),
            receiver("hook", "webhook", url=hook.url),
            Route(name="a", receiver="pd"),
            Route(name="b", receiver="hook"),
        )
        tell(control, routes, finding())
        Sender(control).run_once(day(0))
        acknowledge(control, stored(control)[0].incident_id, "ada", day(0))
        acknowledge(control, stored(control)[0].incident_id, "bob", day(0))
        Sender(control).run_once(day(0))
        assert [one.body["event_action"] for one in pager.received] == ["trigger", "acknowledge"]
        assert len(hook.received) == 1


def test_slack_webhook_keeps_to_the_limits_and_reads_no_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    long = dataclasses.replace(NOTE, text=NOTE.text + "\n" + "\n".join(["<!here> " + "w" * 4000] * 6))
    with sink() as hook:
        monkeypatch.setenv("SLACK_URL", hook.url)
        registry.build(Receiver(type="slack", settings={"webhookUrl": {"env": "SLACK_URL"}})).notify(long)
        body = hook.received[0].body
    raw = json.dumps(body)
    blocks = body["blocks"]
    assert isinstance(blocks, list)
    assert "<!" not in raw
    assert "&lt;!channel&gt;" in raw
    assert len(blocks) <= 50
    assert all(len(block["text"]["text"]) <= 3000 for block in blocks)
    assert sum(len(block["text"]["text"]) for block in blocks) < 13_000
    assert "<https://runbooks.example/x|Runbook>" in raw


def test_slack_bot_edits_its_message_in_place() -> None:
    posted = Answer(body='{"ok": true, "channel": "C1", "ts": "17.1"}')
    with sink() as hook:
        bot = registry.build(Receiver(type="slack", url=hook.url, settings=BOT))
        hook.answers = [posted] * 4
        receipt = bot.notify(NOTE)
        bot.notify(note("updated", receipt=receipt))
        bot.notify(note("resolved", receipt=receipt))
        methods = [one.path.rsplit("/", 1)[1] for one in hook.received]
        assert hook.received[0].headers["authorization"] == "Bearer xoxb-secret"
        assert methods == ["chat.postMessage", "chat.update", "chat.postMessage", "chat.update"]
        assert [one.body.get("ts") for one in hook.received] == [None, "17.1", None, "17.1"]
        assert hook.received[2].body["thread_ts"] == "17.1"


@pytest.mark.parametrize(
    ("error", "retryable"), [("channel_not_found", False), ("invalid_auth", False), ("internal_error", True)]
)
def test_slack_errors_come_with_a_200(error: str, retryable: bool) -> None:
    with sink() as hook:
        hook.answers = [Answer(body=json.dumps({"ok": False, "error": error}))]
        with pytest.raises(DeliveryError, match=error) as refused:
            registry.build(Receiver(type="slack", url=hook.url, settings=BOT)).notify(NOTE)
    assert refused.value.retryable is retryable
    assert "xoxb" not in str(refused.value)


def test_slack_message_that_is_gone_is_posted_anew() -> None:
    with sink() as hook:
        hook.answers = [
            Answer(body='{"ok": false, "error": "message_not_found"}'),
            Answer(body='{"ok": true, "channel": "C1", "ts": "18.0"}'),
        ]
        bot = registry.build(Receiver(type="slack", url=hook.url, settings=BOT))
        assert bot.notify(note("resolved", receipt="C1 17.1")) == "C1 18.0"


def test_slack_keeps_the_receipt_over_a_restart(control: Control) -> None:
    with sink() as hook:
        hook.answers = [Answer(body='{"ok": true, "channel": "C1", "ts": "17.1"}')] * 2
        routes = declare(
            control, receiver("slack", "slack", url=hook.url, settings=BOT), Route(name="all", receiver="slack")
        )
        tell(control, routes, finding())
        Sender(control).run_once(day(0))
        record(control, [finding(at=day(1), active=False)], routes, day(1), LINKS, timing=AT_ONCE)
        Sender(control).run_once(day(1))
        assert [one.path.rsplit("/", 1)[1] for one in hook.received] == ["chat.postMessage", "chat.update"]
        assert hook.received[1].body["ts"] == "17.1"


def test_slack_long_lines_are_cut_not_lost() -> None:
    text = "PAGE\n" + "a" * 3500 + "\nb"
    blocks = slack.message(dataclasses.replace(NOTE, text=text))["blocks"]
    assert isinstance(blocks, list)
    sections = [block["text"]["text"] for block in blocks[1:]]  # type: ignore[index, call-overload]
    assert "".join(sections).startswith("a" * 3000)
    assert sections[1].startswith("a" * 500 + "\nb")


def test_cloudevents_structured(control: Control) -> None:
    with sink() as hook:
        registry.build(Receiver(type="cloudevents", url=hook.url)).notify(NOTE)
        (one,) = hook.received
    body = one.body
    assert one.headers["content-type"] == "application/cloudevents+json"
    assert one.headers["idempotency-key"] == body["id"] == NOTE.key
    assert {name: body[name] for name in ("specversion", "type", "subject", "time", "source")} == {
        "specversion": "1.0",
        "type": "watchkeeper.incident.fired",
        "subject": "ab-1",
        "time": "2026-03-01T10:00:00Z",
        "source": "http://127.0.0.1:8091/",
    }
    assert body["data"]["alerts"][0]["fingerprint"] == "00ff"  # type: ignore[index, call-overload]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_apprise_delivers_and_says_when_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("apprise", reason="the extra apprise is not installed")
    with sink() as hook:
        url = hook.url.replace("http://", "json://")
        monkeypatch.setenv("APPRISE_URL", url)
        long_tail = registry.build(Receiver(type="apprise", settings={"urlFrom": {"env": "APPRISE_URL"}}))
        long_tail.notify(NOTE)
        assert hook.received[0].body["title"] == NOTE.title
        assert hook.received[0].body["type"] == "failure"
        hook.answers = [Answer(500)]
        with pytest.raises(DeliveryError) as failed:
            long_tail.notify(NOTE)
    assert failed.value.retryable
    assert failed.value.unsure


def test_a_secret_from_a_file_is_read_at_each_message(tmp_path: Path) -> None:
    file = tmp_path / "key"
    pager = {"settings": {"routingKey": {"file": str(file)}}}
    with sink() as hook:
        one = registry.build(Receiver(type="pagerduty", url=hook.url, **pager))
        with pytest.raises(DeliveryError, match="cannot be read") as missing:
            one.notify(NOTE)
        assert missing.value.retryable
        for key in ("first", "second"):
            file.write_text(f"{key}\n")
            one.notify(NOTE)
        assert [one.body["routing_key"] for one in hook.received] == ["first", "second"]


def test_authorization_is_a_header_and_no_word_of_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOOK_AUTH", "Bearer tell-nobody")
    with sink() as hook:
        settings = {"authorization": {"env": "HOOK_AUTH"}}
        hook.answers = [Answer(401)]
        with pytest.raises(DeliveryError) as refused:
            registry.build(Receiver(type="webhook", url=hook.url, settings=settings)).notify(NOTE)
        assert hook.received[0].headers["authorization"] == "Bearer tell-nobody"
    assert "tell-nobody" not in str(refused.value) + caplog.text

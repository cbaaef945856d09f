from __future__ import annotations

import dataclasses
import json

import httpx
import pytest
from alerts.samples import AT_ONCE, LINKS, OWNED, START, day, finding, webhook
from alerts.sink import Answer, sink

from watchkeeper.alerts.delivery.posting import retry_after
from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.messages.notification import Alert, Notification
from watchkeeper.alerts.notifiers import webhook as module
from watchkeeper.schemas.declared import Declarations, Receiver
from watchkeeper.schemas.errors import DeliveryError, SettingsError
from watchkeeper.schemas.findings import Severity
from watchkeeper.store.control import declared, incidents
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Phase

LABELS = {
    "alertname": "drift/psi",
    "service": 'de"lays',
    "model": "arrival",
    "severity": "page",
    "analyzer": "drift",
    "metric": "psi",
    "subject": "carrier",
}
ALERT = Alert(
    fingerprint="00ff",
    analyzer="drift",
    metric="psi",
    subject="carrier",
    severity=Severity.PAGE,
    summary="it drifts",
    description="a lot",
    starts_at=START,
    ends_at=None,
    labels=LABELS,
)
NOTIFICATION = Notification(
    key="ab:1:fired:on-call:1",
    receiver="on-call",
    transition="fired",
    incident_id="ab-1",
    service='de"lays',
    model="arrival",
    severity=Severity.PAGE,
    title="PAGE",
    text="PAGE\nmore",
    subjects=("carrier",),
    new=("00ff",),
    alerts=(
        ALERT,
        dataclasses.replace(ALERT, fingerprint="11ff", labels=LABELS | {"subject": "origin", "severity": "ticket"}),
    ),
    at=START,
    evidence_url="http://127.0.0.1:8091/incident?id=ab-1",
    external_url="http://127.0.0.1:8091",
    owner="operations",
    runbook="https://runbooks.example/x",
    group_key='on-call:{model="arrival", service="de\\"lays"}',
    group_labels={"service": 'de"lays', "model": "arrival"},
    truncated=2,
)


def test_payload_version_4_field_by_field() -> None:
    body = module.payload(NOTIFICATION)
    annotations = {
        "summary": "it drifts",
        "description": "a lot",
        "incident": "ab-1",
        "subjects": "carrier",
        "message": "PAGE\nmore",
        "runbook_url": "https://runbooks.example/x",
        "owner": "operations",
    }
    first = {
        "status": "firing",
        "labels": LABELS,
        "annotations": annotations,
        "startsAt": "2026-03-01T10:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://127.0.0.1:8091/incident?id=ab-1",
        "fingerprint": "00ff",
    }
    second = {**first, "fingerprint": "11ff", "labels": {**LABELS, "subject": "origin", "severity": "ticket"}}
    assert body == {
        "version": "4",
        "groupKey": 'on-call:{model="arrival", service="de\\"lays"}',
        "truncatedAlerts": 2,
        "status": "firing",
        "receiver": "on-call",
        "groupLabels": {"service": 'de"lays', "model": "arrival"},
        "commonLabels": {name: LABELS[name] for name in ("alertname", "service", "model", "analyzer", "metric")},
        "commonAnnotations": annotations,
        "externalURL": "http://127.0.0.1:8091",
        "alerts": [first, second],
    }
    assert json.loads(json.dumps(body)) == body


def test_the_end_on_the_wire(control: Control) -> None:
    """One alert ends while the other goes on, then both: same fingerprints, same labels, all times set."""
    with sink() as hook:
        routes = (webhook(hook.url),)
        in_force = Declarations(systems=(OWNED,), routes=routes)
        with control.transaction() as tx:
            document = {
                "apiVersion": "watchkeeper/v1",
                "kind": "Route",
                "metadata": {"name": "on-call"},
                "spec": {"receiver": {"type": "webhook", "url": hook.url}},
            }
            declared.put(tx, ("Route", "on-call"), document, START, "test")  # type: ignore[arg-type]
        record(control, [finding(), finding("origin")], in_force, START, LINKS, now=day(3))
        record(
            control,
            [finding(at=day(1), active=False), finding("latency", at=day(1))],
            in_force,
            day(1),
            LINKS,
            now=day(3),
        )
        record(
            control,
            [finding(s, at=day(2), active=False) for s in ("origin", "latency")],
            in_force,
            day(2),
            LINKS,
            timing=AT_ONCE,
            now=day(3),
        )
        Sender(control).run_once(day(3))
        bodies = [one.body for one in hook.received]
        assert hook.received[0].headers["content-type"] == "application/json"
    assert [body["status"] for body in bodies] == ["firing", "firing", "resolved"]
    seen = [
        {alert["labels"]["subject"]: (alert["status"], alert["endsAt"]) for alert in body["alerts"]}  # type: ignore[attr-defined]
        for body in bodies
    ]
    never = "0001-01-01T00:00:00Z"
    assert seen == [
        {"carrier": ("firing", never), "origin": ("firing", never)},
        {
            "carrier": ("resolved", "2026-03-02T10:00:00Z"),
            "origin": ("firing", never),
            "latency": ("firing", never),
        },
        dict.fromkeys(("carrier", "origin", "latency"), ("resolved", "2026-03-03T10:00:00Z")),
    ]
    assert len({body["groupKey"] for body in bodies}) == 1
    with control.snapshot() as tx:
        (incident,) = incidents.listed(tx, states=(Phase.RESOLVED,))
    assert {alert["fingerprint"] for alert in bodies[0]["alerts"]} == {  # type: ignore[attr-defined]
        member.fingerprint for member in incident.members if member.subject != "latency"
    }


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(500, True), (503, True), (408, True), (429, True), (400, False), (401, False), (404, False), (302, False)],
)
def test_which_answers_are_worth_another_attempt(status: int, retryable: bool) -> None:
    with sink() as hook:
        hook.answers = [Answer(status, {"Location": hook.url} if status == 302 else {})]
        with pytest.raises(DeliveryError) as refused:
            module.build(Receiver(type="webhook", url=hook.url)).notify(NOTIFICATION)
        assert len(hook.received) == 1, "a redirect is not followed: the operator declared this address"
    assert refused.value.retryable is retryable


@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_2xx_is_delivered(status: int) -> None:
    with sink() as hook:
        hook.answers = [Answer(status)]
        module.build(Receiver(type="webhook", url=hook.url)).notify(NOTIFICATION)
        assert hook.keys == [NOTIFICATION.key]


def test_no_proxy_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with sink() as hook, sink() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        module.build(Receiver(type="webhook", url=hook.url)).notify(NOTIFICATION)
        assert (len(hook.received), len(proxy.received)) == (1, 0)


def test_a_secret_in_the_url_is_not_told() -> None:
    with sink() as gone:
        url = gone.url.replace("/hook", "/services/SECRET")
    with pytest.raises(DeliveryError) as refused:
        module.build(Receiver(type="webhook", url=url)).notify(NOTIFICATION)
    assert refused.value.retryable
    assert "SECRET" not in str(refused.value)


def test_retry_after_as_a_date_is_compared_with_the_receivers_clock() -> None:
    headers = {"Date": "Fri, 20 Nov 2026 10:00:00 GMT", "Retry-After": "Fri, 20 Nov 2026 10:01:30 GMT"}
    assert retry_after(httpx.Response(503, headers=headers)) == 90
    assert retry_after(httpx.Response(503, headers={"Retry-After": headers["Retry-After"]})) is None


@pytest.mark.parametrize("url", [None, "", "ftp://x/", "example.org/hook", "http://", "http://host:port/"])
def test_a_url_that_cannot_work_is_refused(url: str | None) -> None:
    with pytest.raises(SettingsError, match="url"):
        module.build(Receiver(type="webhook", url=url))

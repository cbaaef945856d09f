"""What each key may do, tried on a real server from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from alerts.samples import LINKS, NOTHING_DECLARED, finding
from collector.spans import span, traces
from e2e.running import Server, run, until
from google.rpc.status_pb2 import Status

from watchkeeper.alerts.incidents.intake import record
from watchkeeper.app.keyring import STALE_SECONDS
from watchkeeper.dashboard.client import Client
from watchkeeper.schemas.access import Role
from watchkeeper.store.clock import wall
from watchkeeper.store.control import audit, keys
from watchkeeper.store.control.connection import Transaction, open_control
from watchkeeper.store.control.keys import Grant

BAD_KEY = f"wk_0000000000_{'x' * 43}"


@contextmanager
def control_of(server: Server) -> Iterator[Transaction]:
    control = open_control(f"sqlite:///{server.data / 'control.db'}")
    try:
        with control.transaction() as tx:
            yield tx
    finally:
        control.close()


def made(server: Server, name: str, *roles: Role, **more: Any) -> str:
    """Make a key beside the running server, as ``watchkeeper keys create`` does."""
    with control_of(server) as tx:
        return keys.create(tx, Grant(name, roles, **more), wall(), "test")[1]


def bearer(key: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} | {name.replace("_", "-"): value for name, value in more.items()}


def prediction(number: int, service: str = "shop") -> dict[str, Any]:
    return {"id": f"{service}/{number}", "service": service, "ts": time.time() - 60, "prediction": True}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server with one key for each role, two of them for the service shop alone."""
    with Server(tmp_path_factory.mktemp("guarded"), {"WATCHKEEPER_SCHEDULE_TICK_SECONDS": "3600"}) as server:
        texts = {role.value: made(server, role.value, role) for role in Role}
        texts["shop ingest"] = made(server, "shop-sdk", Role.INGEST, services=("shop", "zoë"))
        texts["shop viewer"] = made(server, "shop-team", Role.VIEWER, services=("shop",))
        until(lambda: server.client.get("/v1/status").status_code, lambda status: status == 401)
        yield server, texts


ALLOWED = {
    ("GET", "/v1/status"): {"viewer", "operator", "admin"},
    ("GET", "/metrics"): {"viewer", "operator", "admin"},
    ("GET", "/openapi.json"): {"viewer", "operator", "admin"},
    ("GET", "/v1/queries/overview"): {"viewer", "operator", "admin"},
    ("GET", "/v1/incidents"): {"viewer", "operator", "admin"},
    ("GET", "/v1/predictions/none"): {"viewer", "operator", "admin"},
    ("GET", "/v1/rejects"): {"viewer", "operator", "admin"},
    ("GET", "/nothing/here"): {"viewer", "operator", "admin"},
    ("POST", "/v1/predictions"): {"ingest", "admin"},
    ("POST", "/v1/changes"): {"ingest", "admin"},
    ("POST", "/v1/incidents/none/acknowledge"): {"operator", "admin"},
    ("POST", "/v1/incidents/none/feedback"): {"operator", "admin"},
    ("POST", "/v1/rejects/replayed"): {"admin"},
    ("POST", "/nothing/here"): {"admin"},
    ("DELETE", "/v1/predictions/none"): {"admin"},
}


@pytest.mark.parametrize(("method", "path"), ALLOWED)
def test_each_role_may_do_its_own_and_nothing_more(guarded, method, path):
    server, texts = guarded
    for role in Role:
        answer = server.client.request(method, path, headers=bearer(texts[role]))
        if role.value in ALLOWED[method, path]:
            assert answer.status_code not in (401, 403), (role, answer.text)
        else:
            assert answer.status_code == 403, (role, answer.text)
            assert answer.json()["reason"].startswith(f"the key {role.value} may not do this: it needs the role ")


def test_a_key_that_is_none_opens_nothing(guarded):
    server, texts = guarded
    wrong = (BAD_KEY, texts["admin"][:-1], texts["admin"] + "x", texts["admin"].replace("wk_", "wk-"), "é" * 20)
    for text in wrong:
        headers = {b"Authorization": b"Bearer " + text.encode()}
        assert server.client.get("/v1/status", headers=headers).status_code == 401


def test_rows_of_another_service_are_rejected_and_the_others_kept(guarded):
    server, texts = guarded
    rows = [prediction(1), prediction(2, "bank"), prediction(3, "zoë"), {"id": "x"}]
    answer = server.post("predictions", *rows, **bearer(texts["shop ingest"])).json()
    assert (answer["accepted"], answer["rejected"]) == (2, 2)
    assert [(one["index"], one["field"]) for one in answer["errors"]] == [(1, "service"), (3, "service")]
    assert answer["errors"][0]["reason"] == "'bank' is not what this API key is for: shop, zoë"
    outcomes = [
        {"prediction_id": "shop/1", "value": True},
        {"prediction_id": "shop/1", "value": True, "service": "shop"},
    ]
    answer = server.post("outcomes", *outcomes, **bearer(texts["shop ingest"])).json()
    assert (answer["accepted"], answer["errors"][0]["index"]) == (1, 0)
    assert answer["errors"][0]["reason"].startswith("no service is named")
    as_viewer = bearer(texts["viewer"])
    until(lambda: server.client.get("/v1/status", headers=as_viewer).json(), lambda status: status["waiting"] == 0)
    assert server.client.get("/v1/predictions/shop%2F1", headers=as_viewer).status_code == 200
    assert server.client.get("/v1/predictions/bank%2F2", headers=as_viewer).status_code == 404
    listed = server.client.get("/v1/rejects", headers=as_viewer).json()["rejects"]
    assert any(one["service"] == "bank" and "API key" in one["reason"] for one in listed)


def test_what_a_protocol_decodes_later_is_filtered_when_it_is_loaded(guarded):
    server, texts = guarded
    shop, bank = (
        traces(span({"gen_ai.request.model": name}, start=time.time() - 60), resource={"service.name": name})
        for name in ("shop", "bank")
    )
    as_shop = bearer(texts["shop ingest"], Content_Type="application/json")
    assert server.client.post("/v1/traces", content=shop, headers=as_shop).status_code == 200
    assert server.client.post("/v1/traces", content=bank, headers=as_shop).status_code == 200
    everything = bearer(texts["viewer"])
    until(lambda: server.client.get("/v1/status", headers=everything).json(), lambda status: status["waiting"] == 0)
    answer = server.client.get("/v1/queries/overview", params={"start": "2020-01-01"}, headers=everything).json()
    assert {row["service"] for row in answer["rows"] if row["model"] in ("shop", "bank")} == {"shop"}
    listed = server.client.get("/v1/rejects?kind=predictions", headers=everything).json()["rejects"]
    turned_away = [one for one in listed if '"model":"bank"' in str(one["raw"])]
    assert [(one["service"], "API key" in one["reason"]) for one in turned_away] == [("bank", True)]


def test_a_book_of_another_service_is_not_believed(guarded):
    server, texts = guarded
    book = "c; logged=900; dropped=899; pending=1; service=bank"
    server.post("predictions", prediction(50), **bearer(texts["shop ingest"], Watchkeeper_Client=book))
    told = server.client.get("/v1/telemetry", headers=bearer(texts["viewer"])).json()
    assert "bank" not in {group["service"] for group in told["groups"]}


def test_a_reader_of_one_service_reads_no_other(guarded):
    server, texts = guarded
    server.post("predictions", prediction(10), prediction(11, "bank"), **bearer(texts["ingest"]))
    everything = bearer(texts["viewer"])
    until(lambda: server.client.get("/v1/status", headers=everything).json(), lambda status: status["waiting"] == 0)
    for path, expected in {
        "/v1/queries/overview?service=shop": 200,
        "/v1/queries/overview?service=bank": 403,
        "/v1/queries/overview": 403,
        "/v1/queries/gpus?service=shop": 403,
        "/v1/queries/nothing?service=shop": 403,
        "/v1/queries": 200,
        "/v1/schemas": 200,
        "/v1/predictions/shop%2F10": 200,
        "/v1/predictions/bank%2F11": 404,
        "/v1/predictions/bank%2F11?service=bank": 403,
        "/v1/incidents?service=shop": 200,
        "/v1/incidents?service=bank": 403,
        "/v1/incidents": 403,
        "/v1/findings?service=shop": 200,
        "/v1/findings": 403,
        "/v1/alerts/quality": 403,
        "/v1/status": 403,
        "/v1/declared": 403,
        "/v1/rejects?service=shop": 403,
        "/metrics": 403,
    }.items():
        answer = server.client.get(path, headers=bearer(texts["shop viewer"]))
        assert answer.status_code == expected, (path, answer.text)


def test_a_new_key_works_at_once_and_a_revoked_one_no_longer_than_documented(guarded):
    server, texts = guarded
    text = made(server, "short-lived", Role.VIEWER)
    assert server.client.get("/v1/status", headers=bearer(text)).status_code == 200
    with control_of(server) as tx:
        keys.revoke(tx, "short-lived", wall(), "test")
    revoked = time.monotonic()
    until(lambda: server.client.get("/v1/status", headers=bearer(text)).status_code, lambda status: status == 401)
    assert time.monotonic() - revoked < STALE_SECONDS + 10
    assert server.client.get("/v1/status", headers=bearer(texts["viewer"])).status_code == 200


def test_both_secrets_work_after_a_rotation(guarded):
    server, _ = guarded
    old = made(server, "turned", Role.VIEWER)
    assert server.client.get("/v1/status", headers=bearer(old)).status_code == 200
    with control_of(server) as tx:
        _, new = keys.rotate(tx, "turned", timedelta(hours=1), wall(), "test")
    until(lambda: server.client.get("/v1/status", headers=bearer(new)).status_code, lambda status: status == 200)
    assert server.client.get("/v1/status", headers=bearer(old)).status_code == 200


def test_a_quota_is_answered_with_when_to_come_back(guarded):
    server, _ = guarded
    three = bearer(made(server, "three-a-minute", Role.VIEWER, requests_per_minute=3))
    answers = [server.client.get("/v1/schemas", headers=three) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[3].headers["retry-after"]) <= 20
    assert answers[3].json()["reason"].startswith("the key three-a-minute has used up its 3 requests a minute")
    small = bearer(made(server, "small", Role.INGEST, bytes_per_minute=1000))
    rows = [prediction(number) | {"extra": {"text": "x" * 500}} for number in range(4)]
    answers = [server.post("predictions", row, **small) for row in rows]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert [answer.headers["retry-after"] for answer in answers[2:]] == ["2", "2"]
    chunked = server.client.post("/v1/predictions", content=iter([b"x" * 10]), headers=small)
    assert chunked.status_code == 429


def test_an_exporter_is_refused_in_the_words_of_its_protocol(guarded):
    server, texts = guarded
    once = made(server, "once-a-minute", Role.INGEST, requests_per_minute=1)
    protobuf = {"Content-Type": "application/x-protobuf"}
    assert server.client.post("/v1/traces", headers=bearer(once) | protobuf).status_code == 200
    for key, status, code in ((BAD_KEY, 401, 16), (texts["viewer"], 403, 7), (once, 429, 8)):
        answer = server.client.post("/v1/traces", headers=bearer(key) | protobuf)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/x-protobuf")
        told = Status.FromString(answer.content)
        in_json = server.client.post(
            "/v1/logs", headers=bearer(key) | {"Content-Type": "application/json; charset=utf-8"}
        )
        assert (told.code, told.message) == (code, in_json.json()["message"])
        assert server.client.post("/v1/predictions", headers=bearer(key)).json()["reason"] == told.message
    assert server.client.get("/v1/traces", headers=bearer(BAD_KEY) | protobuf).status_code == 401


def incident_of(server: Server, model: str = "m") -> str:
    """Open one incident in the control data, as an evaluation would."""
    control = open_control(f"sqlite:///{server.data / 'control.db'}")
    try:
        return record(control, [finding(service="shop", model=model)], NOTHING_DECLARED, wall(), LINKS)[-1].incident.id
    finally:
        control.close()


def test_who_acts_for_whom_is_recorded_and_not_everybody_may(guarded):
    server, texts = guarded
    incident = incident_of(server)
    desk = made(server, "desk", Role.OPERATOR, service_account=True)
    path = f"/v1/incidents/{incident}"
    alone = bearer(texts["operator"], Watchkeeper_On_Behalf_Of="ada")
    refused = server.client.post(f"{path}/acknowledge", json={}, headers=alone)
    assert (refused.status_code, "no service account" in refused.text) == (403, True)
    named = server.client.post(f"{path}/acknowledge", json={"by": "ada"}, headers=bearer(texts["operator"]))
    assert named.status_code == 403
    for_user = bearer(desk, Watchkeeper_On_Behalf_Of="zo%C3%AB")
    assert server.client.post(f"{path}/acknowledge", json={"by": "else"}, headers=for_user).status_code == 200
    own = server.client.post(f"{path}/feedback", json={"word": "known"}, headers=bearer(texts["operator"]))
    assert own.json()["acknowledged_by"] == "zoë"
    assert own.json()["feedback"][0]["by"] == "operator"
    other = bearer(made(server, "bank-desk", Role.OPERATOR, services=("bank",)))
    assert server.client.post(f"{path}/feedback", json={"word": "noise"}, headers=other).status_code == 403
    with control_of(server) as tx:
        told = [(one.action, one.actor, one.key) for one in audit.entries(tx) if one.subject == incident]
        assert audit.verify(tx).broken is None
    assert told == [
        ("incident.feedback", "operator", f"operator ({keys.id_of(texts['operator'])})"),
        ("incident.acknowledged", "zoë", f"desk ({keys.id_of(desk)})"),
    ]


def test_the_dashboard_writes_on_behalf_of_its_user(guarded):
    server, _ = guarded
    incident = incident_of(server, "of the dashboard")
    client = Client(server.url, made(server, "dashboard", Role.OPERATOR, service_account=True))
    client.acknowledge(incident, "zoë; ada\n%")
    client.feedback(incident, "acted_on", None, None)
    client.close()
    with control_of(server) as tx:
        told = [(one.action, one.actor) for one in audit.entries(tx) if one.subject == incident]
    assert ("incident.feedback", "dashboard") in told
    assert ("incident.acknowledged", "zoë; ada\n%") in told


def test_when_a_key_was_used_is_noted(guarded):
    server, texts = guarded
    server.client.get("/v1/status", headers=bearer(texts["viewer"]))

    def last_used() -> Any:
        with control_of(server) as tx:
            return keys.get(tx, keys.id_of(texts["viewer"]) or "").last_used_at

    assert abs((until(last_used, bool) - wall()).total_seconds()) < 600


def test_no_secret_is_ever_told(guarded, tmp_path):
    server, texts = guarded
    told = [server.log.read_text()]
    told += [server.client.get(path, headers=bearer(texts["admin"])).text for path in ("/v1/status", "/metrics")]
    told += [run("keys", "list", "--json", "--data-dir", server.data).stdout]
    told += [run("audit", "list", "--json", "--data-dir", server.data).stdout]
    settings = {"WATCHKEEPER_API_KEY": texts["admin"], "WATCHKEEPER_CONTROL_URL": "postgresql://ada:hidden@db/wk"}
    told += [run("config", "--explain", settings=settings).stdout]
    raw = (server.data / "control.db").read_bytes() + (server.data / "control.db-wal").read_bytes()
    for text in texts.values():
        secret = text.split("_", 2)[2]
        assert not any(secret in one for one in told)
        assert secret.encode() not in raw
    assert "hidden" not in told[-1]
    assert keys.id_of(texts["admin"]) in told[3]


def test_a_server_without_keys_closes_with_the_first_key_and_stays_closed(server):
    assert server.client.get("/v1/status").status_code == 200
    assert server.client.get("/v1/status", headers=bearer("anything")).status_code == 200
    text = run("keys", "create", "first", "--role", "admin", "--data-dir", server.data).stdout.strip()
    until(lambda: server.client.get("/v1/status").status_code, lambda status: status == 401)
    assert server.client.get("/v1/status", headers=bearer(text)).status_code == 200
    ended = run("keys", "revoke", "first", "--data-dir", server.data)
    assert ended.returncode == 0
    until(lambda: server.client.get("/v1/status", headers=bearer(text)).status_code, lambda status: status == 401)
    assert server.client.get("/v1/status").status_code == 401

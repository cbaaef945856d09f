"""What the SDK sends is what the server declares: the exported JSON Schema, and its own decoder."""

from __future__ import annotations

import datetime as dt
import json

import jsonschema
import msgspec
import pytest

from watchkeeper.schemas.events import KINDS, json_schemas
from watchkeeper_sdk import Request, _fields
from watchkeeper_sdk._parcel import KINDS as SENT_KINDS

EVERY_FIELD = {
    "id": "p1",
    "service": "checkout",
    "ts": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    "model": "bot",
    "model_version": "3",
    "system": "support",
    "provider": "acme",
    "prompt": "greet",
    "prompt_version": "7",
    "config_version": "c1",
    "environment": "prod",
    "site": "ams",
    "segments": {"plan": "pro", "seats": 5, "trial": False, "region": None},
    "features": {"amount": 1.5, "country": "DE", "n": 3, "flag": True, "gone": None},
    "prediction": "refund",
    "score": 0.5,
    "confidence": 0.9,
    "confidence_threshold": 0.8,
    "latency_ms": 120.5,
    "ttft_ms": 20,
    "status": "error",
    "error_class": "timeout",
    "tokens": {"input": 1, "cache_read": 2, "cache_write": 3, "output": 4, "reasoning": 5},
    "cost": 0.001,
    "currency": "EUR",
    "attempts": 2,
    "fallback": {"from": "big-model", "reason": "busy"},
    "workflow": "refunds",
    "step": "decide",
    "tool": "search",
    "agent": "planner",
    "operation": "chat",
    "trace_id": "t1",
    "parent_id": "s1",
    "conversation": "c1",
    "finish_reason": "stop",
    "service_tier": "flex",
    "sample_weight": 10,
    "needed_by": 1767322800.5,
    "used_at": 1767322800,
    "reason_codes": ["r1", "r2"],
    "checks": [{"name": "pii", "kind": "policy", "passed": True, "blocked": False, "score": 0.1}],
    "extra": {"anything": [1, {"x": None}]},
}


@pytest.fixture
def valid(sink):
    """Check every row that arrived, both ways; gives them by kind."""

    def check() -> dict[str, list[dict]]:
        rows = {kind: sink.rows(kind) for kind in KINDS}
        for kind, schema in json_schemas().items():
            jsonschema.Draft202012Validator.check_schema(schema)
            for row in rows.get(kind, []):
                jsonschema.validate(row, schema, cls=jsonschema.Draft202012Validator)
                msgspec.json.decode(json.dumps(row), type=KINDS[kind])
        return rows

    return check


def test_every_field_is_sent_as_declared(client, valid):
    assert EVERY_FIELD.keys() == _fields.PREDICTION_FIELDS
    client.log_prediction(**EVERY_FIELD)
    assert client.flush(5)
    [row] = valid()["predictions"]
    assert row == {**EVERY_FIELD, "ts": "2026-01-02T03:04:05+00:00"}


def test_the_least_that_can_be_sent_is_valid(client, valid):
    event_id = client.log_prediction()
    client.log_prediction(prediction=None, score=float("nan"), model=None, oddity=1)
    client.log_outcome(event_id, True)
    client.log_review(event_id, "edited")
    client.mark_change("prompt", "shorter greeting")
    with client.request(), pytest.raises(KeyError), client.request():
        raise KeyError
    assert client.flush(5)
    rows = valid()
    assert {kind: len(found) for kind, found in rows.items()} == {
        "predictions": 4,
        "outcomes": 1,
        "reviews": 1,
        "changes": 1,
    }


@pytest.mark.parametrize("value", [True, 3, 0.5, "text"])
def test_all_arguments_of_the_other_kinds_are_valid(client, valid, value):
    when = dt.datetime.now(dt.UTC)
    client.log_outcome("p", value, prediction_ts=when, known_at=5, source="s", evaluation="e")
    client.log_review("p", "escalated", ts=when, prediction_ts="2026-01-01T00:00:00Z", minutes=3, role="r", reason="x")
    client.mark_change("model", "t", service="other", ts=1.5, model="m", version="2", url="https://example.org")
    assert client.flush(5)
    rows = valid()
    for kind in ("outcomes", "reviews", "changes"):
        [row] = rows[kind]
        assert row.keys() == set(KINDS[kind].__struct_encode_fields__)


def test_names_are_the_servers_names():
    wire = set(json_schemas()["predictions"]["$defs"]["Prediction"]["properties"])
    assert wire == _fields.PREDICTION_FIELDS
    assert set(Request.__annotations__) | {"tokens"} == wire
    definitions = json_schemas()["predictions"]["$defs"]
    for name in ("Tokens", "Check", "Fallback"):
        assert getattr(_fields, name).__annotations__.keys() == definitions[name]["properties"].keys()
    assert set(SENT_KINDS) == set(KINDS)

"""LiteLLM's payloads as predictions: its tokens, money, teams, retries and guardrails."""

from __future__ import annotations

import json

import msgspec
import pytest
from collector.sent import TS

from watchkeeper.collector.decoding import Events, Sent, Taken
from watchkeeper.collector.registry import discover
from watchkeeper.schemas.errors import NotDecodable, TooLarge
from watchkeeper.schemas.events import Prediction, Tokens
from watchkeeper.schemas.settings import Ingest

DECODER = discover(Ingest())["litellm"]
PAYLOAD = {
    "id": "chatcmpl-1",
    "trace_id": "t1",
    "litellm_call_id": "call-1",
    "session_id": "s1",
    "call_type": "acompletion",
    "stream": True,
    "status": "success",
    "startTime": TS,
    "endTime": TS + 2.0,
    "completionStartTime": TS + 0.5,
    "model": "claude-big-2026",
    "model_group": "claude-big",
    "custom_llm_provider": "anthropic",
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "response_cost": 0.0544,
    "cache_hit": False,
    "request_tags": ["beta"],
    "end_user": "acme",
    "metadata": {
        "user_api_key_alias": "shop",
        "user_api_key_team_alias": "payments",
        "user_api_key_user_id": "u1",
        "requester_metadata": {"feature": "search"},
    },
    "hidden_params": {
        "litellm_overhead_time_ms": 3.5,
        "usage_object": {
            "prompt_tokens_details": {"cached_tokens": 60},
            "cache_creation_input_tokens": 10,
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
    },
    "messages": [{"role": "user", "content": "a private question"}],
    "response": {"choices": [{"message": {"content": "a private answer"}}]},
}


def decoded(body: bytes, ingest: Ingest | None = None) -> tuple[Taken, Events]:
    decoder = discover(ingest)["litellm"] if ingest else DECODER
    taken = decoder.check(Sent("litellm", "rows", body, 10))
    return taken, decoder.events("litellm", "rows", taken.body)


def one(**parts: object) -> Prediction:
    [made] = decoded(json.dumps(PAYLOAD | parts).encode())[1].predictions
    return made


def test_everything_arrives() -> None:
    made = one()
    assert (made.id, made.trace_id, made.parent_id, made.conversation) == ("chatcmpl-1", "t1", None, "s1")
    assert (made.service, made.provider, made.operation) == ("shop", "anthropic", "chat")
    assert (made.model, made.model_version) == ("claude-big", "claude-big-2026")
    assert (made.ts, made.latency_ms, made.ttft_ms) == (TS * 10**9, 2000.0, 500.0)
    assert made.tokens == Tokens(input=30, cache_read=60, cache_write=10, output=30, reasoning=20)
    assert made.cost == 0.0544
    assert made.segments == {"team": "payments", "customer": "acme", "feature": "search"}
    extra = msgspec.json.decode(made.extra)
    assert (extra["user"], extra["overhead_ms"], extra["cache_hit"], extra["tags"]) == ("u1", 3.5, False, ["beta"])
    assert "private" not in repr(msgspec.structs.asdict(made))


def test_text_only_where_it_is_asked_for() -> None:
    body = json.dumps(PAYLOAD | {"messages": [{"content": "mail a@example.org"}]}).encode()
    [made] = decoded(body, Ingest(keep_text=True))[1].predictions
    assert "mail [redacted]" in msgspec.json.decode(made.extra)["content"]["input"]


def test_one_an_array_or_lines() -> None:
    row = json.dumps(PAYLOAD).encode()
    for body, rows in ((row, 1), (json.dumps(PAYLOAD, indent=1).encode(), 1), (b"[" + row + b"," + row + b"]", 2),
                       (row + b"\n" + row + b"\n", 2), (b"[]", 0), (b"", 0)):  # fmt: skip
        taken, events = decoded(body)
        assert (taken.rows, len(events.predictions)) == (rows, rows)


def test_a_bad_row_costs_no_other() -> None:
    taken, events = decoded(json.dumps([PAYLOAD, 1, {}, {"id": 7}]).encode())
    assert [(reject.index, reject.raw) for reject in taken.rejected] == [(1, b""), (2, b"{}"), (3, b'{"id":7}')]
    assert json.loads(taken.reply)["rejected"] == 3
    assert [made.id for made in events.predictions] == ["chatcmpl-1"]


def test_a_broken_line_costs_no_other() -> None:
    row = json.dumps(PAYLOAD).encode()
    for broken in (b'{"id": "x"', b'{"id": NaN}', b"\xff"):
        taken, events = decoded(row + b"\n" + broken + b"\r\n\n" + row.replace(b"chatcmpl-1", b"chatcmpl-2"))
        assert [(reject.index, reject.reason) for reject in taken.rejected] == [(1, "a payload is a JSON object")]
        assert [made.id for made in events.predictions] == ["chatcmpl-1", "chatcmpl-2"]


def test_a_reject_can_be_corrected_and_holds_no_text() -> None:
    wrong = PAYLOAD | {"id": "", "end_user": "a@example.org"}
    [reject] = decoded(json.dumps([wrong]).encode())[0].rejected
    assert b"private" not in reject.raw
    assert b"example.org" not in reject.raw
    [made] = decoded(reject.raw.replace(b'"id":""', b'"id":"x"', 1))[1].predictions
    assert (made.id, made.model, made.trace_id, made.cost) == ("x", "claude-big", "t1", 0.0544)
    [kept] = decoded(json.dumps([wrong]).encode(), Ingest(keep_text=True))[0].rejected
    assert b"a private question" in kept.raw


def test_a_payload_that_has_no_end_is_rejected_but_its_text_may_be_long() -> None:
    deep: object = 1
    for _ in range(70):
        deep = [deep]
    for parts, reason in (({"metadata": deep}, "nested over 64 deep"), ({"end_user": "x" * 100_001}, "a text of over")):
        [reject] = decoded(json.dumps(PAYLOAD | parts).encode())[0].rejected
        assert reject.reason.startswith(reason)
    for parts in ({"messages": "x" * 200_000}, {"messages": deep}):
        assert decoded(json.dumps(PAYLOAD | parts).encode())[0].rejected == []


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(NotDecodable):
        decoded(b"{")
    with pytest.raises(TooLarge, match=r"ingest\.max_rows"):
        decoded(json.dumps([PAYLOAD] * 11).encode())


def test_guardrails_are_checks() -> None:
    found = [{"guardrail_name": "pii", "guardrail_status": "guardrail_intervened"}, {"guardrail_status": "success"}]
    assert [(check.name, check.passed, check.blocked) for check in one(guardrail_information=found).checks or []] == [
        ("pii", False, True)
    ]


def test_without_names_it_is_still_an_answer() -> None:
    [made] = decoded(b'{"id": "x"}')[1].predictions
    assert (made.id, made.service, made.model, made.ts, made.operation) == ("x", "litellm", "default", None, "chat")

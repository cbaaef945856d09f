"""Spans of AI work as predictions: tokens once, attempts once, checks where they belong, text only if asked for."""

from __future__ import annotations

import json

import msgspec
import pytest
from collector.sent import TS
from collector.spans import TRACE, decoded, logs, mapped, one, pairs, span
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.collector.genai.aliases import aliases
from watchkeeper.collector.genai.text import GONE, redactor
from watchkeeper.collector.genai.tokens import tokens
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.events import Prediction, Tokens
from watchkeeper.schemas.settings import Ingest

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "big"}
USAGE = "gen_ai.usage."


def classes(**counts: int) -> Tokens | None:
    names = {
        "input": "input_tokens",
        "output": "output_tokens",
        "read": "cache_read.input_tokens",
        "write": "cache_creation.input_tokens",
        "reasoning": "reasoning.output_tokens",
        "total": "total_tokens",
    }
    return tokens(aliases().fields({USAGE + names[name]: number for name, number in counts.items()}))


def test_no_count_is_unknown_and_zero_is_zero() -> None:
    assert classes() is None
    assert classes(input=0, output=0) == Tokens()


def test_cached_tokens_are_taken_out_of_the_input_that_holds_them() -> None:
    assert classes(input=100, read=60, write=10, output=5) == Tokens(input=30, cache_read=60, cache_write=10, output=5)


def test_a_cache_larger_than_the_input_cannot_be_a_part_of_it() -> None:
    """As Anthropic counts, where the emitter passes it on."""
    assert classes(input=4, read=6000, write=300, output=5) == Tokens(4, 6000, 300, 5, 0)


def test_a_total_says_which_sum_was_meant() -> None:
    assert classes(input=100, read=60, output=5, total=165) == Tokens(100, 60, 0, 5, 0)
    assert classes(input=100, read=60, output=5, total=105) == Tokens(40, 60, 0, 5, 0)


def test_reasoning_is_taken_out_of_the_output() -> None:
    assert classes(input=1, output=50, reasoning=20) == Tokens(1, 0, 0, 30, 20)
    assert classes(input=1, output=10, reasoning=20) == Tokens(1, 0, 0, 10, 20)


counts = st.integers(0, 10**6)


@given(counts, counts, counts, counts, counts, st.booleans())
def test_each_token_is_in_one_class(plain: int, read: int, write: int, out: int, reasoning: int, told: bool) -> None:
    """Whatever was sent by the convention comes back, with a total or without."""
    sent = {"input": plain + read + write, "read": read, "write": write, "output": out + reasoning}
    total = {"total": sent["input"] + sent["output"]} if told else {}
    assert classes(**sent, reasoning=reasoning, **total) == Tokens(plain, read, write, out, reasoning)


@pytest.mark.parametrize("nonsense", [-1, "many", 1e300, True, [1], None])
def test_a_count_that_is_none_is_left_out(nonsense: object) -> None:
    assert tokens(aliases().fields({USAGE + "input_tokens": nonsense, USAGE + "output_tokens": 2})) == Tokens(output=2)


def test_what_a_span_says_of_itself() -> None:
    attributes = CHAT | {
        "gen_ai.response.model": "big-2026",
        "gen_ai.usage.cost": 0.5,
        "gen_ai.response.id": "r1",
        "user.id": "u1",
        "gen_ai.tool.call.id": "call-1",
        "gen_ai.agent.name": "planner",
        "gen_ai.workflow.name": "refund",
        "gen_ai.prompt.name": "ask",
        "langfuse.prompt.version": 3,
        "openai.response.service_tier": "flex",
        "team": "payments",
        "customer": 17,
        "langfuse.trace.tags": ["a"],
        "SampleRate": 10,
    }
    resource = {
        "service.name": "shop",
        "service.version": "1.2",
        "service.namespace": "sales",
        "deployment.environment.name": "prod",
        "feature": "search",
    }
    sent = span(attributes, parentSpanId="00f067aa0ba902b7", name="chat big")
    [told] = mapped(sent, resource=resource).predictions
    assert (told.id, told.trace_id) == (f"{TRACE}-{sent['spanId']}", TRACE)
    assert (told.parent_id, told.ts) == (f"{TRACE}-00f067aa0ba902b7", TS * 10**9)
    assert (told.service, told.system, told.config_version, told.environment) == ("shop", "sales", "1.2", "prod")
    assert (told.model, told.model_version, told.cost, told.sample_weight) == ("big", "big-2026", 0.5, 10.0)
    assert (told.agent, told.workflow, told.step) == ("planner", "refund", "chat big")
    assert (told.prompt, told.prompt_version, told.service_tier) == ("ask", "3", "flex")
    assert told.segments == {"team": "payments", "feature": "search", "customer": 17}
    assert msgspec.json.decode(told.extra) == {"response_id": "r1", "user": "u1", "tool_call": "call-1", "tags": ["a"]}


def test_a_dimension_may_stand_in_metadata() -> None:
    assert one(CHAT | {"metadata": '{"team": "a"}'}).segments == {"team": "a"}
    assert one(CHAT | {"langfuse.trace.metadata.team": '"a"'}).segments == {"team": "a"}
    [told] = mapped(span(CHAT | {"plan": "pro", "team": "x"}), ingest=Ingest(segment_attributes=["plan"])).predictions
    assert told.segments == {"plan": "pro"}


def test_other_spans_are_ignored_and_counted() -> None:
    events = mapped(span({"http.method": "GET"}), span({"langfuse.observation.type": "span"}), span(CHAT), span())
    assert (len(events.predictions), dict(events.ignored)) == (1, {"span": 3})


@pytest.mark.parametrize(
    ("attributes", "message", "kind"),
    [
        ({"error.type": "429"}, "", "rate_limited"),
        ({"error.type": "openai.APITimeoutError"}, "", "timeout"),
        ({"error.type": "MyOwnError"}, "", "MyOwnError"),
        ({"exception.type": "X"}, "Error code: 503 overloaded", "upstream"),
        ({}, "content_filter was triggered", "policy_block"),
        ({}, "asked for 14290 tokens", None),
    ],
)
def test_errors_have_a_class(attributes: dict[str, object], message: str, kind: str | None) -> None:
    told = one(CHAT | attributes, status={"code": 2, "message": message})
    assert (told.status, told.error_class) == ("error", kind)


def test_an_exception_event_tells_the_class_and_no_status_is_no_error() -> None:
    raised = {"name": "exception", "attributes": pairs({"exception.type": "RateLimitError"})}
    assert one(CHAT, failed=True, events=[raised]).error_class == "rate_limited"
    assert one(CHAT, events=[raised]).status == "ok"
    assert one(CHAT | {"langfuse.observation.level": "ERROR"}).status == "error"


def test_a_guardrail_and_an_evaluator_are_rows_with_a_check_of_their_own() -> None:
    chat = span(CHAT)
    inner = {"parentSpanId": chat["spanId"]}
    guard = span({"openinference.span.kind": "GUARDRAIL"}, name="pii", failed=True, **inner)
    judge = span(
        {"openinference.span.kind": "EVALUATOR", "evaluation.name": "faithful", "evaluation.score": 0.25,
         "evaluation.label": "fail"}, **inner)  # fmt: skip
    rows = {p.operation: p for p in mapped(guard, chat, judge).predictions}
    checks = {
        name: [(c.name, c.kind, c.passed, c.blocked, c.score) for c in row.checks or []] for name, row in rows.items()
    }
    assert checks == {
        "chat": [],
        "guardrail": [("pii", "policy", False, True, None)],
        "evaluation": [("faithful", "reasonability", False, False, 0.25)],
    }
    assert rows["guardrail"].parent_id == rows["evaluation"].parent_id == rows["chat"].id


def record(attributes: dict[str, object], **parts: object) -> dict[str, object]:
    return {"timeUnixNano": str(TS * 10**9), "eventName": "gen_ai.evaluation.result", "traceId": TRACE,
            "spanId": "00f067aa0ba902b7", "attributes": pairs(attributes)} | parts  # fmt: skip


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ({"score.label": "pass"}, True),
        ({"score.label": "Incorrect", "score.value": 0.1}, False),
        ({"score.value": 0.75}, 0.75),
        ({"score.value": 3, "score.label": "so so"}, 3.0),
        ({"score.label": "so so"}, "so so"),
    ],
)
def test_an_evaluation_is_an_outcome_of_its_span(said: dict[str, object], value: object) -> None:
    attributes = {f"gen_ai.evaluation.{name}": part for name, part in said.items()}
    _, events = decoded("otlp_logs", logs(record({"gen_ai.evaluation.name": "relevance"} | attributes)))
    [outcome] = events.outcomes
    assert (outcome.prediction_id, outcome.value) == (f"{TRACE}-00f067aa0ba902b7", value)
    assert (outcome.known_at, outcome.service, outcome.source) == (TS * 10**9, "shop", "relevance")
    assert outcome.evaluation == "relevance"


def test_feedback_without_a_span_names_the_response_and_other_records_are_ignored() -> None:
    score = {"gen_ai.evaluation.score.value": 1.0}
    bare = {"traceId": "", "spanId": ""}
    _, events = decoded(
        "otlp_logs",
        logs(
            record(score | {"gen_ai.response.id": "r1"}, **bare),
            record(score, **bare),
            record({}),
            record(score) | {"eventName": "gen_ai.client.inference.operation.details"},
            record(score | {"event.name": "gen_ai.evaluation.result"}, eventName=""),
        ),
    )
    assert [outcome.prediction_id for outcome in events.outcomes] == ["r1", f"{TRACE}-00f067aa0ba902b7"]
    assert dict(events.ignored) == {"log record": 3}


def test_an_evaluation_may_be_an_event_of_the_span() -> None:
    said = {"name": "gen_ai.evaluation.result", "attributes": pairs({"gen_ai.evaluation.score.label": "fail"})}
    events = mapped(span(CHAT, events=[said]))
    assert [(o.prediction_id, o.value) for o in events.outcomes] == [(events.predictions[0].id, False)]


TEXTS = {
    "gen_ai.input.messages": '[{"content": "write to ann@example.org"}]',
    "llm.output_messages.0.message.content": "card 4111 1111 1111 1111",
    "gen_ai.system_instructions": "key sk-abcdefghijklmnop1234",
}


def test_text_is_not_kept_unless_it_is_asked_for() -> None:
    told = one(CHAT | TEXTS)
    assert not bytes(told.extra)
    assert "ann@" not in repr(msgspec.structs.asdict(told))


def test_text_that_is_kept_is_redacted_first() -> None:
    [told] = mapped(span(CHAT | TEXTS), ingest=Ingest(keep_text=True, redact=["write"])).predictions
    content = json.loads(bytes(told.extra))["content"]
    assert content == {
        "input": '[{"content": "[redacted] to [redacted]"}]',
        "output": '{"llm.output_messages.0.message.content":"card [redacted]"}',
        "instructions": "key [redacted]",
    }


@pytest.mark.parametrize(
    "secret",
    ["a.b+c@mail.example.co.uk", "4111-1111-1111-1111", "+49 170 1234567", "(030) 1234 5678", "+491701234567",
     "ghp_abcdefghijklmnopqrst", "AKIAABCDEFGHIJKLMNOP", "Bearer abcdef123456", 'password: "hunter22"',
     "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
     "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"],
)  # fmt: skip
def test_what_looks_private_is_taken_out(secret: str) -> None:
    assert redactor([])(f"before {secret} after") == f"before {GONE} after"


def test_what_does_not_stays() -> None:
    text = "order 4711 costs 12.50 and took 3 days, see section 2.1"
    assert redactor([])(text) == text


def test_a_pattern_that_is_none_is_said() -> None:
    with pytest.raises(SettingsError, match=r"ingest\.redact: .* is not a regular expression"):
        redactor(["("])


LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300)
)
NAMES = st.sampled_from(sorted(aliases().by_name) + sorted(aliases().operations)) | st.text(max_size=20)
ATTRIBUTES = st.dictionaries(NAMES, LEAF | st.lists(LEAF, max_size=3), max_size=12)


@settings(deadline=None)
@given(ATTRIBUTES, ATTRIBUTES, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_whatever_the_attributes_a_span_of_ai_work_is_a_valid_prediction(
    attributes: dict[str, object], resource: dict[str, object], start: int, end: int
) -> None:
    times = {"startTimeUnixNano": str(start), "endTimeUnixNano": str(end)}
    events = mapped(span(CHAT | attributes) | times, resource=resource, ingest=Ingest(keep_text=True))
    assert len(events.predictions) + events.ignored["span"] == 1
    for made in events.predictions:
        empty = msgspec.Raw(b"{}")
        whole = msgspec.structs.replace(made, features=empty, extra=made.extra if bytes(made.extra) else empty)
        assert msgspec.json.decode(msgspec.json.encode(whole), type=Prediction).id == made.id

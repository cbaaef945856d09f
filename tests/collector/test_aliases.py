"""The table of names: whatever convention a service speaks, its words end in the same field."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from collector.spans import mapped, one, span
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.collector.genai import aliases as table_of_names
from watchkeeper.collector.genai.aliases import aliases, scaled
from watchkeeper.collector.genai.tokens import INCLUDES
from watchkeeper.schemas.events import INNER_OPERATIONS

TABLE = aliases()
LISTED = {
    "provider": "gen_ai.provider.name gen_ai.system llm.provider llm.system",
    "request_model": "gen_ai.request.model ai.model.id llm.request.model_name",
    "response_model": "gen_ai.response.model llm.response.model_name llm.model_name",
    "response_id": "gen_ai.response.id",
    "input": "gen_ai.usage.input_tokens gen_ai.usage.prompt_tokens ai.usage.tokens llm.token_count.prompt",
    "output": "gen_ai.usage.output_tokens gen_ai.usage.completion_tokens llm.token_count.completion",
    "total": "llm.token_count.total",
    "cache_read": "gen_ai.usage.cache_read.input_tokens gen_ai.usage.cache_read_input_tokens ai.usage.cachedInputTokens"
    " llm.token_count.prompt_details.cache_read",
    "cache_write": "gen_ai.usage.cache_creation.input_tokens gen_ai.usage.cache_write.input_tokens"
    " llm.token_count.prompt_details.cache_write",
    "reasoning": "gen_ai.usage.reasoning.output_tokens ai.usage.reasoningTokens"
    " llm.token_count.completion_details.reasoning",
    "input_text_tokens": "gen_ai.usage.text.input_tokens",
    "input_image_tokens": "gen_ai.usage.image.input_tokens",
    "input_audio_tokens": "gen_ai.usage.audio.input_tokens llm.token_count.prompt_details.audio",
    "input_video_tokens": "gen_ai.usage.video.input_tokens",
    "output_text_tokens": "gen_ai.usage.text.output_tokens",
    "output_audio_tokens": "gen_ai.usage.audio.output_tokens llm.token_count.completion_details.audio",
    "cost": "gen_ai.usage.cost gen_ai.usage.total_cost llm.cost.total",
    "cost_input": "llm.cost.prompt",
    "cost_output": "llm.cost.completion",
    "ttft_ms": "gen_ai.response.time_to_first_chunk ai.response.msToFirstChunk",
    "stream": "gen_ai.request.stream",
    "finish_reason": "gen_ai.response.finish_reasons gen_ai.finishReason",
    "conversation": "gen_ai.conversation.id langfuse.session.id session.id",
    "user": "user.id langfuse.user.id",
    "agent": "gen_ai.agent.name gen_ai.agent.id agent.name",
    "agent_version": "gen_ai.agent.version",
    "tool": "gen_ai.tool.name tool.name",
    "tool_type": "gen_ai.tool.type",
    "tool_call": "gen_ai.tool.call.id",
    "workflow": "gen_ai.workflow.name",
    "step": "graph.node.id",
    "step_parent": "graph.node.parent_id",
    "prompt": "gen_ai.prompt.name langfuse.prompt.name prompt.id",
    "prompt_version": "langfuse.prompt.version llm.prompt_template.version",
    "service_tier": "openai.response.service_tier gen_ai.openai.response.service_tier gen_ai.request.service_tier",
    "error_class": "error.type exception.type",
    "service": "service.name",
    "config_version": "service.version",
    "environment": "deployment.environment.name",
}
CONTENT = (
    "gen_ai.input.messages gen_ai.output.messages gen_ai.system_instructions gen_ai.tool.call.arguments"
    " gen_ai.tool.call.result gen_ai.prompt gen_ai.completion traceloop.entity.input traceloop.entity.output"
    " mlflow.spanInputs mlflow.spanOutputs input.value output.value llm.prompt_template.template"
    " llm.prompt_template.variables"
)
KINDS = {
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "CHAIN": "chain",
    "RETRIEVER": "retrieval",
    "RERANKER": "rerank",
    "TOOL": "execute_tool",
    "AGENT": "invoke_agent",
    "GUARDRAIL": "guardrail",
    "EVALUATOR": "evaluation",
    "PROMPT": "prompt",
}
OPERATIONS = (
    "chat text_completion generate_content embeddings execute_tool invoke_agent create_agent invoke_workflow"
    " retrieval plan create_memory search_memory"
)


@pytest.mark.parametrize(("field", "name"), [(field, name) for field, row in LISTED.items() for name in row.split()])
def test_every_name_of_the_conventions_is_there(field: str, name: str) -> None:
    assert field in {alias.field for alias in TABLE.by_name[name]}


def test_text_is_known_as_text() -> None:
    assert set(CONTENT.split()) <= {name for names in TABLE.content.values() for name in names}
    assert {"llm.input_messages.", "llm.output_messages."} <= {
        *TABLE.content["input_prefixes"],
        *TABLE.content["output_prefixes"],
    }


def test_the_table_has_a_version_and_no_name_twice_in_a_field() -> None:
    assert TABLE.version >= 1
    for name, entries in TABLE.by_name.items():
        assert len({alias.field for alias in entries}) == len(entries), name


@pytest.mark.parametrize(("kind", "operation"), KINDS.items())
def test_the_kinds_of_openinference(kind: str, operation: str) -> None:
    assert one({"openinference.span.kind": kind}).operation == operation


@pytest.mark.parametrize("operation", OPERATIONS.split())
def test_the_operations_of_opentelemetry_are_kept_as_they_are(operation: str) -> None:
    assert one({"gen_ai.operation.name": operation}).operation == operation
    requests = {"chat", "text_completion", "generate_content", "embeddings"}
    assert (operation in requests) == (operation not in INNER_OPERATIONS)


PRESENT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "lab", "gen_ai.request.model": "big",
           "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50,
           "gen_ai.usage.cache_read.input_tokens": 30, "gen_ai.usage.cache_creation.input_tokens": 20,
           "gen_ai.usage.reasoning.output_tokens": 10, "gen_ai.response.time_to_first_chunk": 0.25,
           "gen_ai.response.finish_reasons": ["stop"], "gen_ai.conversation.id": "c"}  # fmt: skip
OLDER = {"gen_ai.system": "lab", "gen_ai.request.model": "big", "llm.request.type": "chat",
         "gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.completion_tokens": 50,
         "gen_ai.usage.cache_read_input_tokens": 30, "gen_ai.usage.cache_creation_input_tokens": 20,
         "gen_ai.usage.reasoning_tokens": 10, "ai.response.msToFirstChunk": 250,
         "gen_ai.finishReason": "stop", "session.id": "c"}  # fmt: skip
OPENINFERENCE = {"openinference.span.kind": "LLM", "llm.provider": "lab", "llm.model_name": "big",
                 "llm.token_count.prompt": 100, "llm.token_count.completion": 50,
                 "llm.token_count.prompt_details.cache_read": 30, "llm.token_count.prompt_details.cache_write": 20,
                 "llm.token_count.completion_details.reasoning": 10, "gen_ai.response.time_to_first_chunk": 0.25,
                 "llm.finish_reason": "stop", "session.id": "c"}  # fmt: skip
LANGFUSE = {"langfuse.observation.type": "generation", "gen_ai.system": "lab",
            "langfuse.observation.model.name": "big",
            "langfuse.observation.usage_details": '{"input": 50, "output": 40, "cache_read_input_tokens": 30,'
            ' "cache_creation_input_tokens": 20, "output_reasoning_tokens": 10, "total": 150}',
            "langfuse.observation.completion_start_time": '"2026-01-05T08:00:00.250000Z"',
            "gen_ai.finishReason": "stop", "session.id": "c"}  # fmt: skip
VERCEL = {"ai.operationId": "ai.streamText.doStream", "ai.model.provider": "lab", "ai.model.id": "big",
          "ai.usage.promptTokens": 100, "ai.usage.completionTokens": 50, "ai.usage.cachedInputTokens": 30,
          "gen_ai.usage.cache_write.input_tokens": 20, "ai.usage.reasoningTokens": 10,
          "ai.response.msToFirstChunk": 250.0, "ai.response.finishReason": "stop", "session.id": "c"}  # fmt: skip


@pytest.mark.parametrize(
    "attributes",
    [PRESENT, OLDER, OPENINFERENCE, LANGFUSE, VERCEL],
    ids=["present", "older", "openinference", "langfuse", "vercel"],
)
def test_one_answer_told_in_five_ways(attributes: Mapping[str, object]) -> None:
    told = one(attributes)
    assert (told.operation, told.provider, told.model, told.conversation) == ("chat", "lab", "big", "c")
    assert (told.ttft_ms, told.finish_reason, told.latency_ms) == (250.0, "stop", 1000.0)
    classes = told.tokens
    assert classes is not None
    assert (classes.input, classes.cache_read, classes.cache_write) == (50, 30, 20)
    assert (classes.output, classes.reasoning) == (40, 10)


def _by_hand(attributes: Mapping[str, object]) -> dict[str, object]:
    """Name by name, as the table says it: of each field the name that stands first and says anything."""
    found: dict[str, tuple[int, object, bool]] = {}
    for name, sent in attributes.items():
        for alias in TABLE.by_name.get(name, ()):
            value = sent if alias.scale is None else scaled(sent, alias.scale)
            if value not in (None, "", []) and (alias.field not in found or alias.rank < found[alias.field][0]):
                found[alias.field] = (alias.rank, value, alias.includes)
    whole = {name + INCLUDES: True for name, (_, _, includes) in found.items() if includes}
    return {name: value for name, (_, value, _) in found.items()} | whole


NAMES = st.sampled_from(sorted(TABLE.known)) | st.sampled_from(["http.method", "load.seq"])
VALUES = st.sampled_from([None, "", [], "a", "7", 0, 0.0, 7, 2.5, False, True, ["stop"], float("nan")])


@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=12), max_size=6))
def test_names_that_came_before_say_the_same_of_other_values(told: list[dict[str, object]]) -> None:
    for attributes in (*told, *reversed(told)):
        assert repr(sorted(TABLE.fields(attributes).items())) == repr(sorted(_by_hand(attributes).items()))


def test_spans_of_the_same_names_keep_their_own_values() -> None:
    first = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "", "ai.model.id": "big", "team": "north"}
    second = first | {"gen_ai.request.model": "small", "ai.model.id": "", "team": ""}
    told = mapped(span(first), span(second), span(first)).predictions
    assert [(row.model, row.segments) for row in told] == [
        ("big", {"team": "north"}), ("small", None), ("big", {"team": "north"}),
    ]  # fmt: skip


def test_a_dimension_comes_from_the_span_or_from_its_resource() -> None:
    here = {"gen_ai.operation.name": "chat", "team": "north"}
    there = {"service.name": "shop", "team": "south", "feature": "search"}
    told = mapped(span(here), span({"gen_ai.operation.name": "chat"}), resource=there).predictions
    assert [row.segments for row in told] == [
        {"team": "north", "feature": "search"}, {"team": "south", "feature": "search"},
    ]  # fmt: skip


def test_names_without_end_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_of_names, "MAX_READINGS", 10)
    TABLE._readings.clear()
    for name in sorted(TABLE.known)[:50]:
        TABLE.fields({name: "x", f"made up {name}": "y"})
        assert len(TABLE._readings) <= 10
    TABLE.fields({"load.seq": 1}), TABLE.fields({"load.other": 1})
    assert frozenset() in TABLE._readings
    assert all(names <= TABLE.known for names in TABLE._readings)

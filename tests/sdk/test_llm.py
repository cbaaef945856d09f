"""Token classes from the usage objects of providers: golden cases, each with the sums that the provider bills."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from watchkeeper_sdk._usage import model_of, tokens_of


def named(value):
    """The same as objects with attributes, as the providers' client libraries give them."""
    if isinstance(value, dict):
        return SimpleNamespace(**{name: named(item) for name, item in value.items()})
    return value


def classes(input=0, cache_read=0, cache_write=0, output=0, reasoning=0):  # noqa: A002
    return locals()


GOLDEN = {
    "openai chat completion": (
        {
            "model": "gpt-4o-2024-08-06",
            "usage": {
                "prompt_tokens": 2006,
                "completion_tokens": 300,
                "total_tokens": 2306,
                "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 256, "accepted_prediction_tokens": 0},
            },
        },
        classes(input=86, cache_read=1920, output=44, reasoning=256),
    ),
    "openai chat completion without details": (
        {"usage": {"prompt_tokens": 9, "completion_tokens": 12, "prompt_tokens_details": None}},
        classes(input=9, output=12),
    ),
    "openai embeddings": ({"usage": {"prompt_tokens": 8, "total_tokens": 8}}, classes(input=8)),
    "openai responses": (
        {
            "model": "o3",
            "usage": {
                "input_tokens": 36,
                "input_tokens_details": {"cached_tokens": 30},
                "output_tokens": 87,
                "output_tokens_details": {"reasoning_tokens": 64},
            },
        },
        classes(input=6, cache_read=30, output=23, reasoning=64),
    ),
    "anthropic message": (
        {
            "model": "claude-sonnet-4-5",
            "usage": {
                "input_tokens": 50,
                "cache_creation_input_tokens": 248,
                "cache_read_input_tokens": 1800,
                "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
                "output_tokens": 503,
            },
        },
        classes(input=50, cache_read=1800, cache_write=248, output=503),
    ),
    "anthropic message, cache larger than the input": (
        {
            "usage": {
                "input_tokens": 4,
                "cache_creation_input_tokens": None,
                "cache_read_input_tokens": 9000,
                "output_tokens": 1,
            }
        },
        classes(input=4, cache_read=9000, output=1),
    ),
    "anthropic message, cache by life alone": (
        {
            "usage": {
                "input_tokens": 4,
                "cache_creation_input_tokens": 0,
                "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 1},
                "output_tokens": 2,
            }
        },
        classes(input=4, cache_write=21, output=2),
    ),
    "plain input and output": ({"input_tokens": 7, "output_tokens": 3}, classes(input=7, output=3)),
    "a copy of openai that writes a cache": (
        {
            "usage": {
                "prompt_tokens": 1000,
                "completion_tokens": 10,
                "prompt_tokens_details": {"cached_tokens": 600, "cache_creation_tokens": 300},
                "cache_creation_input_tokens": 300,
                "cache_read_input_tokens": 600,
            }
        },
        classes(input=100, cache_read=600, cache_write=300, output=10),
    ),
    "gemini": (
        {
            "model_version": "gemini-2.5-pro",
            "usage_metadata": {
                "prompt_token_count": 1000,
                "cached_content_token_count": 800,
                "candidates_token_count": 50,
                "thoughts_token_count": 70,
                "tool_use_prompt_token_count": 5,
            },
        },
        classes(input=205, cache_read=800, output=50, reasoning=70),
    ),
    "gemini over rest": (
        {"usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 2, "totalTokenCount": 12}},
        classes(input=10, output=2),
    ),
}


@pytest.mark.parametrize("form", [dict, named], ids=["dict", "object"])
@pytest.mark.parametrize("case", GOLDEN)
def test_classes_are_disjoint_and_add_up(case, form):
    response, expected = GOLDEN[case]
    assert tokens_of(form(response)) == expected


def test_the_usage_alone_is_enough():
    response, expected = GOLDEN["openai chat completion"]
    assert tokens_of(response["usage"]) == expected
    assert tokens_of(named(response).usage) == expected


@pytest.mark.parametrize("nothing", [None, 5, "text", {}, {"usage": None}, {"usage": {}}, [], SimpleNamespace()])
def test_without_a_usage_nothing_is_made_up(nothing):
    assert tokens_of(nothing) is None


@pytest.mark.parametrize("form", [dict, named])
def test_the_last_event_of_a_stream_is_enough(form):
    counts = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 60}, "output_tokens": 5}
    response = {"type": "response.completed", "response": {"model": "gpt-5", "usage": counts}}
    chunk = {"model": "gpt-5", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
    delta = {"type": "message_delta", "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 2}}
    assert tokens_of(form(response)) == classes(input=40, cache_read=60, output=5)
    assert tokens_of(form(chunk)) == classes(input=7, output=2)
    assert tokens_of(form(delta)) == classes(input=3, cache_read=4, output=2)
    assert model_of(form(response)) == "gpt-5"


def test_a_call_is_logged_with_its_model_and_tokens(sink, client):
    response, tokens = GOLDEN["anthropic message"]
    event_id = client.log_llm(named(response), provider="anthropic", latency_ms=1200.5, prediction="refund")
    client.log_llm(response, model="our-alias", tokens={"input": 1})
    client.log_llm(object(), model="odd")
    assert client.flush(5)
    first, second, third = sink.rows()
    assert (first["id"], first["model"], first["provider"]) == (event_id, "claude-sonnet-4-5", "anthropic")
    assert first["tokens"] == tokens
    assert (first["prediction"], first["latency_ms"]) == ("refund", 1200.5)
    assert (second["model"], second["tokens"]) == ("our-alias", {"input": 1})
    assert "tokens" not in third
    assert client.stats().adjusted == {"no_usage": 1}


def test_a_hostile_response_harms_nobody(sink, client):
    class Hostile:
        def __getattr__(self, name):
            raise RuntimeError(name)

    assert client.log_llm(Hostile(), model="m")
    with client.request() as r:
        r.usage(GOLDEN["openai responses"][0])
    with client.request() as r:
        r.usage(Hostile())
    assert client.flush(5)
    assert [row["model"] for row in sink.rows()[:2]] == ["m", "o3"]
    assert sink.rows()[1]["tokens"]["reasoning"] == 64
    assert len(sink.rows()) == 3


def test_the_model_is_a_text():
    assert model_of({"model": 5, "modelVersion": "g"}) == "g"
    assert model_of(None) is None

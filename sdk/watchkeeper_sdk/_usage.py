"""How many tokens of each class did a call of a language model use? From the provider's own usage object.

The classes are disjoint, so that prices simply add up; the providers count differently:

- OpenAI (chat completions, responses) and those who copy it: the prompt INCLUDES what was read from the cache, the
  completion INCLUDES the reasoning.
- Anthropic: the input EXCLUDES what was read from and written to the cache.
- Gemini: the prompt INCLUDES the cached content, the candidates EXCLUDE the thoughts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ._fields import Tokens

_USAGES = ("usage", "usage_metadata", "usageMetadata")
_MODELS = ("model", "model_version", "modelVersion")


def tokens_of(response: object) -> Tokens | None:
    """Count the tokens of a response, or of its usage object; objects and dicts alike. None if it tells nothing.

    >>> tokens_of({"prompt_tokens": 100, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 80}})
    {'input': 20, 'cache_read': 80, 'cache_write': 0, 'output': 9, 'reasoning': 0}
    >>> tokens_of({"input_tokens": 20, "cache_read_input_tokens": 80, "output_tokens": 9})
    {'input': 20, 'cache_read': 80, 'cache_write': 0, 'output': 9, 'reasoning': 0}
    """
    response = _within(response)
    usage = next((found for found in (_get(response, name) for name in _USAGES) if found is not None), response)
    if _has(usage, "prompt_tokens"):
        return _chat(usage)
    if _has(usage, "input_tokens"):
        return _messages(usage) if _is_anthropic(usage) else _responses(usage)
    if _has(usage, "prompt_token_count") or _has(usage, "promptTokenCount"):
        return _gemini(usage)
    return None


def model_of(response: object) -> str | None:
    """The model that answered, as the response names it."""
    response = _within(response)
    return next((name for name in (_get(response, field) for field in _MODELS) if isinstance(name, str) and name), None)


def _within(response: object) -> object:
    """Open the last event of an OpenAI stream of responses: it carries the whole one."""
    inner = _get(response, "response")
    return inner if any(_get(inner, usage) is not None for usage in _USAGES) else response


def _chat(usage: object) -> Tokens:
    prompt, completion = _get(usage, "prompt_tokens_details"), _get(usage, "completion_tokens_details")
    read = (
        _count(prompt, "cached_tokens")
        or _count(usage, "cache_read_input_tokens")
        or _count(usage, "prompt_cache_hit_tokens")
    )
    write = _count(prompt, "cache_creation_tokens") or _count(usage, "cache_creation_input_tokens")
    reasoning = _count(completion, "reasoning_tokens")
    return _disjoint(_count(usage, "prompt_tokens"), read, write, _count(usage, "completion_tokens"), reasoning)


def _responses(usage: object) -> Tokens:
    read = _count(_get(usage, "input_tokens_details"), "cached_tokens")
    reasoning = _count(_get(usage, "output_tokens_details"), "reasoning_tokens")
    return _disjoint(_count(usage, "input_tokens"), read, 0, _count(usage, "output_tokens"), reasoning)


def _messages(usage: object) -> Tokens:
    read, write = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    if not write:
        by_life = _get(usage, "cache_creation")
        write = _count(by_life, "ephemeral_5m_input_tokens") + _count(by_life, "ephemeral_1h_input_tokens")
    return _disjoint(_count(usage, "input_tokens") + read + write, read, write, _count(usage, "output_tokens"), 0)


def _gemini(usage: object) -> Tokens:
    prompt = _count(usage, "prompt_token_count") + _count(usage, "promptTokenCount")
    tools = _count(usage, "tool_use_prompt_token_count") + _count(usage, "toolUsePromptTokenCount")
    read = _count(usage, "cached_content_token_count") + _count(usage, "cachedContentTokenCount")
    answer = _count(usage, "candidates_token_count") + _count(usage, "candidatesTokenCount")
    thoughts = _count(usage, "thoughts_token_count") + _count(usage, "thoughtsTokenCount")
    return _disjoint(prompt + tools, read, 0, answer + thoughts, thoughts)


def _disjoint(prompt: int, read: int, write: int, completion: int, reasoning: int) -> Tokens:
    """Take the classes out of the sums that hold them."""
    return {
        "input": max(0, prompt - read - write),
        "cache_read": read,
        "cache_write": write,
        "output": max(0, completion - reasoning),
        "reasoning": reasoning,
    }


def _is_anthropic(usage: object) -> bool:
    return any(_has(usage, name) for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))


def _has(source: object, name: str) -> bool:
    return name in source if isinstance(source, dict) else hasattr(source, name)


def _get(source: object, name: str) -> object:
    if isinstance(source, dict):
        return cast("dict[str, object]", source).get(name)
    return getattr(source, name, None)


def _count(source: object, name: str) -> int:
    value = _get(source, name)
    return value if isinstance(value, int) and value > 0 else 0

"""A span processor for the OpenTelemetry SDK: ended gen_ai spans go into the spool as predictions.

``provider.add_span_processor(SpanProcessor(client))`` is all that is needed.

It answers "how do I keep my instrumentation and lose nothing?". The id is the span's
(``trace id-span id`` in hex, as the server names a span that arrives over OTLP), so that both ways together count
once. It misleads where an instrumentation reports the input without the cache classes: the convention says with them.
Source: OpenTelemetry semantic conventions for generative AI, present and older names. Nothing of OpenTelemetry is
imported: the processor is recognised by its methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from ._ledger import describe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._client import Client
    from ._fields import CallFields, Tokens

_NANO = 1e9
_ERROR = 2
_INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
_OUTPUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
_READ = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens")
_WRITE = (
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
)
_REASONING = ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens")
_OF_A_MODEL = frozenset({None, "chat", "text_completion", "generate_content", "embeddings"})
_TEXTS = {
    "model": ("gen_ai.request.model", "gen_ai.response.model"),
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "prompt": ("gen_ai.prompt.name",),
    "workflow": ("gen_ai.workflow.name",),
    "tool": ("gen_ai.tool.name",),
    "agent": ("gen_ai.agent.name",),
    "operation": ("gen_ai.operation.name",),
    "conversation": ("gen_ai.conversation.id",),
    "finish_reason": ("gen_ai.response.finish_reasons",),
    "service_tier": ("openai.response.service_tier", "gen_ai.openai.response.service_tier"),
}


class Context(Protocol):
    """Which trace and span."""

    trace_id: int
    span_id: int


class Status(Protocol):
    """How a span ended."""

    status_code: object


class ReadableSpan(Protocol):
    """The part of an ended span that is read."""

    name: str
    context: Context | None
    parent: Context | None
    attributes: Mapping[str, object] | None
    start_time: int | None
    end_time: int | None
    status: Status


class SpanProcessor:
    """Feeds ended spans that carry a ``gen_ai.`` attribute to a client; all others are passed over."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def on_start(self, span: object, parent_context: object = None) -> None:
        """Nothing is known yet."""

    def _on_ending(self, span: object) -> None:
        """Nothing is to be added to a span that ends: the SDK asks."""

    def on_end(self, span: ReadableSpan) -> None:
        """Log the span, if it is one of a generative model; never raises."""
        try:
            fields = prediction_of(span)
            if fields is not None:
                self._client.log_prediction(**fields)
        except Exception as error:  # noqa: BLE001  # the host must not notice
            self._client.note("span", f"a span could not be read: {describe(error)}")

    def shutdown(self) -> None:
        """Leave the client open: it may serve others, and ends with the process."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is logged by now."""
        return self._client.flush(timeout_millis / 1000)


def prediction_of(span: ReadableSpan) -> CallFields | None:
    """Which prediction does a span tell of? None if it is not one of a generative model."""
    attributes = span.attributes or {}
    context = span.context
    if context is None or not any(name.startswith("gen_ai.") for name in attributes):
        return None
    found: dict[str, object] = {"id": _name(context), "trace_id": f"{context.trace_id:032x}", "step": span.name}
    if span.parent is not None:
        found["parent_id"] = _name(span.parent)
    if span.start_time is not None:
        found["ts"] = round(span.start_time / _NANO, 6)
        if span.end_time is not None:
            found["latency_ms"] = (span.end_time - span.start_time) / 1e6
    found.update(_texts(attributes))
    if "model" not in found and found.get("operation") not in _OF_A_MODEL:
        found["model"] = found.get("operation")  # a tool, an agent or another step around a model's requests
    served = attributes.get("gen_ai.response.model")
    if served and served != found.get("model"):
        found["model_version"] = served
    first_chunk = attributes.get("gen_ai.response.time_to_first_chunk")
    if isinstance(first_chunk, (int, float)):
        found["ttft_ms"] = first_chunk * 1000
    if getattr(span.status.status_code, "value", span.status.status_code) == _ERROR:
        found["status"] = "error"
        found["error_class"] = str(attributes.get("error.type") or "internal")
    tokens = _tokens(attributes)
    if tokens is not None:
        found["tokens"] = tokens
    return cast("CallFields", found)


def _name(context: Context) -> str:
    return f"{context.trace_id:032x}-{context.span_id:016x}"


def _texts(attributes: Mapping[str, object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for field, names in _TEXTS.items():
        value = _first(attributes, names)
        if isinstance(value, (list, tuple)):
            value = next(iter(cast("Sequence[object]", value)), None)
        if value:
            found[field] = str(value)
    return found


def _tokens(attributes: Mapping[str, object]) -> Tokens | None:
    if _first(attributes, _INPUT) is None and _first(attributes, _OUTPUT) is None:
        return None
    total_in, total_out = _count(attributes, _INPUT), _count(attributes, _OUTPUT)
    read, write, reasoning = _count(attributes, _READ), _count(attributes, _WRITE), _count(attributes, _REASONING)
    # A sum that is smaller than its parts was counted without them.
    cached = read + write if read + write <= total_in else 0
    return {
        "input": total_in - cached,
        "cache_read": read,
        "cache_write": write,
        "output": total_out - (reasoning if reasoning <= total_out else 0),
        "reasoning": reasoning,
    }


def _first(attributes: Mapping[str, object], names: tuple[str, ...]) -> object:
    return next((attributes[name] for name in names if attributes.get(name) is not None), None)


def _count(attributes: Mapping[str, object], names: tuple[str, ...]) -> int:
    value = _first(attributes, names)
    return int(value) if isinstance(value, (int, float)) and value > 0 else 0

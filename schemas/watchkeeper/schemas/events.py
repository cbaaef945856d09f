"""What services send: one typed event a kind, the same on the wire, in the inbox and in the SDK.

Every event is a JSON object. Unknown fields of a prediction are kept (in ``extra``), those of the other events are
refused by name; missing optional fields are null. A time is a number of seconds, ms, µs or ns since 1970 (told apart
by its size) or ISO 8601 text.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

CONTROL = r"[\x00-\x1f\x7f]"
ID_PATTERN = r"^[^\x00-\x1f\x7f]+$"
Id = Annotated[str, Meta(min_length=1, max_length=200, extra_json_schema={"pattern": ID_PATTERN})]
"""No control characters: that is looked for in a whole body at once, as a pattern takes half of the decoding's time."""
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=2000)]
Time = float | int | str
Count = Annotated[int, Meta(ge=0, le=2**53)]
Ms = Annotated[float, Meta(ge=0, le=1e12)]
Money = Annotated[float, Meta(ge=0, le=1e12)]
Share = Annotated[float, Meta(ge=0, le=1)]
Value = bool | int | float | str
EMPTY = Raw(b"")
"""A field that was not sent and whose content is decoded later, if ever."""

ERROR_CLASSES = (
    "rate_limited",
    "timeout",
    "policy_block",
    "upstream",
    "invalid_request",
    "invalid_response",
    "cancelled",
    "internal",
)
"""The error classes that a page knows; any other word is kept as it is."""


INNER_OPERATIONS = frozenset(
    {
        "attempt",
        "execute_tool",
        "create_agent",
        "invoke_agent",
        "invoke_workflow",
        "plan",
        "chain",
        "prompt",
        "retrieval",
        "guardrail",
        "evaluation",
        "search_memory",
        "create_memory",
        "update_memory",
        "upsert_memory",
        "delete_memory",
        "create_memory_store",
        "delete_memory_store",
    }
)
"""What happens around requests to a model. Such rows are kept and can be read, but are no requests of the traffic: they
would count a request, its tokens and its errors twice."""


class Check(Struct, frozen=True, omit_defaults=True):
    """One guardrail, schema, plausibility or security check of one prediction."""

    name: Name
    kind: Literal["policy", "schema", "reasonability", "security"] = "policy"
    passed: bool = True
    blocked: bool = False
    score: float | None = None


class Tokens(Struct, frozen=True, omit_defaults=True):
    """Disjoint token classes: each token is in exactly one, so prices simply add up."""

    input: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    output: Count = 0
    reasoning: Count = 0


class Fallback(Struct, frozen=True, omit_defaults=True):
    """The model that was asked first, and why it did not answer."""

    from_model: Name = msgspec.field(name="from")
    reason: Text | None = None


# gc=False: what JSON makes holds no cycles, and the collector would look at each of a body's thousands again and again.
class Prediction(Struct, frozen=True, omit_defaults=True, gc=False):
    """One decision or answer of an AI service: what it was asked, said, cost, and how it went."""

    id: Id
    service: Name
    ts: Time | None = None
    model: Name = "default"
    model_version: Name | None = None
    system: Name | None = None
    provider: Name | None = None
    prompt: Name | None = None
    prompt_version: Name | None = None
    config_version: Name | None = None
    environment: Name | None = None
    site: Name | None = None
    segments: dict[Name, str | int | bool | None] | None = None
    features: Raw = msgspec.field(default_factory=lambda: EMPTY)
    prediction: Value | None = None
    score: float | None = None
    confidence: Share | None = None
    confidence_threshold: Share | None = None
    latency_ms: Ms | None = None
    ttft_ms: Ms | None = None
    status: Literal["ok", "error", "unknown"] = "ok"
    error_class: Name | None = None
    tokens: Tokens | None = None
    cost: Money | None = None
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] = "USD"
    attempts: Annotated[int, Meta(ge=1, le=1000)] = 1
    fallback: Fallback | None = None
    workflow: Name | None = None
    step: Name | None = None
    tool: Name | None = None
    agent: Name | None = None
    operation: Name | None = None
    trace_id: Id | None = None
    parent_id: Id | None = None
    conversation: Id | None = None
    finish_reason: Name | None = None
    service_tier: Name | None = None
    sample_weight: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    needed_by: Time | None = None
    used_at: Time | None = None
    reason_codes: Annotated[list[Name], Meta(max_length=50)] | None = None
    checks: Annotated[list[Check], Meta(max_length=50)] | None = None
    extra: Raw = msgspec.field(default_factory=lambda: EMPTY)  # a factory: a Raw default cannot be exported as schema


class Outcome(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What came true for one prediction, and when that became known."""

    prediction_id: Id
    value: Value
    prediction_ts: Time | None = None
    known_at: Time | None = None
    service: Name | None = None
    source: Name | None = None
    evaluation: Name | None = None


class Review(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A human looked at one prediction and decided."""

    prediction_id: Id
    decision: Literal["approved", "overridden", "rejected", "escalated", "edited"]
    ts: Time | None = None
    prediction_ts: Time | None = None
    service: Name | None = None
    minutes: Annotated[float, Meta(ge=0, le=1e5)] | None = None
    role: Name | None = None
    reason: Text | None = None


class Change(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Something changed on purpose: a candidate for the cause of what follows, never a proof."""

    kind: Literal["deploy", "model", "prompt", "config", "upstream"]
    title: Annotated[str, Meta(min_length=1, max_length=300)]
    service: Name
    ts: Time | None = None
    model: Name | None = None
    version: Name | None = None
    url: Text | None = None


class GpuSample(Struct, frozen=True, omit_defaults=True):
    """One reading of one GPU (or MIG slice); a value that the source lacks is null, never zero."""

    ts: Time
    uuid: Id
    host: Name | None = None
    gpu: Name | None = None
    model_name: Name | None = None
    mig: Name | None = None
    workload: Name | None = None
    utilization: Share | None = None
    memory_used_mib: Annotated[float, Meta(ge=0)] | None = None
    memory_free_mib: Annotated[float, Meta(ge=0)] | None = None
    power_w: Annotated[float, Meta(ge=0)] | None = None
    temperature_c: float | None = None
    sm_clock_mhz: Annotated[float, Meta(ge=0)] | None = None
    tensor_active: Share | None = None
    energy_mj: Annotated[float, Meta(ge=0)] | None = None
    xid: Count | None = None


FeedbackWord = Literal["acted_on", "known", "noise", "wrong_threshold"]


class Feedback(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the person who got an alert says of it."""

    word: FeedbackWord
    reason: Text | None = None
    by: Name | None = None


Event = Prediction | Outcome | Review | Change

KINDS: dict[str, type[Event]] = {
    "predictions": Prediction,
    "outcomes": Outcome,
    "reviews": Review,
    "changes": Change,
}
"""The last part of the ingest path, and the event that it takes."""


def json_schemas() -> dict[str, dict[str, Any]]:
    """Export the JSON Schema of every event, by kind, for clients in any language.

    >>> sorted(json_schemas())
    ['changes', 'feedback', 'gpu_samples', 'outcomes', 'predictions', 'reviews']
    """
    kinds: dict[str, Any] = {**KINDS, "gpu_samples": GpuSample, "feedback": Feedback}
    return {kind: msgspec.json.schema(struct) for kind, struct in kinds.items()}

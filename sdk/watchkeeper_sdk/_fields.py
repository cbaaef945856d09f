"""What a prediction may carry: the names and types of the keyword arguments, as the wire has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Literal, TypeAlias

    class Scalar(Protocol):
        """A number of numpy, torch or the like: ``item()`` gives the plain one."""

        def item(self) -> bool | int | float | str: ...

    Value: TypeAlias = bool | int | float | str | Scalar
    Time: TypeAlias = float | int | str | datetime
    ChangeKind: TypeAlias = Literal["deploy", "model", "prompt", "config", "upstream"]
    Decision: TypeAlias = Literal["approved", "overridden", "rejected", "escalated", "edited"]


class Tokens(TypedDict, total=False):
    """Disjoint token classes: each token is in exactly one, so that prices simply add up."""

    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int


class Check(TypedDict, total=False):
    """One guardrail, schema, plausibility or security check; ``name`` is needed."""

    name: str
    kind: Literal["policy", "schema", "reasonability", "security"]
    passed: bool
    blocked: bool
    score: float | None


Fallback = TypedDict("Fallback", {"from": str, "reason": str}, total=False)
"""The model that was asked first, and why it did not answer; ``from`` is needed."""


class PredictionFields(TypedDict, total=False):
    """Every field of a prediction; a name that is not here travels under ``extra``."""

    id: str
    service: str
    ts: Time
    model: str
    model_version: str
    system: str
    provider: str
    prompt: str
    prompt_version: str
    config_version: str
    environment: str
    site: str
    segments: Mapping[str, str | int | bool | None]
    features: Mapping[str, object]
    prediction: Value | None
    score: float | None
    confidence: float | None
    confidence_threshold: float | None
    latency_ms: float | None
    ttft_ms: float | None
    status: Literal["ok", "error", "unknown"]
    error_class: str | None
    tokens: Tokens | None
    cost: float | None
    currency: str
    attempts: int
    fallback: Fallback | None
    workflow: str
    step: str
    tool: str
    agent: str
    operation: str
    trace_id: str
    parent_id: str
    conversation: str
    finish_reason: str
    service_tier: str
    sample_weight: float
    needed_by: Time
    used_at: Time
    reason_codes: Sequence[str]
    checks: Sequence[Check]
    extra: Mapping[str, object]


class CallFields(PredictionFields, total=False):
    """What a call takes beside the fields of a prediction."""

    sample_key: str
    """Sampling keeps or leaves out all that has the same key together; the id if not given."""


PREDICTION_FIELDS = frozenset(PredictionFields.__annotations__)

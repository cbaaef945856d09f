"""Requests and responses that come apart: each is the half of a prediction, and two of them become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from watchkeeper.schemas.events import EMPTY, Prediction, Tokens

NO_RESPONSE = "no_response"
"""The error class of a request whose response never came."""
MAX_MS = 1e12


class Row(Struct, frozen=True, omit_defaults=True):
    """What one half says of one instance: of the inputs, or of the answer."""

    features: dict[str, bool | int | float | str | None] | None = None
    prediction: bool | int | float | str | None = None
    score: float | None = None
    confidence: float | None = None
    outputs: Any = None
    content: dict[str, str] | None = None


class Half(Struct, frozen=True, omit_defaults=True):
    """One half. ``key`` is that of both; ``ts`` is in ns since 1970; both halves name the same model."""

    key: str
    id: str
    service: str
    part: Literal["request", "response"]
    ts: int | None = None
    model: str = "default"
    model_version: str | None = None
    system: str | None = None
    step: str | None = None
    operation: str | None = None
    finish_reason: str | None = None
    segments: dict[str, str | int | bool | None] | None = None
    status: Literal["ok", "error"] = "ok"
    error_class: str | None = None
    tokens: Tokens | None = None
    rows: tuple[Row, ...] = ()


def item_id(name: str, number: int, count: int) -> str:
    """Name one instance of a request; a request of one has no numbers.

    >>> item_id("r", 0, 1), item_id("r", 1, 2)
    ('r', 'r-item-1')
    """
    return name if count == 1 else f"{name}-item-{number}"


def possible_ids(half: Half) -> tuple[str, str]:
    """Name the predictions by which a half that came before would be known."""
    return half.id, item_id(half.id, 0, 2)


def predictions(request: Half | None, response: Half | None) -> list[Prediction]:
    """Make the predictions of one request, one an instance; one half may be lacking.

    >>> asked = Half("k", "r", "shop", "request", ts=2_000_000_000, rows=(Row({"x": 1}),))
    >>> said = Half("k", "r", "shop", "response", ts=2_250_000_000, rows=(Row(prediction=7),))
    >>> [made] = predictions(asked, said)
    >>> made.id, made.prediction, made.latency_ms, bytes(made.features)
    ('r', 7, 250.0, b'{"x":1}')
    """
    half = request or response
    if half is None:
        return []
    asked, said = (one.rows if one else () for one in (request, response))
    count = max(len(asked), len(said), 1)
    whole = Prediction(
        id=half.id,
        service=half.service,
        ts=half.ts,
        model=half.model,
        model_version=_either("model_version", response, request),
        system=half.system,
        step=half.step,
        operation=_either("operation", response, request),
        finish_reason=response.finish_reason if response else None,
        segments={**(request.segments or {} if request else {}), **(response.segments or {} if response else {})}
        or None,
        latency_ms=_latency(request, response),
        status=response.status if response else "unknown",
        error_class=response.error_class if response else NO_RESPONSE,
    )
    made = [_with(whole, item_id(half.id, n, count), _at(asked, n), _at(said, n)) for n in range(count)]
    if response and response.tokens:
        made[0] = msgspec.structs.replace(made[0], tokens=response.tokens)
    return made


def _with(whole: Prediction, name: str, asked: Row, said: Row) -> Prediction:
    content = {**(asked.content or {}), **(said.content or {})}
    extra = {key: value for key, value in (("content", content), ("outputs", said.outputs)) if value}
    return msgspec.structs.replace(
        whole,
        id=name,
        features=_raw(asked.features),
        prediction=said.prediction,
        score=said.score,
        confidence=said.confidence,
        extra=_raw(extra),
    )


def _raw(parts: object) -> Raw:
    return Raw(msgspec.json.encode(parts)) if parts else EMPTY


def _at(rows: Sequence[Row], number: int) -> Row:
    return rows[number] if number < len(rows) else Row()


def _either(name: str, *halves: Half | None) -> str | None:
    return next((value for half in halves if half and (value := getattr(half, name))), None)


def _latency(request: Half | None, response: Half | None) -> float | None:
    if request is None or response is None or request.ts is None or response.ts is None:
        return None
    milliseconds = (response.ts - request.ts) / 1e6
    return milliseconds if 0 <= milliseconds <= MAX_MS else None

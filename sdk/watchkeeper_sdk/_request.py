"""Times one request of an AI service and logs it as one prediction, however it ends."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from ._usage import model_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Never, Self, Unpack

    from ._fields import CallFields, Check, Fallback, Time, Tokens, Value

_CANCELLED = frozenset({"KeyboardInterrupt", "GeneratorExit", "CancelledError", "Cancelled"})
_TIMEOUT_ENDINGS = ("TimeoutError", "TimeoutException", "Timeout")


class Request:
    """One request under way: set the fields of the prediction on it while they become known.

    Fields are those of ``log_prediction``. On leaving, ``latency_ms`` is set, and after an exception
    ``status`` and (unless you set it yourself) ``error_class``. The exception goes on.
    """

    # What is set on the object lands in __dict__, and __dict__ is the event.
    __slots__ = ("__dict__", "_begun", "_log", "_token_counts")

    id: str
    ts: Time
    service: str | None = None
    model: str | None = None
    model_version: str | None = None
    system: str | None = None
    provider: str | None = None
    prompt: str | None = None
    prompt_version: str | None = None
    config_version: str | None = None
    environment: str | None = None
    site: str | None = None
    segments: Mapping[str, str | int | bool | None] | None = None
    features: Mapping[str, object] | None = None
    prediction: Value | None = None
    score: float | None = None
    confidence: float | None = None
    confidence_threshold: float | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    status: str | None = None
    error_class: str | None = None
    cost: float | None = None
    currency: str | None = None
    attempts: int | None = None
    fallback: Fallback | None = None
    workflow: str | None = None
    step: str | None = None
    tool: str | None = None
    agent: str | None = None
    operation: str | None = None
    trace_id: str | None = None
    parent_id: str | None = None
    conversation: str | None = None
    finish_reason: str | None = None
    service_tier: str | None = None
    sample_weight: float | None = None
    needed_by: Time | None = None
    used_at: Time | None = None
    reason_codes: Sequence[str] | None = None
    checks: Sequence[Check] | None = None
    extra: Mapping[str, object] | None = None

    def __init__(self, log: Callable[..., str], fields: CallFields) -> None:
        self.__dict__.update(fields)
        self._token_counts: object = self.__dict__.pop("tokens", None)
        self._log = log
        self._begun = time.perf_counter()

    def tokens(self, *_: Never, **counts: Unpack[Tokens]) -> None:
        """Tell how many tokens of each class the request used; the last call holds."""
        self._token_counts = counts

    def usage(self, response: object) -> None:
        """Take the tokens, and the model where none is set, from a provider's raw response or its usage object."""
        with contextlib.suppress(Exception):  # an object of the host may raise anything: then nothing is known of it
            counts = tokens_of(response)
            if counts is not None:
                self._token_counts = counts
            if self.model is None:
                self.model = model_of(response)

    def first_token(self) -> None:
        """Mark the moment of the first token; later calls change nothing."""
        if self.ttft_ms is None:
            self.ttft_ms = self._elapsed_ms()

    def __enter__(self) -> Self:
        self._begun = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        fields: dict[str, object] = {"tokens": self._token_counts, **self.__dict__}
        if fields.get("latency_ms") is None:
            fields["latency_ms"] = self._elapsed_ms()
        if kind is not None:
            fields["status"] = "error"
            fields["error_class"] = fields.get("error_class") or error_class(kind)
        self._log(**fields)

    def _elapsed_ms(self) -> float:
        return (time.perf_counter() - self._begun) * 1000.0


class AsyncRequest(Request):
    """The same for ``async with``."""

    __slots__ = ()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.__exit__(kind)


def error_class(kind: type[BaseException]) -> str:
    """Which error class is this exception? By name, so that no library of the host is imported.

    >>> error_class(TimeoutError), error_class(KeyboardInterrupt), error_class(ZeroDivisionError)
    ('timeout', 'cancelled', 'internal')
    """
    names = [base.__name__ for base in kind.__mro__]
    if any(name in _CANCELLED for name in names):
        return "cancelled"
    return "timeout" if any(name.endswith(_TIMEOUT_ENDINGS) for name in names) else "internal"

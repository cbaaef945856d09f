"""A decorator that logs each call of a function as one prediction."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from ._ledger import describe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ._client import Client
    from ._fields import CallFields
    from ._request import Request

    Inputs = Callable[..., Mapping[str, object]] | None
    Outputs = Callable[..., Mapping[str, object]] | None

P = ParamSpec("P")
R = TypeVar("R")
_PLAIN = (bool, int, float, str)


class Predict:
    """What ``predict`` was told; called with a function, it gives the function that logs."""

    def __init__(self, client: Client, inputs: Inputs, outputs: Outputs, fields: CallFields) -> None:
        self._client = client
        self._inputs = inputs
        self._outputs = outputs
        self._fields = fields

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function):
            waiting = cast("Callable[P, Awaitable[object]]", function)

            @functools.wraps(waiting)
            async def later(*args: P.args, **kwargs: P.kwargs) -> object:
                async with self._client.arequest(**self._fields) as request:
                    self._take_in(request, args, kwargs)
                    result = await waiting(*args, **kwargs)
                    self._take_out(request, result)
                    return result

            return cast("Callable[P, R]", later)

        @functools.wraps(function)
        def now(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._client.request(**self._fields) as request:
                self._take_in(request, args, kwargs)
                result = function(*args, **kwargs)
                self._take_out(request, result)
                return result

        return now

    def _take_in(self, request: Request, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        if self._inputs is not None:
            try:
                request.features = dict(self._inputs(*args, **kwargs))
            except Exception as error:  # noqa: BLE001  # the host must not notice
                self._client.note("inputs", f"inputs= of predict() failed, no features: {describe(error)}")

    def _take_out(self, request: Request, result: object) -> None:
        if self._outputs is None:
            if isinstance(result, _PLAIN):
                request.prediction = result
            return
        try:
            request.__dict__.update(self._outputs(result))
        except Exception as error:  # noqa: BLE001  # the host must not notice
            self._client.note("outputs", f"outputs= of predict() failed, no prediction: {describe(error)}")

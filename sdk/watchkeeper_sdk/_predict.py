"""A decorator that logs each call of a function as one prediction."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from ._ledger import describe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping

    from typing_extensions import Self

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
        if inspect.isgeneratorfunction(function):
            return cast("Callable[P, R]", self._stream(function))
        if inspect.isasyncgenfunction(function):
            return cast("Callable[P, R]", self._later_stream(function))

        @functools.wraps(function)
        def now(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._client.request(**self._fields) as request:
                self._take_in(request, args, kwargs)
                result = function(*args, **kwargs)
                self._take_out(request, result)
                return result

        return now

    def _stream(self, making: Callable[P, Generator[object, object, object]]) -> Callable[P, object]:
        """Log a generator once it ends, however that is; the first item marks the first token."""

        @functools.wraps(making)
        def streamed(*args: P.args, **kwargs: P.kwargs) -> Generator[object, object, object]:
            with self._client.request(**self._fields) as request:
                self._take_in(request, args, kwargs)
                items = _Watched(making(*args, **kwargs), request, keep=self._outputs is not None)
                result = cast("object", (yield from items))
                self._take_out(request, items.kept)
                return result

        return streamed

    def _later_stream(self, making: Callable[P, AsyncGenerator[object, None]]) -> Callable[P, object]:
        """Do the same for an asynchronous generator; what is sent into it does not reach it."""

        @functools.wraps(making)
        async def streamed(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[object, None]:
            async with self._client.arequest(**self._fields) as request:
                self._take_in(request, args, kwargs)
                kept: list[object] = []
                items = making(*args, **kwargs)
                try:
                    async for item in items:
                        request.first_token()
                        if self._outputs is not None:
                            kept.append(item)
                        yield item
                finally:
                    await items.aclose()
                self._take_out(request, kept)

        return streamed

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


class _Watched:
    """A generator behind ``yield from``: it passes on all that a caller may do with it."""

    def __init__(self, generator: Generator[object, object, object], request: Request, *, keep: bool) -> None:
        self._generator = generator
        self._request = request
        self._keep = keep
        self.kept: list[object] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> object:
        return self._told(next(self._generator))

    def send(self, value: object) -> object:
        return self._told(self._generator.send(value))

    def throw(self, error: BaseException) -> object:
        return self._told(self._generator.throw(error))

    def close(self) -> None:
        self._generator.close()

    def _told(self, item: object) -> object:
        self._request.first_token()
        if self._keep:
            self.kept.append(item)
        return item

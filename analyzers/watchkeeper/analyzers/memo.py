"""One read, once: a reader that remembers its answers for the length of one run of the schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

T = TypeVar("T")

KEPT = 256
"""Answers that are kept; the one that was asked for longest ago goes first."""


class _Memo:
    """Answers every method of the reader, and the same question only once."""

    def __init__(self, facts: FactReader) -> None:
        self._facts = facts
        self._answers: dict[object, object] = {}

    def keep(self, key: object, make: Callable[[], object]) -> object:
        """Make it if it is not here."""
        answer = self._answers.pop(key) if key in self._answers else make()
        self._answers[key] = answer
        if len(self._answers) > KEPT:
            del self._answers[next(iter(self._answers))]
        return answer

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = cast("Callable[..., object]", getattr(self._facts, name))

        def ask(*args: object, **kwargs: object) -> object:
            return self.keep((name, args, tuple(sorted(kwargs.items()))), lambda: method(*args, **kwargs))

        setattr(self, name, ask)
        return ask


def remembering(facts: FactReader) -> FactReader:
    """Wrap a reader so that whoever asks the same gets the same answer.

    Misleads when facts are loaded meanwhile: an answer is as old as its first asking. So a wrapper lives for one run.
    """
    return cast("FactReader", _Memo(facts))


def once(facts: FactReader, key: object, make: Callable[[], T]) -> T:
    """Share what several analyzers work out from the same reads; with a plain reader it is just made."""
    return cast("T", facts.keep(key, make)) if isinstance(facts, _Memo) else make()

"""Conditions on labels, in Alertmanager's words: ``name="value"``, ``!=``, ``=~`` and ``!~``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import msgspec

from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.findings import Json

_WRITTEN = re.compile(
    r"\s*(?P<name>[^\s=!~{},\"']+)\s*(?P<op>=~|!~|!=|=)\s*(?P<value>\"(?:\\.|[^\"\\])*\"|[^,{}\"]*)\s*"
)
_QUOTED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n"}


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition. A label that is not there is the empty text; a pattern must fit the whole value.

    >>> Matcher("model", "gpt.*", regex=True).holds({"model": "gpt-5"})
    True
    >>> Matcher("site", "oslo", equal=False).holds({})
    True
    """

    name: str
    value: str
    regex: bool = False
    equal: bool = True

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether these labels meet it."""
        found = labels.get(self.name, "")
        same = _pattern(self.value).fullmatch(found) is not None if self.regex else found == self.value
        return same is self.equal

    def __str__(self) -> str:
        """Write it as it is read.

        >>> print(Matcher("service", "a|b", regex=True))
        service=~"a|b"
        """
        operator = ("=~" if self.equal else "!~") if self.regex else ("=" if self.equal else "!=")
        quoted = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{operator}"{quoted}"'


Matchers = tuple[Matcher, ...]


def read_matchers(written: Iterable[str]) -> Matchers:
    """Read conditions as people write them, several in one text where commas part them.

    Raises:
        InputError: a text is no condition, or its pattern is no regular expression.

    >>> [str(one) for one in read_matchers(['service="delays", severity=~page|ticket'])]
    ['service="delays"', 'severity=~"page|ticket"']
    """
    found: list[Matcher] = []
    for text in written:
        inner = text.strip()
        if inner.startswith("{") and inner.endswith("}"):
            inner = inner[1:-1]
        at = 0
        while at < len(inner):
            one = _WRITTEN.match(inner, at)
            if one is None or (one.end() < len(inner) and inner[one.end()] != ","):
                raise InputError(f'{text!r} is no matcher; write one as service="delays" or severity=~"page|ticket"')
            found.append(_made(one["name"], one["op"], _unquoted(one["value"])))
            at = one.end() + 1
    return tuple(found)


def checked(matcher: Matcher) -> Matcher:
    """Give the matcher back, or say that its pattern cannot be used."""
    if not matcher.name:
        raise InputError("a matcher needs the name of a label")
    if matcher.regex:
        try:
            _pattern(matcher.value)
        except re.error as error:
            raise InputError(f"{matcher.name}: {matcher.value!r} is no regular expression: {error}") from None
    return matcher


def all_hold(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Tell whether every condition is met; no condition is met by everything."""
    return all(matcher.holds(labels) for matcher in matchers)


def stored(matchers: Matchers) -> list[Json]:
    """Give them as JSON, for a column of control data."""
    return cast("list[Json]", msgspec.to_builtins(matchers))


def loaded(value: Json) -> Matchers:
    """Read what ``stored`` gave."""
    return msgspec.convert(value, Matchers)


def _made(name: str, operator: str, value: str) -> Matcher:
    return checked(Matcher(name, value, regex="~" in operator, equal=operator[0] != "!"))


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text.strip()
    return _QUOTED.sub(lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1])


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.DOTALL)

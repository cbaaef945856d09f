"""What the conventions call our fields: the table in ``decoders/aliases.toml``, ready for looking up."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, cast

import msgspec

_TO_MS = {"s": 1000.0, "ms": 1.0}


@dataclass(frozen=True, slots=True)
class Alias:
    """One name of one field: its place in the order, what to multiply by, and whether it holds other classes too."""

    field: str
    rank: int
    name: str
    scale: float | None = None
    includes: bool = False


class Found(NamedTuple):
    """What an attribute said of a field, and under which name. A tuple: a dozen are made for each span."""

    alias: Alias
    value: object


@dataclass(frozen=True, slots=True)
class Aliases:
    """The table; ``by_name`` gives, for an attribute, every field that it may fill."""

    version: int
    by_name: Mapping[str, tuple[Alias, ...]]
    operations: Mapping[str, Mapping[str, str]]
    extra: Sequence[str]
    unfolded: Sequence[str]
    prefixes: Sequence[str]
    tags: Sequence[str]
    dimensions: Mapping[str, Sequence[str]]
    content: Mapping[str, Sequence[str]]
    feedback: Mapping[str, frozenset[str]]
    errors: Mapping[str, re.Pattern[str]]

    def fields(self, attributes: Mapping[str, object]) -> dict[str, Found]:
        """Give each field that these attributes fill; the name that stands first in the table wins.

        >>> found = aliases().fields({"gen_ai.system": "a", "gen_ai.provider.name": "b"})
        >>> found["provider"].value
        'b'
        """
        found: dict[str, Found] = {}
        by_name = self.by_name
        for name, value in attributes.items():
            for alias in by_name.get(name, ()):
                known = found.get(alias.field)
                if (known is None or alias.rank < known.alias.rank) and value not in (None, "", []):
                    found[alias.field] = Found(alias, value)
        return found

    def wanted(self, dimensions: Sequence[str]) -> frozenset[str]:
        """Name every attribute that is looked at, text aside; the others need not even be read."""
        placed = (place for name in dimensions for place in self.places(name))
        return frozenset((*self.by_name, *self.operations, *self.unfolded, *self.tags, *placed, "event.name"))

    def places(self, dimension: str) -> list[str]:
        """Name the attributes where a free dimension may stand, the first that is present to be taken."""
        return [prefix + dimension for prefix in ("", *self.prefixes)] + [*self.dimensions.get(dimension, ())]

    def operation(self, attributes: Mapping[str, object]) -> str | None:
        """Say what was done; None for what is no AI work.

        >>> aliases().operation({"openinference.span.kind": "TOOL"}), aliases().operation({"http.method": "GET"})
        ('execute_tool', None)
        """
        for name, words in self.operations.items():
            value = attributes.get(name)
            if isinstance(value, str) and value:
                word = words.get(value.lower()) or words.get("*")
                if word:
                    return value if word == "*" else word
        return None

    def unfold(self, attributes: dict[str, object]) -> None:
        """Put the parts of attributes that are JSON objects beside them, as ``name.part``."""
        for name in self.unfolded:
            text = attributes.get(name)
            if isinstance(text, str):
                try:
                    parts = msgspec.json.decode(text)
                except (msgspec.DecodeError, RecursionError):
                    continue
                unfold_object(attributes, name, parts, 2)

    def error_class(self, *texts: str) -> str | None:
        """Give the error class that a page knows, for an error's type or message.

        >>> aliases().error_class("openai.RateLimitError"), aliases().error_class("MyOwn")
        ('rate_limited', None)
        """
        for text in texts:
            for word, pattern in self.errors.items():
                if pattern.search(text):
                    return word
        return None


def unfold_object(attributes: dict[str, object], name: str, parts: object, depth: int) -> None:
    """Put the parts of an object into the attributes, as ``name.part``, down to a depth."""
    if isinstance(parts, dict):
        for key, value in cast("dict[object, object]", parts).items():
            if isinstance(value, dict) and depth > 1:
                unfold_object(attributes, f"{name}.{key}", cast("object", value), depth - 1)
            else:
                attributes.setdefault(f"{name}.{key}", cast("object", value))


@cache
def aliases() -> Aliases:
    """Read the table, once."""
    text = (files("watchkeeper.collector.decoders") / "aliases.toml").read_text("utf-8")
    table: dict[str, Any] = tomllib.loads(text)
    by_name: dict[str, list[Alias]] = {}
    for field, names in table["fields"].items():
        for rank, entry in enumerate(names):
            alias = _alias(field, rank, entry)
            by_name.setdefault(alias.name, []).append(alias)
    return Aliases(
        version=table["version"],
        by_name={name: tuple(entries) for name, entries in by_name.items()},
        operations=table["operations"],
        extra=table["extra"]["fields"],
        unfolded=table["unfolded"]["names"],
        prefixes=table["unfolded"]["prefixes"],
        tags=table["unfolded"]["tags"],
        dimensions=table["dimensions"],
        content=table["content"],
        feedback={name: frozenset(words) for name, words in table["feedback"].items()},
        errors={word: _pattern(parts) for word, parts in table["errors"].items()},
    )


def _pattern(parts: Sequence[str]) -> re.Pattern[str]:
    """Find any part; a number only where it stands alone, as 429 does not in 14290 tokens."""
    return re.compile("|".join(rf"\b{part}\b" if part.isdigit() else re.escape(part) for part in parts), re.IGNORECASE)


def _alias(field: str, rank: int, entry: str | dict[str, str]) -> Alias:
    if isinstance(entry, str):
        return Alias(field, rank, entry)
    unit = entry.get("unit")
    return Alias(field, rank, entry["name"], _TO_MS[unit] if unit else None, "includes" in entry)

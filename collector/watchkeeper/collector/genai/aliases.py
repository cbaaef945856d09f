"""What the conventions call our fields: the table in ``decoders/aliases.toml``, ready for looking up."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, cast

import msgspec

from watchkeeper.collector.genai.tokens import INCLUDES, number

_TO_MS = {"s": 1000.0, "ms": 1.0}
MAX_READINGS = 1000
"""Sets of names for which that is kept; past it, all are forgotten and found again."""


class Alias(NamedTuple):
    """One name of one field: its place in the order, what to multiply by, and whether it holds other classes too."""

    field: str
    rank: int
    name: str
    scale: float | None = None
    includes: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What a set of attribute names can say: which of them are looked at, and the order among those of one field.

    An emitter's spans carry the same names again and again, so that this is worked out once for many of them.
    """

    names: Sequence[tuple[str, Sequence[Alias]]]
    operations: Sequence[tuple[str, Mapping[str, str]]]
    unfolded: Sequence[str]

    def fields(self, attributes: Mapping[str, object]) -> dict[str, object]:
        """Give the value of each field that these attributes fill; the name that stands first in the table wins."""
        found: dict[str, object] = {}
        for name, aliases in self.names:
            for alias in aliases:
                value = attributes[alias.name]
                if alias.scale is not None:
                    value = scaled(value, alias.scale)
                if value or value == 0:
                    found[name] = value
                    if alias.includes:
                        found[name + INCLUDES] = True
                    break
        return found

    def operation(self, attributes: Mapping[str, object]) -> str | None:
        """Say what was done; None for what is no AI work."""
        for name, words in self.operations:
            value = attributes[name]
            if isinstance(value, str) and value:
                word = words.get(value.lower()) or words.get("*")
                if word:
                    return value if word == "*" else word
        return None


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
    known: frozenset[str]
    """Every attribute that fills a field, says what was done, or holds others."""
    _readings: dict[frozenset[str], Reading] = field(default_factory=dict[frozenset[str], Reading])

    def reading(self, attributes: Iterable[str]) -> Reading:
        """Say what attributes of these names are read for.

        >>> reading = aliases().reading(["openinference.span.kind", "http.method"])
        >>> reading.operation({"openinference.span.kind": "TOOL", "http.method": "GET"})
        'execute_tool'
        """
        names = self.known.intersection(attributes)
        reading = self._readings.get(names)
        if reading is None:
            if len(self._readings) >= MAX_READINGS:
                self._readings.clear()
            reading = self._readings[names] = self._read(names)
        return reading

    def _read(self, names: frozenset[str]) -> Reading:
        by_field: dict[str, list[Alias]] = {}
        for name in names:
            for alias in self.by_name.get(name, ()):
                by_field.setdefault(alias.field, []).append(alias)
        return Reading(
            names=[(name, sorted(found, key=lambda alias: alias.rank)) for name, found in by_field.items()],
            operations=[(name, words) for name, words in self.operations.items() if name in names],
            unfolded=[name for name in self.unfolded if name in names],
        )

    def fields(self, attributes: Mapping[str, object]) -> dict[str, object]:
        """Give the value of each field that these attributes fill; the name that stands first in the table wins.

        >>> aliases().fields({"gen_ai.system": "a", "gen_ai.provider.name": "b"})
        {'provider': 'b'}
        """
        return self.reading(attributes).fields(attributes)

    def wanted(self, dimensions: Sequence[str]) -> frozenset[str]:
        """Name every attribute that is looked at, text aside; the others need not even be read."""
        placed = (place for name in dimensions for place in self.places(name))
        return frozenset((*self.known, *self.tags, *placed, "event.name"))

    def places(self, dimension: str) -> list[str]:
        """Name the attributes where a free dimension may stand, the first that is present to be taken."""
        return [prefix + dimension for prefix in ("", *self.prefixes)] + [*self.dimensions.get(dimension, ())]

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


def unfold(attributes: dict[str, object], names: Sequence[str]) -> None:
    """Put the parts of attributes that are JSON objects beside them, as ``name.part``."""
    for name in names:
        text = attributes.get(name)
        if isinstance(text, str):
            try:
                parts = msgspec.json.decode(text)
            except (msgspec.DecodeError, RecursionError):
                continue
            unfold_object(attributes, name, parts, 2)


def scaled(value: object, scale: float) -> float | None:
    """Give a number in our unit; None where it is none."""
    plain = number(value)
    return None if plain is None else plain * scale


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
    for name, entries in table["fields"].items():
        for rank, entry in enumerate(entries):
            alias = _alias(name, rank, entry)
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
        known=frozenset((*by_name, *table["operations"], *table["unfolded"]["names"])),
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

"""What is kept of a row that was turned away: enough to correct it and send it again, no text that must not be kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import msgspec

from watchkeeper.collector.genai import text
from watchkeeper.schemas.settings import Ingest

MAX_RAW = 65_536
"""Bytes of one row that are kept."""
SHORT = 200
"""Characters of a name or label; what is longer is text."""
_DEPTH = 64


@dataclass(frozen=True, slots=True)
class RawKeeper:
    """Takes out what must not be kept: patterns always, and every long text where text is not kept."""

    redact: Callable[[str], str]
    keep_text: bool

    def cleaned(self, value: object, depth: int = _DEPTH) -> object:
        """Give JSON with its texts cleaned.

        >>> keeper(Ingest()).cleaned({"a": ["b@example.org", "x" * 300, 1]})
        {'a': ['[redacted]', '[text]', 1]}
        """
        if isinstance(value, str):
            return "[text]" if len(value) > SHORT and not self.keep_text else self.redact(value)
        if not depth:
            return None
        if isinstance(value, dict):
            parts = cast("dict[str, object]", value)
            return {name: self.cleaned(part, depth - 1) for name, part in parts.items()}
        if isinstance(value, list):
            return [self.cleaned(part, depth - 1) for part in cast("list[object]", value)]
        return value

    def encoded(self, row: object, names: object) -> bytes:
        """Write a row that was cleaned; only what names it where it is too long."""
        raw = msgspec.json.encode(row, enc_hook=repr)
        return raw if len(raw) <= MAX_RAW else msgspec.json.encode(names, enc_hook=repr)[:MAX_RAW]


def keeper(ingest: Ingest) -> RawKeeper:
    """Make the keeper that the settings ask for."""
    return RawKeeper(text.redactor(ingest.redact), ingest.keep_text)

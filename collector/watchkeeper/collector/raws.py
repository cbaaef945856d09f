"""What is kept of a row that was turned away: enough to correct it and send it again, no text that must not be kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import msgspec

from watchkeeper.collector.decoding import Rejected
from watchkeeper.collector.genai import text
from watchkeeper.schemas.settings import Ingest

MAX_RAW = 65_536
"""Bytes of one row that are kept."""
NAMES_ALONE = " (too much to keep: its names alone)"
"""How the reason ends of a row of which only the names were kept."""
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

    def rejected(self, index: int, wrong: tuple[str, str], row: object, names: object) -> Rejected:
        """Turn a cleaned row away (``wrong``: field and reason); keep only its names where it is too long."""
        raw = msgspec.json.encode(row, enc_hook=repr)
        if len(raw) <= MAX_RAW:
            return Rejected(index, *wrong, raw)
        return self.named(index, wrong, names)

    def named(self, index: int, wrong: tuple[str, str], names: object) -> Rejected:
        """Turn a row away of which only the names are kept, and say so."""
        field, reason = wrong
        return Rejected(index, field, f"{reason}{NAMES_ALONE}", msgspec.json.encode(names, enc_hook=repr)[:MAX_RAW])


def keeper(ingest: Ingest) -> RawKeeper:
    """Make the keeper that the settings ask for."""
    return RawKeeper(text.redactor(ingest.redact), ingest.keep_text)

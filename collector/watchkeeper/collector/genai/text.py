"""Prompts and answers: not kept, unless it is asked for; then with what looks like a person's data or a key taken out.

Patterns find what has a form (an address, a card number, a key), not what has none (a name, an illness). Where text
must not be kept, do not switch it on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from watchkeeper.collector.genai.aliases import Aliases
from watchkeeper.collector.genai.span import Moment
from watchkeeper.schemas.errors import SettingsError

MAX_TEXT = 16_384
"""Characters of one text that are kept."""
GONE = "[redacted]"
_DEFAULTS = (
    r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,24}",
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{4,}",
    r"\b(?:sk|pk|rk|ghp|gho|ghs|glpat|xox[abprs]|hf|AKIA|ASIA|AIza)[-_]?[A-Za-z0-9_-]{16,}",
    r"(?i)\b(?:bearer|api[_-]?key|token|password|passwd|secret)\b[\"']?\s{0,3}[:= ]\s{0,3}[\"']?[^\s\"',;]{6,}[\"']?",
    r"\b(?:\d[ -]?){12,18}\d\b",
    r"\+\d{8,15}\b",
    r"(?<![\w.])(?:\+\d{1,3}[ .-]|\()\d{2,5}\)?(?:[ ./-]\d{2,8}){1,4}(?!\w)",
    r"(?<![\w.])\d{2,5}(?:[ ./-]\d{2,8}){2,4}(?!\w)",
)


def redactor(more: Sequence[str]) -> Callable[[str], str]:
    """Make the function that takes out what must not be kept.

    >>> redactor([])("mail to a.b@example.org, card 4111 1111 1111 1111")
    'mail to [redacted], card [redacted]'
    """
    try:
        patterns = [re.compile(pattern) for pattern in (*_DEFAULTS, *more)]
    except re.error as error:
        raise SettingsError(f"ingest.redact: {error.pattern!r} is not a regular expression: {error}") from None

    def redacted(text: str) -> str:
        text = text[: 4 * MAX_TEXT]
        for pattern in patterns:
            text = pattern.sub(GONE, text)
        return text[:MAX_TEXT]

    return redacted


def content(
    table: Aliases, attributes: Mapping[str, object], moments: Sequence[Moment], redact: Callable[[str], str]
) -> dict[str, str]:
    """Give the texts of a span: what went in, what came out, the instructions; each as text, redacted."""
    found: dict[str, str] = {}
    for part in ("input", "output", "instructions", "variables"):
        value = next((attributes[name] for name in table.content[part] if attributes.get(name)), None)
        if value is None and part in ("input", "output"):
            value = _spread(table, attributes, part) or _told(table, moments, part)
        if value:
            found[part] = redact(_text(value))
    return found


def _spread(table: Aliases, attributes: Mapping[str, object], part: str) -> dict[str, object]:
    """Gather a list that was flattened into attributes such as ``llm.input_messages.0.message.role``."""
    prefixes = tuple(table.content[f"{part}_prefixes"])
    return {
        name: value for name, value in attributes.items() if name.startswith(prefixes) and name not in table.by_name
    }


def _told(table: Aliases, moments: Sequence[Moment], part: str) -> list[object]:
    names = table.content[f"{part}_events"]
    return [moment.attributes or moment.body for moment in moments if moment.name in names]


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=repr).decode()

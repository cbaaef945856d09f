"""The Prometheus text format (0.0.4), as exporters really write it.

Not prometheus_client's parser: it renames counters (``_total``), and its OpenMetrics sibling refuses every recorded GPU
scrape. Names and labels are kept as the text has them; a line that cannot be read is counted, not fatal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(
    r'^([a-zA-Z_:][\w:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?[ \t]+(\S+)(?:[ \t]+(-?\d{1,18}))?[ \t]*$'
)
_LABEL = re.compile(r'([a-zA-Z_]\w*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"')
_LABELS = re.compile(r'[ \t]*(?:[a-zA-Z_]\w*[ \t]*=[ \t]*"(?:[^"\\]|\\.)*"[ \t]*(?:,[ \t]*|$))*')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: a value of one series, and its time where the exporter gave one (ms since 1970)."""

    name: str
    labels: Mapping[str, str]
    value: float
    time_ms: int | None


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one scrape held, and how many of its lines could not be read."""

    samples: list[Sample]
    unreadable: int


def parse(text: str) -> Scrape:
    """Read one scrape.

    >>> parse('DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-1"} 97 1767225600000').samples[0].value
    97.0
    """
    samples: list[Sample] = []
    unreadable = 0
    cache: dict[str, dict[str, str] | None] = {}
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        found = _LINE.match(stripped)
        if found is None:
            unreadable += 1
            continue
        name, labels, value, time_ms = found.groups()
        key = labels or ""
        if key not in cache:
            cache[key] = _labels(key)
        known, number = cache[key], _number(value)
        if known is None or number is None:
            unreadable += 1
            continue
        samples.append(Sample(name, known, number, int(time_ms) if time_ms else None))
    return Scrape(samples, unreadable)


def _labels(text: str) -> dict[str, str] | None:
    if _LABELS.fullmatch(text) is None:
        return None
    return {label: _unescape(content) for label, content in _LABEL.findall(text)}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], text) if "\\" in text else text

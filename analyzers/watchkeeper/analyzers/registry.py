"""Finds every analyzer: ours by folder, others by entry point; both through the same loader."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import cast

import watchkeeper.analyzers as package
from watchkeeper.analyzers.evaluation import Analyzer
from watchkeeper.analyzers.phrases import span_words
from watchkeeper.schemas.errors import SettingsError

GROUP = "watchkeeper.analyzers"
"""The entry-point group of analyzers that other distributions bring; each names a module with an ``ANALYZER``."""

_NEEDED = ("name", "question", "every", "span", "quiet", "params", "evaluate")


def discover() -> dict[str, Analyzer]:
    """Load every analyzer, by name.

    >>> "data.missing" in discover()
    True
    """
    registry: dict[str, Analyzer] = {}
    for module in _modules():
        analyzer = analyzer_of(module)
        if analyzer.name in registry:
            raise SettingsError(
                f"two analyzers are named {analyzer.name!r}, the second in {module.__name__}: rename one of them"
            )
        registry[analyzer.name] = analyzer
    return dict(sorted(registry.items()))


def analyzer_of(module: ModuleType) -> Analyzer:
    """Give the module's ``ANALYZER``, or say what it lacks."""
    found: object = getattr(module, "ANALYZER", None)
    missing = [name for name in _NEEDED if not hasattr(found, name)]
    if missing:
        raise SettingsError(f"module {module.__name__} has no usable ANALYZER: it lacks {', '.join(missing)}")
    return cast("Analyzer", found)


def _modules() -> Iterator[ModuleType]:
    for folder in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if folder.ispkg:
            inside = importlib.import_module(folder.name)
            for file in pkgutil.iter_modules(inside.__path__, folder.name + "."):
                if not file.ispkg:  # a folder inside is the pure core of its method
                    yield importlib.import_module(file.name)
    for point in entry_points(group=GROUP):
        yield importlib.import_module(point.module)


def table(registry: Mapping[str, Analyzer]) -> str:
    """Write the registry as a Markdown table, for the documentation."""
    lines = ["| analyzer | question | every | window | over after | parameters |", "|---|---|---|---|---|---|"]
    for name, analyzer in registry.items():
        params = ", ".join(f"`{key}` {value}" for key, value in analyzer.params.items()) or "none"
        spans = (analyzer.every, analyzer.span, analyzer.quiet)
        cells = (f"`{name}`", analyzer.question, *map(span_words, spans), params)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"

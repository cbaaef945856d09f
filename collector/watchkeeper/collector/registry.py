"""Finds the decoders: every file in ``decoders/``, and what other packages offer under ``watchkeeper.decoders``.

A decoder's file has a function ``build(ingest) -> Decoder``; an entry point names such a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import cast

from watchkeeper.collector import decoders
from watchkeeper.collector.decoding import Decoder, Door
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.settings import Ingest

GROUP = "watchkeeper.decoders"
Build = Callable[[Ingest], Decoder]
Way = tuple[Decoder, Door]


def discover(ingest: Ingest) -> Mapping[str, Decoder]:
    """Make every decoder, by name.

    Raises:
        SettingsError: one cannot be loaded, or two claim the same.

    >>> "events" in discover(Ingest())
    True
    """
    found = {name: build(ingest) for name, build in _builds()}
    kept: dict[str, str] = {}
    for name, decoder in found.items():
        for kind in decoder.kinds:
            if kept.setdefault(kind, name) != name:
                raise SettingsError(f"decoders {kept[kind]!r} and {name!r} both keep {kind!r}: rename one's kind")
    ways(found.values())
    return found


def by_kind(found: Mapping[str, Decoder]) -> Mapping[str, Decoder]:
    """Give the decoder of each kind that the inbox may hold."""
    return {kind: decoder for decoder in found.values() for kind in decoder.kinds}


def ways(found: Iterable[Decoder]) -> Mapping[str, Mapping[str, Way]]:
    """Give, by path and content type, who reads it."""
    table: dict[str, dict[str, Way]] = {}
    for decoder in found:
        for door in decoder.doors:
            for media in door.types:
                way = (decoder, door)
                if table.setdefault(door.path, {}).setdefault(media, way) != way:
                    raise SettingsError(f"two decoders read {media!r} at {door.path}: a content type has one reader")
    return table


def _builds() -> Iterator[tuple[str, Build]]:
    for module in sorted(module.name for module in iter_modules(decoders.__path__)):
        yield module, cast("Build", import_module(f"{decoders.__name__}.{module}").build)
    for entry in entry_points(group=GROUP):
        try:
            yield entry.name, cast("Build", entry.load())
        except Exception as error:
            raise SettingsError(f"decoder {entry.name!r} ({entry.value}) cannot be loaded: {error!r}") from error

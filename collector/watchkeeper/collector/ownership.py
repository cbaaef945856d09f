"""Whose rows: a key that is for some services hands over no row of another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from watchkeeper.collector.decoding import Events, Rejected
from watchkeeper.collector.halves import Half
from watchkeeper.schemas.events import KINDS, Event, GpuSample, Prediction

Row = TypeVar("Row", bound=Event | GpuSample | Half)
_KINDS: dict[type, str] = {struct: kind for kind, struct in KINDS.items()}
"""A row is kept as the event that it was understood to be."""
NULL = msgspec.Raw(b"null")
_SHOWN = 300
"""Characters of a reason: it may hold a name that the sender chose."""


def foreign(event: Event | GpuSample | Half, services: frozenset[str] | None) -> tuple[str, str] | None:
    """Say that a row is of a service that its sender's key is not for: (field, reason), or None."""
    service = None if isinstance(event, GpuSample) else event.service
    if services is None or service in services:
        return None
    said = f"{service!r} is" if service else "no service is named, and that is"
    return "service", f"{said} not what this API key is for: {', '.join(sorted(services))}"[:_SHOWN]


def own_only(events: Events, services: frozenset[str], first: int) -> Events:
    """Give the rows that are of these services; the others become rejects, numbered from ``first`` on."""
    rejected: list[Rejected] = []

    def own(rows: Sequence[Row]) -> list[Row]:
        kept: list[Row] = []
        for row in rows:
            wrong = foreign(row, services)
            if wrong is None:
                kept.append(row)
            else:
                kind = _KINDS.get(type(row), "")
                rejected.append(Rejected(first + len(rejected), *wrong, as_json(row), kind))
        return kept

    places = [place for place, row in enumerate(events.predictions) if row.service in services]
    return Events(
        predictions=own(events.predictions),
        unknown={new: events.unknown[old] for new, old in enumerate(places) if old in events.unknown},
        outcomes=own(events.outcomes),
        reviews=own(events.reviews),
        changes=own(events.changes),
        gpus=own(events.gpus),
        halves=own(events.halves),
        rejected=[*events.rejected, *rejected],
        ignored=events.ignored,
        columns=events.columns,
        linked=events.linked,
    )


def as_json(row: Event | GpuSample | Half) -> bytes:
    """Write a row as a reject keeps it; a part that was not sent has no JSON of its own."""
    if isinstance(row, Prediction):
        features, extra = (part if bytes(part) else NULL for part in (row.features, row.extra))
        row = msgspec.structs.replace(row, features=features, extra=extra)
    return msgspec.json.encode(row)

"""The rows that a window is compared with, as SQL that gives epoch, bin and n: from rollups or from what is kept."""

from __future__ import annotations

import math
from datetime import timedelta

from watchkeeper.schemas.declared import FIRST_DAYS, Reference
from watchkeeper.schemas.errors import NotFound
from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts import kept_references
from watchkeeper.store.facts.connection import FactStore

WEEK = timedelta(days=7)


def spans(reference: Reference, window: Window) -> tuple[Window, ...]:
    """Give the past windows that a rolling or seasonal reference adds up.

    >>> from datetime import UTC, datetime
    >>> day = Window(datetime(2026, 3, 30, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC))
    >>> [f"{span.start:%a %d %b}" for span in spans(Reference(service="s", type="seasonal", weeks=3), day)]
    ['Mon 23 Mar', 'Mon 16 Mar', 'Mon 09 Mar']
    """
    if reference.type == "rolling":
        return (Window(window.start - timedelta(days=reference.days), window.start),)
    stride = WEEK * max(1, math.ceil(window.length / WEEK))
    count = max(1, WEEK * reference.weeks // stride)
    return tuple(Window(window.start - n * stride, window.end - n * stride) for n in range(1, count + 1))


def compared_sql(
    facts: FactStore, service: str, model: str, window: Window, reference: Reference | None, epochs: str
) -> tuple[str, dict[str, object]]:
    """Give the SQL and its parameters; ``epochs`` lists those of the window, as SQL: a subquery would cost twice."""
    if reference is None:
        return f"SELECT epoch, bin, n FROM reference_bins WHERE epoch IN ({epochs})", {}
    if reference.type == "kept":
        return _kept(facts, service, model, reference, epochs)
    parameters: dict[str, object] = {}
    within: list[str] = []
    for number, span in enumerate(spans(reference, window)):
        within.append(f"(bucket >= $from_{number} AND bucket < $until_{number})")
        parameters |= {f"from_{number}": stored(span.start), f"until_{number}": stored(span.end)}
    return (
        f"""SELECT epoch, bin, sum(n)::BIGINT AS n FROM histogram_hour
            WHERE epoch IN ({epochs}) AND ({" OR ".join(within)}) GROUP BY ALL""",
        parameters,
    )


def words(reference: Reference | None) -> str:
    """Say what is compared with, for people."""
    return FIRST_DAYS if reference is None else reference.words


def _kept(
    facts: FactStore, service: str, model: str, reference: Reference, epochs: str
) -> tuple[str, dict[str, object]]:
    try:
        rows = kept_references.read(facts, service, model, reference.kept or "", reference.version).rows
    except NotFound:
        rows = []  # declared before it is made: nothing is compared until then
    columns = {name: [row[place] for row in rows] for place, name in enumerate(("kept_epochs", "kept_bins", "kept_n"))}
    listed = (
        "SELECT unnest($kept_epochs::INTEGER[]) AS epoch, unnest($kept_bins::INTEGER[]) AS bin, "
        "unnest($kept_n::BIGINT[]) AS n"
    )
    return f"SELECT * FROM ({listed}) WHERE epoch IN ({epochs})", dict(columns)

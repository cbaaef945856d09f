"""Which optional fields the predictions of a window carry.

Asked first by whoever reads one of them: most models have none, and to look for it row by row costs far more.
"""

from __future__ import annotations

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore

FIELDS = ("checks", "confidence_threshold", "extra", "reason_codes")


def carried(facts: FactStore, pair: tuple[str, str], window: Window) -> frozenset[str]:
    """Name those of ``FIELDS`` that any prediction of the window has."""
    counts = facts.read(
        f"""SELECT {", ".join(f"count({name}) AS {name}" for name in FIELDS)} FROM predictions
            WHERE service = $service AND model = $model AND ts >= $start_ts AND ts < $end_ts""",
        {"service": pair[0], "model": pair[1], "start_ts": stored(window.start), "end_ts": stored(window.end)},
    )
    return frozenset(name for name, count in counts.row(0, named=True).items() if count)

"""What came from one service in a window, beside what came in the stretch of the same length just before it?

For the look before and after a change. Everything is read from rollups and the ledger of ingest, but orphans: outcomes
that have not found their prediction yet, and may still.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.reader import FactReader
from watchkeeper.store.facts.units import Level, conversion

SCHEMA = {"part": pl.String, "subject": pl.String, "measure": pl.String, "before": pl.Float64, "after": pl.Float64}
_SHARES = {
    "missing_share": ("missing", "nan", "infinite"),
    "wrong_type_share": ("mismatched",),
    "unseen_share": ("unseen",),
    "out_of_range_share": ("below", "above"),
}
Row = tuple[str, str, str, float | None, float | None]


def audit(reader: FactReader, service: str, model: str, window: Window) -> pl.DataFrame:
    """Give ``part`` (events or features), ``subject``, ``measure``, ``before`` and ``after``.

    Of features: ``rows`` (none before is new), shares of them (all missing has vanished), ``mean``, ``spread``, and
    ``unit_factor`` where mean and spread are those of another unit. Of events, by kind: ``loaded``, ``duplicates``,
    ``rejected``, ``too_late``, ``clock_skewed`` by when they came in, and ``orphans`` among the outcomes.
    """
    before = Window(window.start - window.length, window.start)
    found = [*_events(reader.facts, service, before, window), *_features(reader, (service, model), before, window)]
    return pl.DataFrame(found, schema=SCHEMA, orient="row")


def _events(facts: FactStore, service: str, before: Window, after: Window) -> Iterator[Row]:
    parts = [_ledger(facts, service, window) for window in (before, after)]
    for key in sorted(parts[0] | parts[1]):
        yield "events", *key, parts[0].get(key, 0.0), parts[1].get(key, 0.0)


def _ledger(facts: FactStore, service: str, window: Window) -> dict[tuple[str, str], float]:
    asked = {"service": service, "start_ts": stored(window.start), "end_ts": stored(window.end)}
    rows = facts.read(
        """SELECT kind, sum(loaded) AS loaded, sum(duplicates) AS duplicates, sum(rejected) AS rejected,
                  sum(too_late) AS too_late, sum(clock_skewed) AS clock_skewed
           FROM ingest WHERE service = $service AND hour >= $start_ts AND hour < $end_ts GROUP BY kind""",
        asked,
    )
    counts = {
        (str(row["kind"]), name): float(row[name] or 0)
        for row in rows.iter_rows(named=True)
        for name in rows.columns
        if name != "kind"
    }
    orphans = facts.read(
        """SELECT count(*) AS n FROM pending_outcomes
           WHERE service = $service AND known_at >= $start_ts AND known_at < $end_ts""",
        asked,
    ).item()
    return counts | ({("outcomes", "orphans"): float(orphans)} if orphans else {})


def _features(reader: FactReader, pair: tuple[str, str], before: Window, after: Window) -> Iterator[Row]:
    parts = [
        {row["feature"]: row for row in reader.features(*pair, window, step=None).iter_rows(named=True)}
        for window in (before, after)
    ]
    for feature in sorted(parts[0] | parts[1]):
        both = [part.get(feature) for part in parts]
        made = [{} if row is None else _measures(row) for row in both]
        for measure in dict.fromkeys((*made[0], *made[1])):
            yield "features", feature, measure, made[0].get(measure), made[1].get(measure)
        levels = [None if row is None else _level(row) for row in both]
        known = conversion(levels[0], levels[1]) if levels[0] and levels[1] else None
        if known is not None:
            yield "features", feature, "unit_factor", 1.0, known.factor


def _measures(row: dict[str, object]) -> dict[str, float | None]:
    count = {name: int(str(row[name] or 0)) for name in ("rows", *(one for of in _SHARES.values() for one in of))}
    shares = {name: sum(count[one] for one in of) / max(count["rows"], 1) for name, of in _SHARES.items()}
    level = _level(row)
    held = {} if level is None else {"mean": level.mean, "spread": level.spread}
    return {"rows": float(count["rows"]), **shares, **held}


def _level(row: dict[str, object]) -> Level | None:
    finite = sum(
        sign * int(str(row[name] or 0))
        for name, sign in (("rows", 1), ("missing", -1), ("nan", -1), ("infinite", -1), ("mismatched", -1))
    )
    total, squares = (None if row[name] is None else float(str(row[name])) for name in ("sum", "sumsq"))
    return None if row["kind"] == "category" else Level.of(finite, total, squares)

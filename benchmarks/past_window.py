"""How long does any past week of 25 columns take, from rollups alone?

180 days of hours of 25 columns with 100 bins each are put into the rollups as the loader writes them; no facts are
there at all, so that nothing can be scanned. Asked is one week: its histograms against the reference, and all seven
distances of every column. It is the same at any traffic: an hour has as many bins whatever came in it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from watchkeeper.analyzers.drift_bins import features
from watchkeeper.analyzers.drift_distance import Distance
from watchkeeper.analyzers.evaluation import Scope, settings_for
from watchkeeper.analyzers.registry import discover
from watchkeeper.schemas.declared import Declarations, Reference
from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.reader import FactReader

QUESTION = "How long does a past week of 25 columns take, from rollups alone?"
DAYS, COLUMNS, BINS, LOOKS = 180, 25, 100, 15
START = datetime(2026, 1, 5)  # noqa: DTZ001 - stored times are naive UTC
WEEK = Window(datetime(2026, 4, 20, tzinfo=UTC), datetime(2026, 4, 27, tzinfo=UTC))
MOST_MS = 50
PAIR = ("bench", "model")


def fill(facts: FactStore) -> None:
    with facts.transaction() as connection:
        connection.execute(
            f"""INSERT INTO epochs SELECT n, 'bench', 'model', 'f' || n, 'numeric',
                  [i::DOUBLE FOR i IN range({BINS})], [], 0, {BINS - 1}, $start, NULL, NULL
                FROM range(1, {COLUMNS + 1}) t(n)""",
            {"start": START},
        )
        connection.execute(
            "INSERT INTO models VALUES ('bench', 'model', $start, $end)",
            {"start": START, "end": START + timedelta(days=DAYS)},
        )
        connection.execute(
            "INSERT INTO reference_profiles VALUES ('bench', 'model', $start, $end, 1, $end)",
            {"start": START, "end": START + timedelta(days=28)},
        )
        connection.execute(
            f"""INSERT INTO reference_bins SELECT e, b, 1000 + e * b
                FROM range(1, {COLUMNS + 1}) x(e), range({BINS + 1}) y(b)"""
        )
    for day in range(DAYS):
        with facts.transaction() as connection:
            connection.execute(
                f"""INSERT INTO histogram_hour SELECT $day::TIMESTAMP + to_hours(h), e, b, 5 + (e * b + h) % 17
                    FROM range(24) z(h), range(1, {COLUMNS + 1}) x(e), range({BINS + 1}) y(b)""",
                {"day": START + timedelta(days=day)},
            )
    facts.checkpoint()


def timed(reader: FactReader, reference: Reference | None) -> dict[str, float]:
    """Give the median of several looks, each of which asks anew."""
    distances = [one for one in discover().values() if isinstance(one, Distance)]
    declared = Declarations(references=(reference,) if reference else ())
    walls, cpus = [], []
    for _ in range(LOOKS):
        wall, cpu = time.perf_counter(), time.process_time()
        [info] = reader.models(WEEK.end)
        settings = settings_for(distances[0], declared, *PAIR)
        found = features(Scope(reader, declared, info, WEEK, WEEK.end, settings))
        for distance in distances:
            values = [distance.measure(feature) for feature in found.values()]
            assert len(values) == COLUMNS
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {
        "wall_ms": round(1000 * median(walls), 1),
        "cpu_ms": round(1000 * median(cpus), 1),
        "fastest_ms": round(1000 * min(walls), 1),
    }


def measure(_options: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        facts = FactStore(Path(folder) / "facts.duckdb")
        fill(facts)
        rows = facts.read("SELECT count(*) FROM histogram_hour").item()
        reader = FactReader(facts)
        found = {
            "first_days": timed(reader, None),
            "rolling_28_days": timed(reader, Reference(service="bench", type="rolling")),
            "seasonal_4_weeks": timed(reader, Reference(service="bench", type="seasonal")),
        }
        facts.close()
    return {"days": DAYS, "columns": COLUMNS, "bins": BINS, "rollup_rows": rows, "looks": LOOKS, **found}


def goals(figures: dict) -> dict[str, bool]:
    wall, cpu = (figures["first_days"][name] for name in ("wall_ms", "cpu_ms"))
    return {
        f"at most {MOST_MS} ms of CPU ({cpu})": cpu <= MOST_MS,
        f"at most {MOST_MS} ms by the clock ({wall}), which only a quiet machine can tell": wall <= MOST_MS,
    }

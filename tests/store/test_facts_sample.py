"""A sample of raw rows: bounded, the same every time, of reference and window side by side."""

from __future__ import annotations

from datetime import UTC

import polars as pl
import pytest
from store.facts_made import DAY, HOUR, START, Made, event, window

from watchkeeper.store.facts.references import make_due
from watchkeeper.store.facts.sample import CURRENT, PART, REFERENCE, sample


def rows_of(day: int, **features: object) -> list[dict[str, object]]:
    return [
        event(
            id=f"p{day}-{n}",
            ts=START + day * DAY + n * HOUR,
            prediction=bool(n % 2),
            score=n / 20,
            features={"x": float(n + 100 * day), "the plan": f"c{n % 4}"} | features,
        )
        for n in range(20)
    ]


@pytest.fixture(scope="module")
def made() -> Made:
    found = Made(now=START + 6 * DAY)
    for day in range(6):
        found.load(*rows_of(day), event(ts=START + day * DAY, model="other"), event(ts=START, service="bare"))
    make_due(found.facts, (START + 2 * DAY).replace(tzinfo=UTC), 2, 10)
    return found


def test_it_holds_both_windows_whole_where_they_are_small(made: Made) -> None:
    frame = sample(made.facts, "shop", "ranker", window(4 * DAY, 6 * DAY))
    assert frame.columns == [PART, "the plan", "x", "score", "prediction"]
    found = frame.group_by(PART).agg(pl.len(), pl.col("x").min().alias("low"), pl.col("x").max().alias("high"))
    assert sorted(found.rows()) == [(CURRENT, 40, 400.0, 519.0), (REFERENCE, 40, 0.0, 119.0)]


def test_it_is_bounded_and_the_same_every_time(made: Made) -> None:
    frames = [sample(made.facts, "shop", "ranker", window(2 * DAY, 6 * DAY), rows=15) for _ in range(2)]
    assert frames[0].equals(frames[1])
    assert frames[0][PART].value_counts(sort=True)["count"].to_list() == [15, 15]
    days = frames[0].filter(pl.col(PART) == CURRENT)["x"] // 100
    assert days.n_unique() > 1


def test_a_model_without_reference_or_features_has_what_there_is(made: Made) -> None:
    frame = sample(made.facts, "bare", "ranker", window(0 * DAY, 6 * DAY))
    assert frame.columns == [PART, "score", "prediction"]
    assert sample(made.facts, "nobody", "ranker", window(0 * DAY, DAY)).is_empty()

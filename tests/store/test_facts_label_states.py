"""Outcomes come late: the learned delay of each source, and the states of the same number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from store.facts_made import DAY, HOUR, START, Made, event, outcome

from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts import readings
from watchkeeper.store.facts.label_delays import curves, learned, table
from watchkeeper.store.facts.queries import Ask, answer

PAIR = ("shop", "ranker")
PER_DAY, DAYS = 40, 30
END = (START + DAYS * DAY).replace(tzinfo=UTC)


def delay_of(n: int) -> tuple[str, int]:
    """Half from the till after 1 day, half from the bank after 3 (every second) or 6."""
    if n % 2:
        return "till", 1
    return "bank", 3 if n % 4 else 6


@pytest.fixture(scope="module")
def made() -> Made:
    found = Made(now=START + (DAYS + 1) * DAY)
    rows, outcomes = [], []
    for day in range(DAYS):
        for n in range(PER_DAY):
            at = START + day * DAY + HOUR + n * timedelta(minutes=20)
            rows.append(event(id=f"{day}-{n}", ts=at, prediction=True, score=0.8))
            source, delay = delay_of(n)
            known_at = at + delay * DAY
            if known_at < START + DAYS * DAY and n != 39:  # of one no outcome ever comes
                value = n % 8 != 0 if day < 20 else n % 4 != 0
                outcomes.append(outcome(f"{day}-{n}", value, known_at, prediction_ts=at, source=source))
    found.load(*rows)
    found.outcomes(*outcomes)
    return found


def test_a_curve_is_learned_per_source_from_days_that_are_young_and_old(made: Made) -> None:
    found = curves(made.facts, *PAIR, END)
    assert found.keys() == {None, "bank", "till"}
    assert [round(share, 2) for share in found["till"].shares] == [0.0, 1.0]
    assert [round(share, 2) for share in found["bank"].shares] == [0, 0, 0, 0.5, 0.5, 0.5, 1]
    assert found["bank"].days_until(0.9) == 7
    assert found[None].known_after(2) == pytest.approx(19 / 39, abs=0.01)


def test_young_days_do_not_shorten_the_curve() -> None:
    rng = np.random.default_rng(1)
    counts = np.zeros((40, 10), dtype=np.int64)
    for age in range(1, 41):
        lags = rng.integers(0, 10, 3_000)
        counts[age - 1] = np.bincount(lags[lags < age], minlength=10)
    assert learned(counts) == pytest.approx([n / 10 for n in range(1, 11)], abs=0.01)


def test_a_curve_looks_at_nothing_that_became_known_later(made: Made) -> None:
    early = curves(made.facts, *PAIR, (START + 9 * DAY).replace(tzinfo=UTC))
    assert early[None].outcomes < 9 * PER_DAY
    before = Made(now=START + 9 * DAY)
    assert curves(before.facts, *PAIR, END) == {}
    assert table(before.facts, *PAIR, END).is_empty()


def estimates(made: Made, *ends: int) -> None:
    frame = pl.DataFrame(
        {
            "analyzer": ["quality.estimated"] * len(ends),
            "metric": ["estimated_accuracy"] * len(ends),
            "service": ["shop"] * len(ends),
            "model": ["ranker"] * len(ends),
            "subject": ["calibration"] * len(ends),
            "window_end": [START + end * DAY for end in ends],
            "as_of": [START + end * DAY for end in ends],
            "value": [0.86] * len(ends),
        }
    )
    readings.write(made.facts, frame)


def asked(made: Made, as_of: datetime = END) -> dict[int, dict[str, object]]:
    window = Window((START + 7 * DAY).replace(tzinfo=UTC), as_of)
    rows = answer(made.reader, "quality_states", Ask(window, *PAIR)).to_dicts()
    return {(row["window_end"] - START) // DAY: row for row in rows}


def test_the_same_week_goes_from_waiting_or_estimated_over_partial_to_final(made: Made) -> None:
    estimates(made, 14)
    course = [asked(made, (START + day * DAY).replace(tzinfo=UTC)).get(14) for day in (14, 15, 17, 19, 20)]
    assert [row["state"] for row in course if row] == ["partial", "partial", "partial", "partial", "final"]
    maturity = [row["maturity"] for row in course if row]
    assert maturity == sorted(maturity)
    assert maturity[-1] == 1.0
    assert {round(row["estimated"], 2) for row in course if row} == {0.14}, "the estimate stays beside what came true"
    final = course[-1]
    assert final is not None
    assert final["wrong_share"] == pytest.approx(5 / 39, abs=0.001)
    assert (final["known"], final["predictions"], final["immature"]) == (7 * 39, 7 * 40, False)
    assert final["final_at"] == START + 20 * DAY


def test_a_young_week_is_marked_immature_and_one_without_outcomes_is_estimated(made: Made) -> None:
    few = Made(now=END.replace(tzinfo=None))
    few.load(*(event(id=f"x{n}", ts=START + 8 * DAY + n * HOUR, prediction=True, score=0.5) for n in range(24)))
    [row] = [row for end, row in asked(few, (START + 9 * DAY).replace(tzinfo=UTC)).items() if end == 9]
    assert (row["state"], row["wrong_share"], row["maturity"], row["immature"]) == ("waiting", None, 0.0, True)
    estimates(few, 9)
    [row] = [row for end, row in asked(few, (START + 9 * DAY).replace(tzinfo=UTC)).items() if end == 9]
    assert (row["state"], round(row["wrong_share"], 2)) == ("estimated", 0.14)
    newest = asked(made)[DAYS]
    assert (newest["state"], newest["immature"]) == ("partial", True)


def test_the_delay_is_a_query(made: Made) -> None:
    rows = answer(made.reader, "label_delay", Ask(Window(END - 7 * DAY, END), *PAIR))
    assert rows.filter(source="till")["share"].round(2).to_list() == [0.0, 1.0]
    assert rows.filter(pl.col("source").is_null())["days"].max() == 7

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from analyzers.world import World, day, from_day, made

from watchkeeper.analyzers.quality import matured, ranking
from watchkeeper.analyzers.quality.core.gaps import LOOKS
from watchkeeper.analyzers.quality.matured import Errors, compare
from watchkeeper.schemas.findings import Severity

RANKING = ranking.ANALYZER


def ranked(*, shuffled: bool = False, days: int = 40, nothing: int = 0) -> World:
    """Ten items a ranking; the relevant one stands near the top, and from day 24 on anywhere if shuffled."""
    frame = made(days=days)
    rng = np.random.default_rng(2)
    late = shuffled & frame.select(from_day(24)).to_series().to_numpy()
    place = np.where(
        late & (rng.random(frame.height) < 0.4), rng.integers(0, 10, frame.height), rng.geometric(0.5, frame.height) - 1
    )
    place = np.minimum(place, 9)
    items = [f"i{number}" for number in range(10)]
    kinds = [lambda one: one, lambda one: json.dumps([one]), lambda one: json.dumps({one: 2, "else": 0})]
    values = [
        "[]" if nothing and number % nothing == 0 else kinds[number % 3](items[int(at)])
        for number, at in enumerate(place)
    ]
    frame = frame.drop("prediction", "score").with_columns(outcome=pl.Series(values))
    return World().load(frame, extra=[{"ranking": items} for _ in range(frame.height)]).with_reference()


def test_measures_are_those_of_their_definitions() -> None:
    items = ["a", "b", "c", "d"]
    found = ranking.scored(items, {"b": 3.0, "d": 1.0, "z": 2.0}, k=3)
    gained = 3 / math.log2(3)
    best = 3 + 2 / math.log2(3) + 1 / 2
    assert found.ndcg == pytest.approx(gained / best)
    assert (found.reciprocal, found.precision) == (0.5, pytest.approx(1 / 3))
    assert ranking.scored(items, {"a": 1.0}, k=10).ndcg == 1.0
    assert ranking.scored(items, {"z": 1.0}, k=10) == ranking.Scored(0.0, 0.0, 0.0)


def test_rankings_that_stay_are_read_and_not_told() -> None:
    world = ranked(nothing=4)
    for number in range(24, 41, 4):
        assert world.findings(RANKING, day(number)) == ()
    readings = {one.metric: one for one in world.evaluate(RANKING, day(36)).readings}
    assert set(readings) == {"ndcg_at_10", "mrr", "precision_at_10", "relevant_share"}
    assert readings["mrr"].value == pytest.approx(math.log(2), abs=0.03)  # of a geometric place
    assert readings["precision_at_10"].value == pytest.approx(0.1)
    assert readings["relevant_share"].value == pytest.approx(0.75, abs=0.01)
    assert readings["ndcg_at_10"].window.end == day(34)


def test_a_worse_order_is_a_ticket_with_rankings_that_show_it() -> None:
    world = ranked(shuffled=True)
    (finding,) = world.findings(RANKING, day(34))
    assert (finding.severity, finding.subjects, finding.metric) == (Severity.TICKET, ("ranking",), "ndcg_at_10")
    assert finding.reference is not None
    assert finding.observed < finding.reference - 0.05
    assert finding.summary.startswith("m1 of flights ranks worse: NDCG@10 is 0.")
    assert len(finding.examples) == 3


def test_a_ranking_is_neither_right_nor_wrong() -> None:
    """Other analyzers of quality do not take the relevant item for an answer that was missed."""
    assert ranked().evaluate(matured.ANALYZER, day(34)).readings == ()


def test_false_alerts_stay_within_the_budget() -> None:
    """3,000 months of ten separate weeks whose days have moods: at most the stated share is told."""
    rng = np.random.default_rng(12)
    told = 0
    for _ in range(3000):
        moods = np.clip(rng.normal(0.4, 0.02, 98), 0, 1)
        losses = np.clip(moods + rng.normal(0, 0.3 / math.sqrt(300), 98), 0, 1) * 300
        days = tuple((float(loss), 300) for loss in losses)
        weeks = [Errors(days[28 + 7 * at : 35 + 7 * at]) for at in range(10)]
        told += min(compare(week, Errors(days[:28])).p_value for week in weeks) * LOOKS < 0.01
    assert told <= 3000 * 0.01


def test_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "MOST_ROWS", 700)
    readings = ranked().evaluate(RANKING, day(34)).readings
    assert all((one.n or 500) < 900 for one in readings)

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from analyzers.world import World, day, from_day, made

from watchkeeper.analyzers.drift import reasons
from watchkeeper.analyzers.quality.core.gaps import LOOKS
from watchkeeper.analyzers.quality.matured import Errors
from watchkeeper.schemas.findings import Severity

REASONS = reasons.ANALYZER


def explained(moved: bool = False, days: int = 40) -> World:
    """Decisions with one or two of ten codes, and attributions to three inputs; from day 26 both may move."""
    frame = made(days=days)
    rng = np.random.default_rng(5)
    late = moved & frame.select(from_day(26)).to_series().to_numpy()
    main = np.where(late & (rng.random(frame.height) < 0.4), 9, rng.integers(0, 9, frame.height))
    other = rng.integers(0, 9, frame.height)
    codes = [[f"R{a}", f"R{b}"] for a, b in zip(main, other, strict=True)]
    weights = rng.dirichlet([6, 3, 1], frame.height) * rng.choice([-1, 1], (frame.height, 3))
    weights[late] = weights[late][:, [2, 1, 0]]
    names = ("age", "amount", "city")
    extra = [{"attributions": dict(zip(names, map(float, row), strict=True))} for row in weights]
    world = World().load(frame, fields=pl.DataFrame({"reason_codes": codes}), extra=extra)
    return world.with_reference()


def test_reasons_that_stay_are_read_and_not_told() -> None:
    world = explained()
    for number in range(21, 41, 4):
        assert world.findings(REASONS, day(number)) == ()
    readings = {(one.metric, one.subject): one for one in world.evaluate(REASONS, day(30)).readings}
    assert readings["reason_share", "reason:R3"].value == pytest.approx(2 / 9 - 1 / 81, abs=0.03)
    assert readings["attribution_share", "attribution:age"].value == pytest.approx(0.6, abs=0.02)
    assert readings["attribution_ndcg", "all inputs"].value == 1.0
    assert sum(value.value for (metric, _), value in readings.items() if metric == "attribution_share") == (
        pytest.approx(1.0)
    )


def test_other_reasons_are_a_notice_and_no_more() -> None:
    evaluation = explained(moved=True).evaluate(REASONS, day(36))
    told = {one.subject: one for one in evaluation.findings}
    assert {one.severity for one in told.values()} == {Severity.NOTICE}
    assert {"attribution:age", "attribution:city"} <= set(told)
    assert told["attribution:age"].summary.startswith("'age' makes up ")
    readings = {one.subject: one for one in evaluation.readings}
    assert readings["all inputs"].value < 0.9


def test_a_code_that_the_reference_never_gave_is_told() -> None:
    world = explained(moved=True)
    world_codes = {one.subject: one for one in world.evaluate(REASONS, day(36)).findings}
    assert world_codes["reason:R9"].reference == 0.0
    assert world_codes["reason:R9"].observed == pytest.approx(0.4, abs=0.03)


def test_false_notices_stay_within_the_budget() -> None:
    """500 months of ten separate weeks with twelve codes whose shares have moods: at most the stated share."""
    rng = np.random.default_rng(7)
    told = 0
    for _ in range(500):
        level = rng.uniform(0.02, 0.5, 12)
        rates = np.clip(level + rng.normal(0, 0.15, (98, 12)) * level, 0.001, 0.95)
        days = rng.binomial(400, rates)
        for code in range(12):
            usual = Errors(tuple((float(hits), 400) for hits in days[:28, code]))
            weeks = [
                Errors(tuple((float(hits), 400) for hits in days[28 + 7 * at : 35 + 7 * at, code])) for at in range(10)
            ]
            told += min(reasons.Part("reason", "R", week, usual).p_value for week in weeks) * 12 * LOOKS < 0.01
    assert told <= 500 * 0.01 * 1.5


def test_without_reasons_nothing_is_judged() -> None:
    evaluation = World().load(made(days=40)).with_reference().evaluate(REASONS, day(30))
    assert (evaluation.readings, evaluation.judged) == ((), frozenset())


def test_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasons, "MOST_ROWS", 700)
    readings = explained().evaluate(REASONS, day(30)).readings
    assert all(400 < (one.n or 0) < 1000 for one in readings)

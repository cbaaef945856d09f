"""Estimated performance: NannyML's formulas row by row as the oracle, closed forms, and when it says that it broke."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from analyzers.world import World, day, from_day, made

from watchkeeper.analyzers.evaluation import Evaluation
from watchkeeper.analyzers.quality import estimated
from watchkeeper.analyzers.quality.core.confidence import Calibration, auc, calibrate, expected_right
from watchkeeper.analyzers.quality.estimated import Gap, broken
from watchkeeper.schemas.findings import Severity

ESTIMATED = estimated.ANALYZER


def binned(score: np.ndarray) -> np.ndarray:
    """Bin as the facts do."""
    return np.round(20 * np.log(np.maximum(score, 1e-6) / np.maximum(1 - score, 1e-6)))


def learned(score: np.ndarray, y: np.ndarray, threshold: float = 0.5) -> Calibration:
    keys, place = np.unique(np.column_stack([score >= threshold, binned(score)]), axis=0, return_inverse=True)
    return Calibration.learn(keys[:, 1], keys[:, 0], np.bincount(place).astype(float), np.bincount(place, y))


def by_rows(score: np.ndarray, y: np.ndarray, now: np.ndarray) -> tuple[float, float]:
    """Work as NannyML documents it: isotonic over rows, the mean of 1 - |answer - p|, a ROC curve over thresholds."""
    values, place = np.unique(score, return_inverse=True)
    curve = calibrate(values, np.bincount(place).astype(float), np.bincount(place, y))
    p = curve.chance(now)
    accuracy = 1 - np.abs((now >= 0.5) - p).mean()
    falling = p[np.argsort(-now)]
    true = np.concatenate([[0], np.cumsum(falling)]) / falling.sum()
    false = np.concatenate([[0], np.cumsum(1 - falling)]) / (1 - falling).sum()
    return float(accuracy), float(np.trapezoid(true, false))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("power", [1.0, 0.5, 2.0], ids=["calibrated", "too low", "too high"])
def test_it_is_within_what_was_promised_of_nannymls_formulas(seed: int, power: float) -> None:
    rng = np.random.default_rng([seed, int(10 * power)])
    before, now = rng.beta(1, 2, 30_000), rng.beta(1.5, 1.8, 20_000)
    y, later = rng.random(30_000) < before, rng.random(20_000) < now
    given, score = before ** (1 / power), now ** (1 / power)
    found = learned(given, y.astype(float))
    said = (score >= 0.5).astype(float)
    chance = found.chance(binned(score), said)
    accuracy, area = by_rows(given, y.astype(float), score)
    assert expected_right(chance, said).mean() == pytest.approx(accuracy, abs=0.002)
    estimate = auc(binned(score), chance, 1 - chance)
    assert estimate == pytest.approx(area, abs=0.005)
    assert accuracy == pytest.approx((said == later).mean(), abs=0.015)
    assert estimate == pytest.approx(auc(score, later.astype(float), 1.0 - later), abs=0.015)


def test_even_scores_have_a_closed_form() -> None:
    """Of chances spread evenly over [0, 1] three in four answers are right, and the AUC is five sixths."""
    p = (np.arange(20_000) + 0.5) / 20_000
    assert expected_right(p, (p >= 0.5).astype(float)).mean() == pytest.approx(0.75, abs=1e-9)
    assert auc(p, p, 1 - p) == pytest.approx(5 / 6, abs=1e-8)
    assert auc(binned(p), p, 1 - p) == pytest.approx(5 / 6, abs=1e-3)


def test_answers_that_are_no_threshold_are_calibrated_apart() -> None:
    bins, said = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])
    found = Calibration.learn(bins, said, np.full(4, 100.0), np.array([10.0, 80.0, 20.0, 90.0]))
    assert found.chance(bins, said).tolist() == [0.1, 0.8, 0.2, 0.9]


def test_the_auc_counts_pairs_and_ties_half() -> None:
    rng = np.random.default_rng(2)
    score, y = rng.integers(0, 9, 80).astype(float), rng.integers(0, 2, 80)
    pairs = score[y == 1][:, None] - score[y == 0][None, :]
    assert auc(score, y.astype(float), 1.0 - y) == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean())
    assert auc(score, np.ones(80), np.zeros(80)) is None


def test_calibration_rises_and_keeps_the_mean() -> None:
    rng = np.random.default_rng(3)
    n, bins = rng.integers(1, 50, 60).astype(float), np.arange(60.0)
    positive = rng.binomial(n.astype(int), 0.3).astype(float)
    found = calibrate(bins, n, positive)
    assert (np.diff(found.chances) >= 0).all()
    assert (n * found.chances).sum() == pytest.approx(positive.sum())


def test_estimates_that_hold_are_hardly_ever_told_as_broken() -> None:
    """2,000 windows whose days differ more than their rows: at most 3 below 1e-4."""
    rng = np.random.default_rng(4)
    low = 0
    for _ in range(2000):
        right = rng.binomial(400, np.clip(rng.normal(0.8, 0.04, 35), 0, 1))
        days = tuple((320.0, float(one), 64.0, 400) for one in right)
        low += broken(Gap(days[28:]), Gap(days[:28]))[0] < 1e-4
    assert low <= 3


def world(shift: float = 0.0, turned: float = 0.0) -> World:
    """Give scores that are chances; from day 20 on they move, or what they mean does."""
    rng = np.random.default_rng(6)
    frame = made(days=45)
    late = frame.select(from_day(20)).to_series().to_numpy()
    odds = rng.normal(-1.5, 1.5, frame.height) + shift * late
    chance = 1 / (1 + np.exp(-odds))
    y = rng.random(frame.height) < np.where(late & (rng.random(frame.height) < turned), 1 - chance, chance)
    columns = {"score": chance, "prediction": (chance >= 0.5).astype(int), "outcome": y.astype(int)}
    return World().load(frame.with_columns(**{name: pl.Series(values) for name, values in columns.items()}))


def read(evaluation: Evaluation) -> dict[str, float]:
    return {reading.metric: reading.value for reading in evaluation.readings}


def test_a_harder_mix_is_estimated_before_outcomes_and_comes_true() -> None:
    evaluation = world(shift=1.0).with_reference().evaluate(ESTIMATED, day(30))
    readings = {reading.metric: reading for reading in evaluation.readings}
    early = readings["estimated_accuracy"]
    assert early.window.end == day(30)
    assert early.value < early.reference - 0.01
    assert readings["realized_accuracy"].window.end == day(28)
    assert readings["realized_accuracy"].value == pytest.approx(readings["realized_accuracy"].reference, abs=0.03)
    assert abs(readings["accuracy_gap"].value) < 0.03
    assert 0.7 < readings["estimated_auc"].value < 0.95
    assert evaluation.findings == ()
    assert evaluation.judged == {("flights", "m1")}


def test_it_says_that_its_estimates_are_not_to_be_trusted() -> None:
    """The estimate knows nothing of it; what arrives later does."""
    changed = world(turned=0.3).with_reference().evaluate(ESTIMATED, day(30))
    calm = world().with_reference().evaluate(ESTIMATED, day(30))
    assert read(changed)["estimated_accuracy"] == pytest.approx(read(calm)["estimated_accuracy"], abs=0.01)
    assert calm.findings == ()
    (finding,) = changed.findings
    assert (finding.severity, finding.subject, finding.metric) == (Severity.NOTICE, "calibration", "accuracy_gap")
    assert finding.observed == pytest.approx(read(changed)["accuracy_gap"])
    assert finding.observed < -0.08
    assert finding.summary.startswith("Calibration of m1 of flights has broken: ")
    assert finding.summary.endswith("Do not trust its estimates.")


def test_while_nothing_changes_nothing_is_told() -> None:
    calm = world().with_reference()
    assert not any(calm.findings(ESTIMATED, day(number)) for number in range(24, 44, 2))


def test_what_has_no_score_is_not_estimated() -> None:
    evaluation = World().load(made(days=40).drop("score")).with_reference().evaluate(ESTIMATED, day(30))
    assert evaluation == Evaluation()

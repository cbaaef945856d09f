"""Optional columns of a backtest's file: a fault is planted for each, and told by whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from analyzers.world import World, day, from_day, made

from watchkeeper.analyzers.backtest import backtest
from watchkeeper.analyzers.backtest_rows import ROW, predictions, read
from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.findings import Window

DAYS, SINCE = 44, 26


def plain() -> tuple[pl.DataFrame, np.ndarray, np.random.Generator]:
    """Traffic that does not change, with text where no feature is needed; from when on something is wrong."""
    frame = made(days=DAYS, rows=200).select("ts", "prediction", "outcome", "outcome_ts")
    return frame, frame.select(from_day(SINCE)).to_series().to_numpy(), np.random.default_rng(3)


def checked(*, faulty: bool) -> pl.DataFrame:
    """A check that sees four of five wrong answers; from a day on it is turned round in two of five."""
    frame, late, rng = plain()
    wrong = (frame["prediction"] != frame["outcome"]).to_numpy()
    called = np.where(rng.random(frame.height) < 0.8, wrong, ~wrong)
    called = np.where(late & faulty & (rng.random(frame.height) < 0.4), ~called, called)
    return frame.with_columns(checks=pl.Series([[{"name": "grounded", "passed": not one}] for one in called.tolist()]))


def reviewed(*, faulty: bool) -> pl.DataFrame:
    """People who are nearly always right; from a day on every third says yes to everything."""
    frame, late, rng = plain()
    right = (frame["prediction"] == frame["outcome"]).to_numpy() | (rng.random(frame.height) < 0.02)
    right |= late & faulty
    words = np.where(right, "approved", "rejected")
    return frame.with_columns(review=pl.Series(words), review_ts=pl.col("ts") + pl.duration(hours=1))


def grouped(*, faulty: bool) -> pl.DataFrame:
    """Two groups of people; from a day on most of those of one who got a yes get a no."""
    frame, late, rng = plain()
    group = rng.choice(["f", "m"], frame.height)
    kept = np.where(late & faulty & (group == "f"), rng.random(frame.height) < 0.2, True)
    return frame.with_columns(
        protected_group=pl.Series(group), prediction=pl.col("prediction") * pl.Series(kept).cast(pl.Int64)
    ).drop("outcome", "outcome_ts")


def ranked(*, faulty: bool) -> pl.DataFrame:
    """What is relevant stands near the top of ten; from a day on two of five anywhere."""
    frame, late, rng = plain()
    anywhere = late & faulty & (rng.random(frame.height) < 0.4)
    place = np.where(anywhere, rng.integers(0, 10, frame.height), np.minimum(rng.geometric(0.5, frame.height) - 1, 9))
    items = [f"i{number}" for number in range(10)]
    relevant = pl.Series([[items[at]] for at in place.tolist()])
    return frame.drop("prediction").with_columns(outcome=relevant, ranking=pl.Series([items] * frame.height))


CASES: dict[str, tuple[Callable[..., pl.DataFrame], str, str]] = {
    "checks": (checked, "disagreement", "check:grounded"),
    "reviews": (reviewed, "disagreement", "reviews"),
    "groups": (grouped, "selection_gap", "segment:protected_group=m"),
    "rankings": (ranked, "ndcg_at_10", "ranking"),
}


def told(frame: pl.DataFrame, folder: Path) -> list[tuple[str, str, int]]:
    frame.write_parquet(folder / "stream.parquet")
    found = backtest(folder / "stream.parquet", 14)["findings"]
    return [(one["metric"], one["subjects"][0], one["day"]) for one in found if one["severity"] != "notice"]  # type: ignore[union-attr,index]


@pytest.mark.parametrize("name", CASES)
def test_a_planted_fault_is_told_and_its_absence_is_not(name: str, tmp_path: Path) -> None:
    make, metric, subject = CASES[name]
    days = [day for one, about, day in told(make(faulty=True), tmp_path) if (one, about) == (metric, subject)]
    assert days
    assert SINCE <= min(days) <= SINCE + 9
    assert metric not in {one for one, *_ in told(make(faulty=False), tmp_path)}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("checks", ["grounded"], r"column checks of .* must hold lists of structs with name and passed, not List"),
        ("ranking", "a", r"column ranking of .* must hold lists of items, the best first, not String"),
        ("review", 1, r"column review of .* holds '1', not one of approved, "),
        ("review", "fine", r"column review of .* holds 'fine', not one of approved, "),
    ],
)
def test_a_column_of_another_form_is_refused(column: str, value: object, words: str, tmp_path: Path) -> None:
    frame = made(days=2, rows=5)
    with pytest.raises(InputError, match=words):
        told(frame.with_columns(pl.Series(column, [value] * frame.height)), tmp_path)


def test_a_weight_is_no_feature_and_weighs_what_requests_cost(tmp_path: Path) -> None:
    """Dear requests are all kept, and one in ten of the cheap ones: a request costs what it cost, not what rows say."""
    rng = np.random.default_rng(4)
    frame = made(days=30, rows=400).select("ts")
    dear = rng.random(frame.height) < 0.1
    whole = frame.with_columns(cost=pl.Series(np.where(dear, 1.0, 0.1)))
    kept = pl.Series(dear | (rng.random(frame.height) < 0.1))
    sample = whole.with_columns(sample_weight=pl.Series(np.where(dear, 1.0, 10.0))).filter(kept)
    batch = predictions(sample.with_columns(pl.int_range(pl.len()).cast(pl.String).alias(ROW)), "shop")
    assert not batch.models[0].features.columns
    costs = []
    for rows in (whole, sample):
        world = World().load(rows)
        found = world.reader.traffic(Window(day(0), day(30)), weighted=True)
        costs.append(found["cost"].sum() / found["requests"].sum())
    assert costs[1] == pytest.approx(costs[0], rel=0.06)
    assert costs[0] == pytest.approx(0.19, rel=0.05)
    sample.with_columns(sample_weight=pl.lit(0)).write_parquet(tmp_path / "none.parquet")
    with pytest.raises(InputError, match=r"column sample_weight of .* not above 0"):
        read(tmp_path / "none.parquet")

"""What is estimated of sampled traffic agrees with the whole, and is as sure of itself as it may be."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from analyzers.world import DAY, START, World, day

from watchkeeper.analyzers.evaluation import Scope, settings_for
from watchkeeper.analyzers.intervals import Count, Sample, wilson
from watchkeeper.analyzers.slo import burn_rate, fallback, slow_burn
from watchkeeper.analyzers.slo.core.policy import sure
from watchkeeper.analyzers.slo_sampled import count, days
from watchkeeper.analyzers.slo_state import State, state_of
from watchkeeper.analyzers.spending import spending
from watchkeeper.schemas.declared import Declarations, Objective
from watchkeeper.schemas.findings import Window
from watchkeeper.schemas.objectives import Fallback, Sli

DAYS, A_DAY = 4, 3000
END = START + DAYS * DAY
WEEK = Window(START, END)
SLIS = {
    "errors": Sli(measure="errors"),
    "slow": Sli(measure="latency", max_ms=300.0),
    "late": Sli(measure="late"),
    "deferred": Sli(measure="automation"),
}


def declared(**sli: object) -> Declarations:
    objectives = tuple(
        Objective(name=name, service="flights", sli=one, target=0.97, days=28) for name, one in SLIS.items()
    )
    return Declarations(objectives=objectives)


def whole(seed: int = 5, failing: float = 0.02) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    n = DAYS * A_DAY
    naive = START.replace(tzinfo=None)
    ts = [naive + timedelta(seconds=float(second)) for second in np.arange(n) * (86_400 / A_DAY)]
    used = rng.random(n) < 0.5
    return pl.DataFrame(
        {
            "ts": ts,
            "ok": (rng.random(n) >= failing).astype(int),
            "latency_ms": rng.lognormal(5, 0.4, n),
            "cost": rng.gamma(20, 0.0005, n),
            "tokens_in": rng.poisson(800, n),
        }
    ).with_columns(
        needed_by=pl.col("ts") + timedelta(seconds=60),
        used_at=pl.when(pl.Series(used)).then(pl.col("ts") + pl.Series(rng.integers(0, 66, n)) * timedelta(seconds=1)),
        confidence=pl.Series(rng.random(n)),
        confidence_threshold=pl.lit(0.04),
        sample_weight=pl.lit(None, pl.Float64),
    )


def sampled(frame: pl.DataFrame, rate: float, *, keep_errors: bool, seed: int = 9) -> pl.DataFrame:
    kept = pl.Series(np.random.default_rng(seed).random(frame.height) < rate)
    error = (pl.col("ok") == 0) if keep_errors else pl.lit(False)
    return frame.with_columns(
        sample_weight=pl.when(error).then(1.0).otherwise(1 / rate), _kept=kept | frame.select(error.alias("e"))["e"]
    ).filter("_kept").drop("_kept")  # fmt: skip


FIELDS = ("needed_by", "used_at", "confidence", "confidence_threshold", "sample_weight")


def world(frame: pl.DataFrame) -> World:
    return World(now=END).load(frame.drop(FIELDS), fields=frame.select(FIELDS))


def states(made: World) -> dict[str, State]:
    given = declared()
    return {one.name: state_of(made.reader, given, one, END) for one in given.objectives}


@pytest.mark.parametrize(("rate", "keep_errors"), [(0.1, True), (0.1, False), (0.3, True)])
def test_objectives_of_a_sample_agree_with_the_whole(rate: float, keep_errors: bool) -> None:
    truth, found = (states(world(f)) for f in (whole(), sampled(whole(), rate, keep_errors=keep_errors)))
    for name, state in found.items():
        estimate, exact = state.whole, truth[name].whole
        assert exact.sample is None
        assert estimate.rows == pytest.approx(exact.rows, rel=0.1)
        assert estimate.came < 0.4 * exact.rows
        lower, upper = estimate.interval
        assert lower < exact.share < upper, name
        assert 0 < estimate.worth <= estimate.rows
    errors = found["errors"].whole
    if keep_errors:  # all failures came: the share is known nearly as well as from the whole
        assert errors.share == pytest.approx(truth["errors"].whole.share, rel=0.08)
        assert errors.affected == truth["errors"].whole.affected == errors.affected_came
        assert errors.worth > 0.7 * truth["errors"].whole.rows
        raw = errors.affected_came / errors.came
        assert raw > 2 * truth["errors"].whole.share, "what the rows alone would say"


def test_minutes_hours_and_windows_are_counted_alike() -> None:
    state = states(world(sampled(whole(), 0.1, keep_errors=True)))["errors"]
    fine, coarse = state.bad.between(END - timedelta(hours=6)), state.bad.coarse.between(END - timedelta(hours=6))
    assert (fine.affected, fine.rows, fine.came) == (coarse.affected, coarse.rows, coarse.came)
    assert state.allowed == pytest.approx(0.03 * state.whole.rows)
    assert state.per_hour == pytest.approx(DAYS * A_DAY / (7 * 24), rel=0.1)
    assert state.seen_per_hour < 0.2 * state.per_hour, "a page says the first; what may be told goes by the second"


def test_a_service_of_which_few_rows_come_is_not_told_as_silent() -> None:
    """One in a thousand of 125 an hour: no hour surely has a row, and an hour without one says nothing."""
    one = Objective(name="p", service="flights", sli=Sli(measure="errors"), target=0.99, days=28, no_data=True)
    quiet = sampled(whole(failing=0.0), 0.001, keep_errors=False).filter(
        pl.col("ts") < END.replace(tzinfo=None) - timedelta(hours=2)
    )
    made = world(quiet)
    assert World.findings(made, burn_rate.ANALYZER, END, Declarations(objectives=(one,))) == ()
    gone = whole(failing=0.0).filter(pl.col("ts") < END.replace(tzinfo=None) - timedelta(hours=2))
    [told] = World.findings(world(gone), burn_rate.ANALYZER, END, Declarations(objectives=(one,)))
    assert told.metric == "no_data p"


def test_money_and_tokens_are_those_of_all_requests() -> None:
    given = declared()
    spent = []
    for frame in (whole(), sampled(whole(), 0.1, keep_errors=True)):
        made = world(frame)
        [info] = made.reader.models(END)
        settings = settings_for(burn_rate.ANALYZER, given, info.service, info.model)
        spent.append(spending(Scope(made.reader, given, info, settings, WEEK, END), WEEK))
    truth, found = spent
    assert found.amount == pytest.approx(truth.amount, rel=0.1)
    assert found.requests == pytest.approx(truth.requests, rel=0.1)
    assert found.tokens_in == pytest.approx(truth.tokens_in, rel=0.1)
    assert found.per_request == pytest.approx(truth.per_request, rel=0.03)
    assert found.errors == truth.errors
    assert (truth.rows, found.rows < 0.2 * truth.rows) == (truth.requests, True)


def test_one_row_that_stands_for_many_pages_nobody() -> None:
    """Ten failures of a hundred would: one row that stands for ten is one event by chance."""
    assert sure(0.03, Count(10, 100))
    assert not sure(0.03, count(10.0, 100.0, (1, 10, 100.0, 900.0)))
    assert sure(0.03, count(100.0, 1000.0, (10, 100, 1000.0, 9000.0)))


def test_a_fallback_is_judged_by_what_its_rows_stand_for() -> None:
    """All failures of a fallback are kept, and one in fifty of the rest: it is healthy, though half its rows failed."""
    one = Objective(
        name="promise", service="web", sli=Sli(measure="errors"), target=0.95, days=28,
        fallback=Fallback(name="rules", service="flights"),
    )  # fmt: skip
    made = world(sampled(whole(failing=0.02), 0.02, keep_errors=True))
    found = fallback.failures(made.reader, one.fallback, Window(END - DAY, END))
    assert found.came < 150 < 2000 < found.rows
    assert fallback.health(made.reader, one, END) == "ok"
    assert fallback.health(world(sampled(whole(failing=0.2), 0.02, keep_errors=True)).reader, one, END) == "failing"
    assert fallback.failures(World().reader, one.fallback, WEEK) == Count(0, 0)


def test_weight_one_changes_no_number() -> None:
    frame = whole()
    ones = states(world(frame.with_columns(sample_weight=pl.lit(1.0))))
    for name, state in states(world(frame)).items():
        for hours in (1, 6, 24, 96):
            assert ones[name].over(timedelta(hours=hours)) == state.over(timedelta(hours=hours))
        assert state.whole.sample is None
        assert state.whole.interval == wilson(state.whole.affected, state.whole.rows)


def test_a_silent_window_and_nothing_bad_are_no_trouble() -> None:
    assert count(0.0, 0.0, (0, 0, 0.0, 0.0)) == Count(0, 0)
    quiet = count(0.0, 1000.0, (0, 100, 0.0, 10_000.0))
    assert quiet == Count(0, 1000, Sample(0, 100, 100.0))
    assert quiet.interval[1] == pytest.approx(wilson(0, 100)[1])
    assert math.isclose(count(1000.0, 1000.0, (100, 100, 10_000.0, 0.0)).interval[0], wilson(100, 100)[0])


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Two hundred samples of one traffic: about 95 in 100 intervals hold the true share, kept errors or not."""
    rng = np.random.default_rng(3)
    for keep in (True, False):
        held = 0
        for _ in range(200):
            bad = rng.binomial(2000, 0.05)
            came = int(bad) if keep else int(rng.binomial(bad, 0.2))
            good = int(rng.binomial(2000 - bad, 0.2))
            weight = 1.0 if keep else 5.0
            parts = (came, came + good, came * weight**2, good * 25.0)
            lower, upper = count(came * weight, came * weight + good * 5.0, parts).interval
            held += lower <= bad / 2000 <= upper
        assert held >= 184, (keep, held)


def test_burn_alerts_of_a_sample_tell_of_rows_and_of_requests() -> None:
    hours = pl.col("ts") >= day(DAYS).replace(tzinfo=None) - timedelta(hours=3)
    frame = whole(failing=0.01)
    broken = pl.Series(np.random.default_rng(1).random(frame.height) < 0.7)
    frame = frame.with_columns(ok=pl.when(hours & broken).then(0).otherwise("ok"))
    given = Declarations(objectives=(declared().objectives[0],))
    for rows in (frame, sampled(frame, 0.2, keep_errors=True)):
        [finding] = World.findings(world(rows), burn_rate.ANALYZER, END, given)
        assert finding.metric == "burn_rate errors"
        bad, total = finding.evidence.snapshot["long"]
        assert bad / total == pytest.approx(0.7, abs=0.1)
        assert total == pytest.approx(125, abs=45)
        assert finding.evidence.n <= total


def test_the_design_of_a_day_is_what_its_weights_add_to_its_spread() -> None:
    first = day(0).replace(tzinfo=None)
    frame = pl.DataFrame(
        {
            "bucket": [first + DAY, first, first + 2 * DAY],
            "bad": [100.0, 20.0, 0.0],
            "total": [1000.0, 1000.0, 0.0],
            "rows": [100.0, 1000.0, 0.0],
            "bad_rows": [10.0, 20.0, 0.0],
            "bad_spread": [1000.0, 20.0, 0.0],
            "good_spread": [9000.0, 980.0, 0.0],
        }
    )
    found = days(frame)
    assert found["bucket"].to_list() == [first, first + DAY, first + 2 * DAY]
    assert found["design"].to_list() == pytest.approx([1.0, 10.0, 10.0])
    assert days(frame.drop("rows", "bad_rows", "bad_spread", "good_spread"))["design"].to_list() == [1.0] * 3


def test_slow_burn_reads_sampled_days_from_the_facts() -> None:
    made = world(sampled(whole(), 0.1, keep_errors=True))
    given = declared()
    counts = slow_burn._days(made.reader, given, given.objectives[0], END)
    assert len(counts) == DAYS - 1
    for one in counts:
        assert one.total == pytest.approx(A_DAY, rel=0.2)
        assert one.design == pytest.approx(0.98 + 0.02 * 10, abs=0.1)
    unsampled = slow_burn._days(world(whole()).reader, given, given.objectives[0], END)
    assert {one.design for one in unsampled} == {1.0}


@pytest.mark.parametrize("step", ["1h", "30m"])
def test_slices_of_a_sample_are_judged_by_what_its_rows_stand_for(step: str) -> None:
    """A slice is good at 95 %: a sixth of the rows of each failed, two in a hundred of the requests."""
    one = Objective(
        name="slices", service="flights", sli=Sli(measure="errors"), target=0.9, days=28,
        method="Timeslices", slice_window=step, slice_target=0.95,
    )  # fmt: skip
    given = Declarations(objectives=(one,))
    truth, found = (
        state_of(world(rows).reader, given, one, END).whole
        for rows in (whole(), sampled(whole(), 0.1, keep_errors=True))
    )
    assert found.rows >= 0.95 * truth.rows > 80, "a slice without a row is none"
    assert found.share < truth.share + 0.15 < 0.3, "by rows alone nearly all would be bad"
    assert found.sample is None

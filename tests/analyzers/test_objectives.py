"""Every measure, window and method of objectives, over a real fact store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from analyzers.world import START, World, day
from benchmarks import false_pages

from watchkeeper.analyzers.slo import budget, burn_rate, fallback, slow_burn
from watchkeeper.analyzers.slo.core.periods import period
from watchkeeper.analyzers.slo.core.policy import DAY, HOUR, detectable, policy, seeing
from watchkeeper.analyzers.slo_own import OWN, with_own
from watchkeeper.analyzers.slo_state import State, restated, state_of
from watchkeeper.app.rooms import reading_frame
from watchkeeper.schemas.declared import Declarations, ValueModel
from watchkeeper.schemas.findings import DataState, Severity
from watchkeeper.schemas.matchers import Matcher
from watchkeeper.schemas.objectives import BudgetStep, BurnRule, Calendar, Fallback, Objective, Planned, Sli
from watchkeeper.store.facts import readings

MINUTE = timedelta(minutes=1)


def objective(measure: str = "errors", target: float = 0.99, days: float = 28, **more: object) -> Objective:
    bound = {key: more.pop(key) for key in ("max_ms", "max", "model") if key in more}
    return Objective(
        name="promise", service="flights", sli=Sli(measure=measure, **bound), target=target, days=days, **more
    )


def loaded(
    days: int = 30, per_hour: int = 60, service: str = "flights", world: World | None = None, **columns: object
) -> World:
    """Give requests at even distances; a column is a function of their times in hours since the start."""
    n = days * 24 * per_hour
    hours = np.arange(n) / per_hour
    frame = pl.DataFrame({"ts": [START.replace(tzinfo=None) + timedelta(hours=float(hour)) for hour in hours]})
    made = {"ok": lambda h: np.ones_like(h, dtype=int)} | columns
    frame = frame.with_columns(pl.Series(name, make(hours)) for name, make in made.items())
    return (world or World(now=day(days))).load(frame, service=service)


def state(world: World, one: Objective, at: datetime, **declared: object) -> State:
    return state_of(world.reader, Declarations(objectives=(one,), **declared), one, at)


def bad_in(start: float, end: float):
    return lambda h: (~((h >= start) & (h < end))).astype(int)


def test_slices_of_an_hour_count_hours_that_miss_their_target() -> None:
    world = loaded(ok=bad_in(100, 102.2))
    sliced = objective(method="Timeslices", slice_target=0.95, slice_window="1h")
    count = state(world, sliced, day(30)).whole
    assert (count.affected, count.rows) == (3, 28 * 24)
    ratio = objective(method="RatioTimeslices", slice_window="1h")
    assert state(world, ratio, day(30)).whole.affected == pytest.approx(2 + 12 / 60)


def test_short_slices_are_kept_before_their_minutes_go() -> None:
    one = objective(method="Timeslices", slice_target=0.5, slice_window="5m")
    world = loaded(days=4, world=World(now=day(2)), ok=bad_in(10, 10.5))
    for hour in (36, 48, 60, 72, 84, 96):
        at = day(0) + hour * HOUR
        evaluation = burn_rate.ANALYZER.evaluate(
            world.reader, Declarations(objectives=(one,)), burn_rate.Window(at - 3 * DAY, at), at
        )
        kept = [reading for reading in evaluation.readings if reading.metric == "slo_slices"]
        readings.write(world.facts, reading_frame(kept))
    whole = state(world, one, day(4)).whole
    assert whole.rows >= 80 * 12
    assert whole.affected == 6


def test_a_calendar_month_begins_at_local_midnight_and_knows_its_whole_budget() -> None:
    world = loaded(days=40, ok=bad_in(0, 48))
    month = Calendar(unit="M", count=1, start="2026-01-01 00:00:00", zone="Europe/Berlin")
    at = day(30)  # 4 February
    made = state(world, objective(calendar=month, days=30.4), at)
    assert made.window.start == datetime(2026, 1, 31, 23, tzinfo=UTC)
    assert made.whole.affected == 0
    sliced = objective(calendar=month, days=30.4, method="Timeslices", slice_target=0.9, slice_window="1h")
    assert state(world, sliced, at).allowed == pytest.approx(0.01 * 28 * 24)


@pytest.mark.parametrize(
    ("unit", "at", "start", "hours"),
    [
        ("D", datetime(2026, 3, 29, 12, tzinfo=UTC), datetime(2026, 3, 28, 23, tzinfo=UTC), 23),
        ("D", datetime(2026, 10, 25, 12, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC), 25),
        ("W", datetime(2026, 3, 29, 12, tzinfo=UTC), datetime(2026, 3, 25, 23, tzinfo=UTC), 167),
        ("M", datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 9, 30, 22, tzinfo=UTC), 31 * 24 + 1),
        ("Q", datetime(2026, 2, 14, tzinfo=UTC), datetime(2025, 12, 31, 23, tzinfo=UTC), 90 * 24 - 1),
        ("Y", datetime(2028, 2, 14, tzinfo=UTC), datetime(2027, 12, 31, 23, tzinfo=UTC), 366 * 24),
    ],
)
def test_calendar_periods_are_right_across_summer_time(unit: str, at: datetime, start: datetime, hours: int) -> None:
    found = period(Calendar(unit=unit, count=1, start="2026-01-01 00:00:00", zone="Europe/Berlin"), at)
    assert (found.start, found.length) == (start, hours * HOUR)
    assert (
        period(Calendar(unit=unit, count=1, start="2026-01-01 00:00:00", zone="Europe/Berlin"), found.end).start
        == found.end
    )


def test_periods_follow_each_other_without_a_gap_in_a_zone_that_changes_at_midnight() -> None:
    daily = Calendar(unit="D", count=1, start="2026-01-01 00:00:00", zone="America/Asuncion")
    at = datetime(2024, 1, 1, 12, tzinfo=UTC)
    for _ in range(400):
        found = period(daily, at)
        assert found.start <= at < found.end
        at = found.end


def test_planned_work_is_left_out_of_the_budget_with_its_author_and_reason() -> None:
    world = loaded(ok=bad_in(600, 603))
    work = Planned(
        id="w",
        start=day(25),
        end=day(25) + timedelta(hours=2, minutes=30),
        author="ada",
        reason="new disks",
        matchers=(Matcher("service", "flights"),),
    )
    one = objective()
    assert state(world, one, day(30)).whole.affected == 180
    corrected = state(world, one, day(30), planned=(work,))
    assert corrected.whole.affected == 0
    assert corrected.whole.rows == 28 * 24 * 60 - 180
    assert [(one.author, one.reason) for one in corrected.planned] == [("ada", "new disks")]
    elsewhere = Planned(
        id="x", start=day(25), end=day(26), author="a", reason="r", matchers=(Matcher("service", "other"),)
    )
    assert state(world, one, day(30), planned=(elsewhere,)).whole.affected == 180


def test_budget_steps_are_told_as_the_budget_goes() -> None:
    steps = [BudgetStep(at=0.5, do="notify"), BudgetStep(at=0.8, do="ticket"), BudgetStep(at=1.0, do="close_gate")]
    one = objective(budget_policy=steps)
    declared = Declarations(objectives=(one,))
    allowed = 0.01 * 28 * 24  # hours
    for share, told in ((0.3, 0), (0.6, 1), (0.9, 2), (1.2, 3)):
        world = loaded(ok=bad_in(500, 500 + share * allowed))
        found = world.findings(budget.ANALYZER, day(30), declared)
        assert len(found) == told
    assert [finding.metric.split()[-1] for finding in found] == ["50%", "80%", "100%"]
    assert "the gate is closed" in found[-1].summary
    assert found[-1].observed == pytest.approx(1.2, rel=0.05)


def test_a_fallback_that_fails_itself_is_a_ticket_and_one_without_requests_is_not_proven() -> None:
    one = objective(fallback=Fallback(name="rules", service="flight-rules"))
    world = loaded()
    assert fallback.health(world.reader, one, day(30)) == "unproven"
    assert fallback.health(world.reader, objective(), day(30)) == "missing"
    loaded(service="flight-rules", world=world, ok=lambda h: (h < 715).astype(int))
    assert fallback.health(world.reader, one, day(30)) == "failing"
    (found,) = world.findings(fallback.ANALYZER, day(30), Declarations(objectives=(one,)))
    assert (found.service, found.severity) == ("flight-rules", Severity.TICKET)
    assert fallback.health(world.reader, one, day(29)) == "ok"


def test_silence_is_told_where_that_was_asked_for() -> None:
    one = objective(no_data=True)
    world = loaded(days=29, per_hour=120)
    (found,) = world.findings(burn_rate.ANALYZER, day(29) + 2 * HOUR, Declarations(objectives=(one,)))
    assert (found.data_state, found.metric) == (DataState.ABSENT, "no_data promise")
    assert world.findings(burn_rate.ANALYZER, day(29) + 2 * HOUR, Declarations(objectives=(objective(),))) == ()


def test_declared_rules_take_the_place_of_the_derived_ones_and_must_hold() -> None:
    rule = BurnRule(severity="page", long="30m", short="5m", burn=20, after="10m")
    one = objective(rules=[rule])
    declared = Declarations(objectives=(one,))
    world = loaded(ok=bad_in(30 * 24 - 0.8, 30 * 24))
    assert world.findings(burn_rate.ANALYZER, day(30), declared)[0].severity is Severity.PAGE
    short = loaded(ok=bad_in(30 * 24 - 0.15, 30 * 24))
    assert short.findings(burn_rate.ANALYZER, day(30), declared) == ()


def test_quality_is_judged_on_matured_days_and_a_restated_budget_is_marked() -> None:
    def frame(world: World) -> World:
        n = 40 * 100
        made = pl.DataFrame(
            {
                "ts": [START.replace(tzinfo=None) + timedelta(days=i // 100, minutes=i % 100) for i in range(n)],
                "prediction": [1] * n,
                "outcome": [0 if i % 100 < (30 if 2900 <= i < 3000 else 5) else 1 for i in range(n)],
            }
        )
        late = (pl.int_range(n) % 100 < 30) & (pl.col("ts") >= day(29).replace(tzinfo=None))
        delay = pl.when(late).then(timedelta(days=9)).otherwise(timedelta(days=2))
        return world.load(made.with_columns((pl.col("ts") + delay).alias("outcome_ts")))

    world = frame(World(now=day(60)))
    one = objective("quality", target=0.9, mature_after="3d")
    now = state(world, one, day(34) + 6 * HOUR)
    assert now.end == day(31)
    assert now.bad.maturity == pytest.approx(1 - 60 / 2800, abs=0.01)
    found = restated(world.reader, one, day(42), days=12)
    assert found
    assert all(one.now < one.told for one in found)
    assert restated(world.reader, objective(), day(42)) == ()


@pytest.mark.parametrize(("measure", "metric"), [("cost_per_success", "cost_per_success"), ("drift", "psi")])
def test_a_number_a_day_is_judged_by_its_bound(measure: str, metric: str) -> None:
    world = loaded(days=1)
    rows = [
        burn_rate.Reading(
            "a", metric, "flights", "m1", "s", burn_rate.Window(day(d - 1), day(d)), day(d), 0.3 if d > 24 else 0.1
        )
        for d in range(1, 31)
    ]
    readings.write(world.facts, reading_frame(rows))
    one = objective(measure, target=0.9, max=0.2, method="Timeslices", slice_window="1d")
    made = state(world, one, day(30))
    assert (made.whole.affected, made.whole.rows) == (6, 28)
    assert made.budget_left() < 0
    (found,) = world.findings(burn_rate.ANALYZER, day(30), Declarations(objectives=(one,)))
    assert "slices of 1 d" in found.summary


def test_our_own_lag_is_judged_in_slices_of_five_minutes() -> None:
    rows = [
        burn_rate.Reading(
            "schedule", "evaluation_lag", "watchkeeper", "schedule", "evaluation",
            burn_rate.Window(at - MINUTE, at), at, 700.0 - 60 * n if n < 10 else 4.0,
        )
        for n in range(60)
        for at in [day(1) + n * MINUTE]
    ]  # fmt: skip
    world = World()
    readings.write(world.facts, reading_frame(rows))
    made = state_of(world.reader, Declarations(), OWN, day(1) + HOUR)
    assert (made.whole.affected, made.whole.rows) == (3, 13)
    assert OWN in with_own(Declarations())
    assert with_own(Declarations(objectives=(OWN,))) == (OWN,)


def test_checks_lateness_and_automation_are_counted() -> None:
    world = World(now=day(3))
    n = 2880
    base = START.replace(tzinfo=None)
    frame = pl.DataFrame({"ts": [base + i * MINUTE for i in range(n)], "ok": [1] * n})
    frame = frame.with_columns(
        pl.when(pl.int_range(n) % 2 == 0).then(pl.col("ts") + timedelta(seconds=30)).alias("needed_by"),
        (pl.col("ts") + pl.when(pl.int_range(n) % 8 == 0).then(timedelta(seconds=60)).otherwise(timedelta(0))).alias(
            "used_at"
        ),
        pl.when(pl.int_range(n) % 4 == 0).then(0.2).otherwise(0.9).alias("confidence"),
        pl.lit(0.5).alias("confidence_threshold"),
    )
    world.load(frame)
    names = ("requests", "late", "due", "deferred", "weighed", "checked")
    sums = world.facts.read(
        f"SELECT {', '.join(f'sum({name})::INT AS {name}' for name in names)} FROM traffic_hour WHERE dim = ''"
    )
    if sums["due"].item():
        late = state(world, objective("late"), day(2)).whole
        assert (late.affected, late.rows) == (n // 8, n // 2)
        automated = state(world, objective("automation"), day(2)).whole
        assert (automated.affected, automated.rows) == (n // 4, n)
    coverage = state(world, objective("check_coverage"), day(2)).whole
    assert coverage.affected == coverage.rows == n


def test_a_slow_burn_is_told_with_slope_change_breach_and_cost() -> None:
    rng = np.random.default_rng(4)

    def rising(h: np.ndarray) -> np.ndarray:
        share = 0.02 + 0.025 * np.clip(h / 24 - 60, 0, None) / 180
        return (rng.random(len(h)) >= share).astype(int)

    world = loaded(days=121, per_hour=60, ok=rising)
    one = objective(target=0.95)
    worth = ValueModel(name="v", service="flights", currency="EUR", values={"error": -5.0})
    declared = Declarations(objectives=(one,), values=(worth,))
    assert world.findings(slow_burn.ANALYZER, day(61), declared) == ()
    (found,) = world.findings(slow_burn.ANALYZER, day(121), declared)
    assert found.severity is Severity.TICKET
    assert "promise creeps up" in found.summary
    assert "at this rate" in found.summary
    assert found.impact is not None
    assert found.impact.per_day > 0
    assert found.since is not None
    assert day(57) <= found.since <= day(90)
    assert found.interval is not None
    assert found.interval[0] < found.observed < found.interval[1]
    assert found.evidence.snapshot["baseline_from"] == day(1).date().isoformat()
    assert world.findings(burn_rate.ANALYZER, day(121), declared) == ()


def test_what_cannot_be_measured_is_said_with_a_way_out() -> None:
    thin = seeing(objective(target=0.999), 5)
    assert not thin.measurable
    assert any("0.995 can be measured" in line for line in thin.advice)
    assert any("Timeslices" in line for line in thin.advice)
    assert seeing(objective(target=0.999), 600).measurable
    assert seeing(objective(target=0.9), 60).silent == ("1h",)


@pytest.mark.parametrize("days", [7, 28, 30, 90])
def test_what_is_detectable_is_where_the_gate_opens(days: int) -> None:
    for row in policy(timedelta(days=days)):
        least = detectable(row, 0.01, 60)
        if least is not None:
            assert least > row.burn


def test_thin_healthy_traffic_wakes_nobody_and_an_outage_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short form of the benchmark, on seeds of its own."""
    monkeypatch.setattr(false_pages, "SEEDS", range(41, 44))
    monkeypatch.setattr(false_pages, "OUTAGE_RUNS", 1)
    for target, rate in ((0.99, 5), (0.999, 60)):
        told = false_pages.healthy(target, rate)
        assert told["guarded_per_30_days"] <= 0.5 < 5 < told["naive_per_30_days"]
    assert false_pages.outage(0.99, 60, 1.0)["guarded_minutes"] <= 15

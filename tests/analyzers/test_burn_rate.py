from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from analyzers.world import START, World, day
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.slo import burn_rate
from watchkeeper.analyzers.slo.core.policy import burning, policy
from watchkeeper.schemas.declared import Declarations, Objective
from watchkeeper.schemas.findings import Severity
from watchkeeper.schemas.objectives import Sli

BURN = burn_rate.ANALYZER
HOUR = timedelta(hours=1)


def declared(target: float = 0.99, measure: str = "errors", days: float = 28, **sli: object) -> Declarations:
    objective = Objective(name="promise", service="flights", sli=Sli(measure=measure, **sli), target=target, days=days)
    return Declarations(objectives=(objective,))


def traffic(bad: float, per_hour: int = 60, days: int = 30, hours: int = 2, **columns: object) -> World:
    """Give 30 days of a healthy service whose last hours are bad."""
    rng = np.random.default_rng(11)
    n = days * 24 * per_hour
    seconds = np.arange(n) * (3600 / per_hour)
    end = days * 86_400
    failing = (seconds >= end - hours * 3600) & (rng.random(n) < bad)
    frame = pl.DataFrame(
        {
            "ts": [START.replace(tzinfo=None) + timedelta(seconds=float(second)) for second in seconds],
            "ok": (~(failing | (rng.random(n) < 0.002))).astype(int),
            "latency_ms": np.where(failing, 900.0, 100.0),
        }
    )
    world = World(now=START + days * timedelta(days=1))
    return world.load(frame)


@pytest.mark.parametrize(
    ("days", "burns"),
    [(30, [14.4, 6, 3, 1]), (28, [13.44, 5.6, 2.8, 1.0]), (90, [43.2, 18, 9, 3])],
)
def test_burn_rates_follow_from_the_period(days: int, burns: list[float]) -> None:
    rows = policy(timedelta(days=days))
    assert [row.burn for row in rows] == pytest.approx(burns)
    assert [row.severity for row in rows] == [Severity.PAGE, Severity.PAGE, Severity.TICKET, Severity.TICKET]


@given(st.floats(0.05, 366))
def test_no_row_ever_fires_on_budget_and_short_windows_stay_shorter(days: float) -> None:
    for row in policy(timedelta(days=days)):
        assert row.burn >= 1
        assert timedelta(minutes=1) <= row.short <= row.long <= max(timedelta(days=days), timedelta(minutes=1))


@given(st.floats(0.5, 0.9999), st.floats(1, 366), st.integers(1, 10_000))
def test_a_row_that_cannot_fire_does_not_and_the_others_can(target: float, days: float, rows: int) -> None:
    for row in policy(timedelta(days=days)):
        everything = Count(10**9, 10**9)
        assert burning(row, 1 - target, everything, everything, 3) == row.can_fire(1 - target)


def test_one_failure_of_a_quiet_service_pages_nobody() -> None:
    row = policy(timedelta(days=28))[0]
    assert not burning(row, 0.01, Count(1, 5), Count(1, 1), min_bad=3)
    assert not burning(row, 0.001, Count(2, 60), Count(2, 5), min_bad=3)
    assert burning(row, 0.01, Count(5, 5), Count(1, 1), min_bad=3)


def test_healthy_but_thin_traffic_is_calm() -> None:
    """A service at half its budget, 5 requests an hour, 99 %: at most one page in 10,000 hours (8 a month naively)."""
    rng = np.random.default_rng(2)
    row = policy(timedelta(days=28))[0]
    bad = rng.random((10_000, 5)) < 0.005
    pages = sum(burning(row, 0.01, Count(int(hour.sum()), 5), Count(int(hour[-1]), 1), 3) for hour in bad)
    assert pages <= 1


def test_an_outage_pages_with_the_time_to_exhaustion() -> None:
    world = traffic(bad=0.6)
    finding = world.findings(BURN, day(30), declared())[0]
    assert finding.severity is Severity.PAGE
    assert finding.subjects == ("ok", "promise")
    assert finding.model == "m1"
    assert finding.window.length == HOUR
    assert finding.observed > 13.44
    assert "of requests missed promise in the last 1 h" in finding.summary
    assert finding.summary.endswith(".")
    assert "the budget is gone in " in finding.summary or "the budget is spent" in finding.summary
    assert finding.interval is not None
    assert finding.interval[0] > 13.44


def test_a_slow_burn_is_a_ticket() -> None:
    finding = traffic(bad=0.045, hours=30).findings(BURN, day(30), declared())[0]
    assert finding.severity is Severity.TICKET


def test_a_healthy_service_has_readings_and_no_finding() -> None:
    evaluation = traffic(bad=0.0).evaluate(BURN, day(30), declared())
    assert evaluation.findings == ()
    assert evaluation.judged == {("flights", "m1")}
    values = {(reading.metric, reading.subject): reading.value for reading in evaluation.readings}
    assert values["slo_sli", "promise"] == pytest.approx(0.998, abs=0.001)
    assert values["slo_budget_left", "promise"] == pytest.approx(0.8, abs=0.05)
    assert set(values) >= {("burn_rate", f"promise {name}") for name in ("1h", "6h", "1d", "3d")}


def test_readings_come_every_quarter_of_an_hour_and_findings_every_minute() -> None:
    world = traffic(bad=0.6)
    evaluation = world.evaluate(BURN, day(30) - timedelta(minutes=1), declared())
    assert evaluation.readings == ()
    assert len(evaluation.findings) == 1


def test_an_end_of_the_outage_is_seen_by_the_short_window() -> None:
    world = traffic(bad=0.6)
    calm = pl.DataFrame(
        {"ts": [day(30).replace(tzinfo=None) + timedelta(seconds=second) for second in range(600)], "ok": [1] * 600}
    )
    world.load(calm)
    assert all(row.severity is not Severity.PAGE or row.window.length > HOUR for row in world.findings(
        BURN, day(30) + timedelta(minutes=10), declared()
    ))  # fmt: skip


def test_latency_counts_what_is_slower_than_promised() -> None:
    finding = traffic(bad=0.6).findings(BURN, day(30), declared(measure="latency", max_ms=500.0))[0]
    assert finding.subjects[0] == "latency"
    within = declared(measure="latency", max_ms=1000.0)
    assert traffic(bad=0.6).findings(BURN, day(30), within) == ()


def test_a_row_that_cannot_fire_is_named_in_the_snapshot() -> None:
    finding = traffic(bad=1.0, hours=12).findings(BURN, day(30), declared(target=0.9))[0]
    assert finding.evidence.snapshot["cannot_fire"] == ["1h"]
    assert finding.window.length == 6 * HOUR


def test_an_objective_without_traffic_is_not_judged() -> None:
    world = traffic(bad=1.0)
    other = Objective(name="o", service="other", sli=Sli(measure="errors"), target=0.99, days=28)
    evaluation = world.evaluate(BURN, day(30), Declarations(objectives=(other,)))
    assert (evaluation.findings, evaluation.readings, evaluation.judged) == ((), (), frozenset())

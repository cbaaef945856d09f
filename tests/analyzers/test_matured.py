from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from analyzers.world import World, day, from_day, made

from watchkeeper.analyzers.quality import matured
from watchkeeper.analyzers.quality.matured import Errors, compare
from watchkeeper.schemas.declared import Declarations, Monitor, System, ValueModel
from watchkeeper.schemas.findings import Severity

MATURED = matured.ANALYZER


def worse(share: float, at: int = 20, days: int = 45) -> pl.DataFrame:
    """Turn this share of the outcomes round from day ``at`` on."""
    flip = from_day(at) & (pl.int_range(pl.len()) % 100 < round(share * 100))
    return made(days=days).with_columns(
        pl.when(flip).then(1 - pl.col("outcome")).otherwise(pl.col("outcome")).alias("outcome")
    )


def test_one_bad_day_cannot_decide() -> None:
    usual = Errors(tuple((20.0 + place % 7, 100) for place in range(28)))
    calm = tuple((23.0, 100) for _ in range(6))
    assert compare(Errors((*calm, (100.0, 100))), usual).p_value > 1e-3
    assert compare(Errors(tuple((40.0, 100) for _ in range(7))), usual).p_value < 1e-6


def test_days_without_spread_still_have_the_spread_of_rows() -> None:
    usual = Errors(((20.0, 100),) * 28)
    assert compare(Errors(((22.0, 100),) * 7), usual).p_value > 1e-3


def test_stable_quality_is_hardly_ever_told() -> None:
    """1,000 reference and 1,000 later weeks with a day-level spread five times the rows': at most 2 below 1e-4."""
    rng = np.random.default_rng(3)
    low = 0
    for _ in range(1000):
        rates = np.clip(rng.normal(0.2, 0.06, 35), 0.01, 0.9)
        days = tuple((float(error), 400) for error in rng.binomial(400, rates))
        low += compare(Errors(days[28:]), Errors(days[:28])).p_value < 1e-4
    assert low <= 2


def test_nothing_is_told_of_a_model_that_stays_as_good() -> None:
    world = World().load(made(days=60)).with_reference()
    for number in range(24, 61):
        assert world.findings(MATURED, day(number)) == ()


def test_a_worse_model_is_told_with_its_maturity() -> None:
    world = World().load(worse(0.2)).with_reference()
    findings = world.findings(MATURED, day(30))
    assert len(findings) == 1
    finding = findings[0]
    assert (finding.severity, finding.subjects, finding.metric) == (Severity.NOTICE, ("error",), "error_rate")
    assert finding.window.end == day(28)  # outcomes take two days
    assert finding.maturity == 1.0
    assert finding.reference is not None
    assert finding.observed > finding.reference + 0.1
    assert finding.summary.startswith("m1 of flights is wrong in ")
    assert finding.impact is None


def test_a_declared_value_gives_the_loss_a_day_and_its_basis() -> None:
    world = World().load(worse(0.2)).with_reference()
    values = ValueModel(
        name="v", service="flights", currency="EUR", values={"false_negative": -40.0, "false_positive": -5.0}
    )
    impact = world.findings(MATURED, day(30), Declarations(values=(values,)))[0].impact
    assert impact is not None
    assert impact.currency == "EUR"
    assert 200 * 0.1 * 5 < impact.per_day < 200 * 0.2 * 40
    assert impact.basis == "measured on 100 % of outcomes, against the 14-day reference"


def test_windows_that_are_not_mature_are_readings_only() -> None:
    lost = from_day(20) & (pl.int_range(pl.len()) % 2 == 0)
    frame = worse(0.3).with_columns(pl.when(lost).then(None).otherwise(pl.col("outcome_ts")).alias("outcome_ts"))
    evaluation = World().load(frame).with_reference().evaluate(MATURED, day(35))
    assert evaluation.findings == ()
    assert evaluation.judged == frozenset()
    assert [reading.maturity for reading in evaluation.readings] == [pytest.approx(0.5, abs=0.05)]


def test_nothing_that_was_learned_later_is_used() -> None:
    world = World().load(worse(0.3)).with_reference()
    told = world.findings(MATURED, day(27))
    later = World().load(worse(0.3).filter(~from_day(27))).with_reference()
    assert told == later.findings(MATURED, day(27))


def test_numbers_are_judged_by_their_mean_absolute_error() -> None:
    rng = np.random.default_rng(5)
    frame = made(days=45)
    asked = rng.normal(50, 10, frame.height)
    off = rng.normal(0, 3, frame.height)
    frame = frame.with_columns(pl.Series("prediction", asked), pl.Series("outcome", asked + off))
    frame = frame.with_columns(
        pl.when(from_day(22)).then(pl.col("prediction") + 3 * (pl.col("outcome") - pl.col("prediction")))
        .otherwise(pl.col("outcome")).alias("outcome")
    )  # fmt: skip
    finding = World().load(frame).with_reference().findings(MATURED, day(34))[0]
    assert finding.metric == "mean_absolute_error"
    assert finding.observed == pytest.approx(3 * (finding.reference or 0), rel=0.1)
    assert finding.summary.startswith("m1 of flights is off by ")


def test_declared_segments_are_read_and_never_alerted_on() -> None:
    frame = worse(0.2).with_columns(pl.col("carrier").alias("segment"))
    monitors = (Monitor(name="m", analyzer="quality.matured", params={"segments": ["segment"]}),)
    evaluation = World().load(frame).with_reference().evaluate(MATURED, day(30), Declarations(monitors=monitors))
    subjects = {reading.subject: reading for reading in evaluation.readings}
    assert set(subjects) == {"error", "segment:AA", "segment:B6", "segment:UA", "segment:WN"}
    assert sum(reading.n or 0 for name, reading in subjects.items() if name != "error") == subjects["error"].n
    assert [finding.subject for finding in evaluation.findings] == ["error"]


def test_a_service_without_outcomes_is_left_alone() -> None:
    world = World().load(made(days=40).drop("outcome", "outcome_ts")).with_reference()
    evaluation = world.evaluate(MATURED, day(35))
    assert (evaluation.findings, evaluation.readings, evaluation.judged) == ((), (), frozenset())


def test_what_is_told_says_where_it_comes_from_and_sums_up() -> None:
    flip = from_day(20) & (pl.col("carrier") == "UA") & (pl.int_range(pl.len()) % 10 < 8)
    frame = made(days=45).with_columns(
        pl.when(flip).then(1 - pl.col("outcome")).otherwise(pl.col("outcome")).alias("outcome"),
        pl.col("carrier").alias("segment"),
    )
    value = ValueModel(name="v", service="flights", currency="EUR", values={"wrong": -10.0, "correct": 2.0})
    finding = World().load(frame).with_reference().findings(MATURED, day(30), Declarations(values=(value,)))[0]
    assert finding.subjects == ("error", "segment:UA")
    assert " came from segment=UA itself, " in finding.summary
    rows = finding.evidence.snapshot["split"]
    assert [row["value"] for row in rows if row["cause"]] == ["UA"]
    assert {row["value"] for row in rows} == {"AA", "B6", "UA", "WN"}
    assert sum(row["mix"] + row["inside"] for row in rows) == pytest.approx(finding.effect, abs=1e-9)
    worth = finding.evidence.snapshot["value_split"]
    assert (worth[0]["value"], worth[0]["cause"], worth[0]["metric"]) == ("UA", "inside", "value_per_decision")
    assert sum(row["mix"] + row["inside"] for row in worth) == pytest.approx(-12 * finding.effect, abs=1e-9)


def test_small_groups_of_a_protected_attribute_are_not_in_what_is_kept() -> None:
    frame = worse(0.5)
    few = pl.int_range(frame.height) % 100 == 0
    groups = frame.select(pl.when(few).then(pl.lit("x")).otherwise(pl.lit("f")).alias("gender"))
    world = World().load(frame, segments=groups).with_reference()
    hidden = Declarations(systems=(System(name="f", services=["flights"], owner="o", protected=["gender"]),))
    for declared, told in ((Declarations(), {"f", "x"}), (hidden, {"f"})):
        rows = world.findings(MATURED, day(30), declared)[0].evidence.snapshot["split"]
        assert {row["value"] for row in rows if row["dim"] == "gender"} == told  # type: ignore[index,union-attr]


def test_a_harder_mix_is_told_as_a_mix() -> None:
    hard = pl.col("carrier") == "WN"
    wrong = hard & (pl.int_range(pl.len()) % 10 < 7)
    moved = from_day(20) & (pl.col("carrier") == "AA") & (pl.int_range(pl.len()) % 10 < 7)
    frame = made(days=45).with_columns(pl.when(moved).then(pl.lit("WN")).otherwise(pl.col("carrier")).alias("carrier"))
    frame = frame.with_columns(
        pl.when(wrong).then(1 - pl.col("prediction")).otherwise(pl.col("outcome")).alias("outcome"),
        pl.col("carrier").alias("segment"),
    )
    finding = World().load(frame).with_reference().findings(MATURED, day(30))[0]
    assert finding.subjects == ("error", "segment:WN")
    assert finding.summary.endswith(" came from a shifted mix of segment (WN above all).")


def test_all_worse_alike_names_no_segment() -> None:
    frame = worse(0.2).with_columns(pl.col("carrier").alias("segment"))
    finding = World().load(frame).with_reference().findings(MATURED, day(30))[0]
    assert finding.subjects == ("error",)
    assert finding.summary.endswith(" No segment stands out.")

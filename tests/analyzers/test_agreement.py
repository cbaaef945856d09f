from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from analyzers.world import World, day, from_day, made

from watchkeeper.analyzers.quality import agreement
from watchkeeper.analyzers.quality.core.kappa import Table
from watchkeeper.schemas.findings import Severity, Window
from watchkeeper.store.facts.batch import REVIEW_COLUMNS, Batch

AGREEMENT = agreement.ANALYZER


def checked(turned: pl.Expr | None = None, days: int = 45) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Answers with two checks: one that sees four of five wrong ones (from a day on it is turned round), one blind."""
    frame = made(days=days)
    rng = np.random.default_rng(3)
    wrong = (frame["prediction"] != frame["outcome"]).to_numpy()
    called = np.where(rng.random(frame.height) < 0.8, wrong, ~wrong)
    if turned is not None:
        off = frame.select(turned)[:, 0].to_numpy() & (rng.random(frame.height) < 0.4)
        called = np.where(off, ~called, called)
    blind = rng.random(frame.height) < 0.1
    checks = [
        [
            {"name": "grounded", "kind": "policy", "passed": not bool(a), "blocked": False, "score": None},
            {"name": "polite", "kind": "policy", "passed": not bool(b), "blocked": False, "score": None},
        ]
        for a, b in zip(called, blind, strict=True)
    ]
    return frame, pl.DataFrame({"checks": checks})


def reviewed(world: World, frame: pl.DataFrame) -> World:
    """Every third answer is looked at by a person who is always right, twice: first escalated."""
    ids = [f"flights/m1/1/{number}" for number in range(0, frame.height, 3)]
    third = frame.gather_every(3)
    right = (third["prediction"] == third["outcome"]).to_list()
    for later, words in ((1, ["escalated"] * len(ids)), (2, ["approved" if ok else "overridden" for ok in right])):
        rows = pl.DataFrame({"prediction_id": ids, "decision": words, "ts": third["ts"].dt.offset_by(f"{later}h")})
        world.loader.load(Batch(reviews=rows.with_columns(service=pl.lit("flights"), received_at=pl.col("ts"))))
    return world


def test_kappa_of_chance_is_about_nothing_and_its_interval_holds_that() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        called, wrong = rng.random(400) < 0.3, rng.random(400) < 0.2
        cells = ((called & wrong), (called & ~wrong), (~called & wrong), (~called & ~wrong))
        table = Table(*(float(cell.sum()) for cell in cells))
        assert table.kappa is not None
        lower, upper = table.kappa_interval(table.kappa)
        held += lower <= 0 <= upper
    assert 0.93 <= held / 1000 <= 0.97


def test_each_check_is_read_by_its_name() -> None:
    frame, fields = checked()
    world = World().load(frame, fields=fields).with_reference()
    readings = {(one.subject, one.metric): one for one in world.evaluate(AGREEMENT, day(40)).readings}
    assert readings["check:grounded", "agreement"].value == pytest.approx(0.8, abs=0.03)
    assert readings["check:grounded", "agreement"].reference == pytest.approx(0.8, abs=0.03)
    assert readings["check:grounded", "caught_share"].value == pytest.approx(0.8, abs=0.06)
    assert readings["check:polite", "kappa"].value == pytest.approx(0, abs=0.08)
    assert readings["check:polite", "agreement"].window.end == day(38)


def test_what_stays_is_not_told() -> None:
    frame, fields = checked()
    world = World().load(frame, fields=fields).with_reference()
    for number in range(24, 46, 3):
        assert world.findings(AGREEMENT, day(number)) == ()


def test_a_check_that_stops_seeing_is_a_ticket_with_answers_that_show_it() -> None:
    frame, fields = checked(turned=from_day(26))
    world = World().load(frame, fields=fields).with_reference()
    (finding,) = world.findings(AGREEMENT, day(40))
    assert (finding.subjects, finding.severity, finding.metric) == (
        ("check:grounded",),
        Severity.TICKET,
        "disagreement",
    )
    assert finding.observed == pytest.approx(0.44, abs=0.04)
    assert finding.maturity == 1.0
    assert len(finding.examples) == 3
    wrong = (frame["prediction"] != frame["outcome"]).to_list()
    for one in finding.examples:
        at = int(one.rsplit("/", 1)[1])
        assert fields["checks"][at][0]["passed"] == wrong[at]


def test_the_last_review_of_an_answer_counts_and_an_escalation_does_not() -> None:
    frame = made(days=40)
    world = reviewed(World().load(frame), frame).with_reference()
    readings = {(one.subject, one.metric): one for one in world.evaluate(AGREEMENT, day(35)).readings}
    assert readings["reviews", "agreement"].value == 1.0
    assert readings["reviews", "kappa"].value == 1.0
    assert readings["reviews", "agreement"].n == pytest.approx(7 * 200 / 3, abs=2)


def test_a_review_that_came_later_is_not_known_yet() -> None:
    frame = made(days=30)
    world = World().load(frame)
    late = pl.DataFrame(
        {
            "prediction_id": [f"flights/m1/1/{number}" for number in range(frame.height)],
            "decision": ["approved"] * frame.height,
            "ts": [day(29).replace(tzinfo=None)] * frame.height,
            "service": ["flights"] * frame.height,
        },
        schema_overrides={"ts": REVIEW_COLUMNS["ts"]},
    )
    world.loader.load(Batch(reviews=late.with_columns(received_at=pl.col("ts"))))
    world.with_reference()
    assert world.evaluate(AGREEMENT, day(28)).readings == ()
    assert world.evaluate(AGREEMENT, day(30)).readings


def test_few_answers_are_not_judged() -> None:
    frame, fields = checked()
    few = fields.with_columns(pl.when(pl.int_range(pl.len()) % 20 == 0).then(pl.col("checks")).alias("checks"))
    readings = World().load(frame, fields=few).with_reference().evaluate(AGREEMENT, day(40)).readings
    assert {(one.metric, one.value) for one in readings} == {("agreement_needs_rows", 100.0)}


def test_a_window_whose_outcomes_have_not_come_is_not_judged() -> None:
    frame, fields = checked(turned=from_day(26))
    lost = from_day(26) & (pl.int_range(pl.len()) % 2 == 0)
    frame = frame.with_columns(pl.when(lost).then(None).otherwise(pl.col("outcome_ts")).alias("outcome_ts"))
    evaluation = World().load(frame, fields=fields).with_reference().evaluate(AGREEMENT, day(40))
    assert (evaluation.findings, evaluation.readings, evaluation.judged) == ((), (), frozenset())


def judged(world: World, frame: pl.DataFrame, turned: pl.Expr | None = None) -> World:
    """Two judges that speak at once, long before the truth: one by label, one by a score, low for bad answers."""
    rng = np.random.default_rng(5)
    wrong = (frame["prediction"] != frame["outcome"]).to_numpy()
    said = np.where(rng.random(frame.height) < 0.9, wrong, ~wrong)
    score = np.where(wrong, 0.3, 0.7) + rng.normal(0, 0.1, frame.height)
    if turned is not None:
        off = frame.select(turned)[:, 0].to_numpy()
        score = np.where(off, rng.uniform(0, 1, frame.height), score)
    rows = pl.DataFrame({"prediction_id": [f"flights/m1/1/{number}" for number in range(frame.height)]})
    rows = rows.with_columns(
        frame["ts"].alias("prediction_ts"),
        frame["ts"].alias("known_at"),
        frame["ts"].alias("received_at"),
        pl.lit("flights").alias("service"),
    )
    label = pl.Series("value", np.where(said, "false", "true"))
    none = pl.lit(None, pl.Float64).alias("value_number")
    faithful = rows.with_columns(label, none, pl.lit("faithful").alias("evaluation"))
    helpful = rows.with_columns(
        pl.Series("value", score).cast(pl.String),
        pl.Series("value_number", score),
        pl.lit("helpful").alias("evaluation"),
    )
    world.loader.load(Batch(outcomes=faithful))
    world.loader.load(Batch(outcomes=helpful))
    return world


def late_truth(days: int = 45) -> pl.DataFrame:
    return made(days=days).with_columns((pl.col("ts") + pl.duration(days=5)).alias("outcome_ts"))


def test_evaluations_are_held_against_the_truth_and_scores_by_the_best_cut_of_the_reference() -> None:
    frame = late_truth()
    world = judged(World().load(frame), frame).with_reference()
    readings = {(one.subject, one.metric): one for one in world.evaluate(AGREEMENT, day(40)).readings}
    assert readings["evaluation:faithful", "agreement"].value == pytest.approx(0.9, abs=0.03)
    assert readings["evaluation:faithful", "caught_share"].value == pytest.approx(0.9, abs=0.06)
    assert readings["evaluation:helpful", "agreement"].value == pytest.approx(0.977, abs=0.015)
    assert readings["evaluation:helpful", "kappa"].value > 0.85
    assert readings["evaluation:helpful", "agreement"].window.end == day(35), "the truth takes five days, not none"
    assert readings["evaluation:helpful", "agreement"].n == pytest.approx(1400, abs=5)
    for number in range(28, 46, 3):
        assert world.findings(AGREEMENT, day(number)) == ()


def test_a_judge_that_no_longer_tells_right_from_wrong_is_a_ticket() -> None:
    frame = late_truth()
    world = judged(World().load(frame), frame, turned=from_day(26)).with_reference()
    (finding,) = world.findings(AGREEMENT, day(40))
    assert (finding.subjects, finding.severity) == (("evaluation:helpful",), Severity.TICKET)
    assert finding.observed == pytest.approx(0.5, abs=0.05)
    assert "Evaluation 'helpful' of m1 of flights said other than what came true" in finding.summary
    assert len(finding.examples) == 3


def test_without_the_truth_evaluations_stand_in_for_it_and_are_not_held_against_themselves() -> None:
    frame = made(days=40)
    world = judged(reviewed(World().load(frame.drop("outcome_ts")), frame), frame).with_reference()
    readings = {one.subject for one in world.evaluate(AGREEMENT, day(35)).readings}
    assert readings == {"reviews"}


def test_a_judge_does_not_make_a_window_ripe_whose_truth_has_not_come() -> None:
    frame = late_truth()
    lost = from_day(26) & (pl.int_range(pl.len()) % 2 == 0)
    frame = frame.with_columns(pl.when(lost).then(None).otherwise(pl.col("outcome_ts")).alias("outcome_ts"))
    evaluation = judged(World().load(frame), frame).with_reference().evaluate(AGREEMENT, day(40))
    assert (evaluation.findings, evaluation.readings, evaluation.judged) == ((), (), frozenset())


def test_with_many_judges_the_usual_delay_is_that_of_the_truth() -> None:
    frame = late_truth(days=30)
    world = judged(World().load(frame), frame).with_reference()
    [row] = world.reader.outcome_delay("flights", "m1", Window(day(0), day(14)), day(28)).rows(named=True)
    assert (row["q50"], row["n"]) == (5.0, 14 * 200)

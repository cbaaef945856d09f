"""Outcomes come late, early, twice and corrected; what was known at a time stays what was known at that time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from store.facts_made import DAY, HOUR, PROPERTY, START, Made, event, outcome, window

from watchkeeper.store.facts.story import story

SOON = START + HOUR


def in_force(made: Made) -> list[tuple[object, ...]]:
    return made.rows(
        "SELECT prediction_id, value, known_at FROM matched WHERE superseded_at IS NULL ORDER BY prediction_id"
    )


def pending(made: Made) -> list[str]:
    return [row[0] for row in made.rows("SELECT prediction_id FROM pending_outcomes ORDER BY 1")]


def right_at(made: Made, as_of: datetime) -> tuple[int, int]:
    quality = made.reader.quality("shop", "ranker", window(0 * DAY, 2 * DAY), as_of.replace(tzinfo=UTC), step=None)
    return quality["known"].sum(), quality["correct"].sum()


def test_one_that_comes_before_its_prediction_waits_for_it() -> None:
    made = Made()
    assert made.outcomes(outcome("p", True, SOON)).matched == 0
    assert pending(made) == ["p"]
    assert made.load(event(id="p", prediction=True)).matched == 1
    assert pending(made) == []
    assert in_force(made) == [("p", "true", SOON)]


def test_in_one_load_the_prediction_is_there_first() -> None:
    made = Made()
    frame = pl.DataFrame([outcome("p", True, SOON)])
    assert made.load(event(id="p", prediction=True), outcomes=frame).matched == 1


def test_the_same_twice_is_once() -> None:
    made = Made()
    made.load(event(id="p", prediction=True))
    same = outcome("p", True, SOON)
    first = made.outcomes(same, same)
    again = made.outcomes(same)
    assert (first.loaded, first.duplicates, again.loaded, again.duplicates) == (1, 1, 0, 1)
    assert made.value("SELECT count(*) FROM outcomes") == made.value("SELECT count(*) FROM matched") == 1


def test_the_same_twice_while_it_waits_is_once() -> None:
    made = Made()
    same = outcome("p", True, SOON)
    made.outcomes(same)
    made.outcomes(same)
    assert pending(made) == ["p"]
    made.load(event(id="p", prediction=True))
    assert made.value("SELECT count(*) FROM matched") == 1


def test_a_newer_one_is_in_force_an_older_one_never_again() -> None:
    made = Made()
    made.load(event(id="p", prediction=True))
    made.outcomes(outcome("p", False, START + 2 * DAY))
    made.outcomes(outcome("p", True, START + 3 * DAY))
    made.outcomes(outcome("p", False, START + DAY))
    assert in_force(made) == [("p", "true", START + 3 * DAY)]
    assert made.value("SELECT count(*) FROM outcomes") == 3


def test_at_one_time_the_one_that_came_last_is_in_force() -> None:
    made = Made()
    made.load(event(id="p", prediction=True))
    made.outcomes(
        outcome("p", True, SOON, received_at=START + 2 * HOUR), outcome("p", False, SOON, received_at=START + HOUR)
    )
    assert in_force(made) == [("p", "true", SOON)]
    assert right_at(made, START + DAY) == (1, 1)


def test_what_was_known_before_a_correction_can_be_told_again() -> None:
    made = Made()
    made.load(event(id="p", prediction=True))
    made.outcomes(outcome("p", True, START + DAY))
    assert right_at(made, START + 2 * DAY) == (1, 1)
    made.outcomes(outcome("p", False, START + 3 * DAY))
    assert right_at(made, START + DAY - HOUR) == (0, 0)
    assert right_at(made, START + 2 * DAY) == (1, 1)
    assert right_at(made, START + 3 * DAY) == (1, 0)


@PROPERTY
@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(1, 20)), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
    st.integers(0, 20),
)
def test_in_whatever_order_they_come_the_last_known_is_in_force(
    sent: list[tuple[int, bool, int]], random: object, at: int
) -> None:
    """Predictions come in between; of two that became known at one time, either may win."""
    sent = list({(who, when): (who, value, when) for who, value, when in sent}.values())
    made = Made()
    steps: list[tuple[int, bool, int] | int] = [*sent, *range(5)]
    random.shuffle(steps)
    for step in steps:
        if isinstance(step, int):
            made.load(event(id=f"p{step}", ts=START + step * HOUR, prediction=True))
        else:
            who, value, when = step
            made.outcomes(outcome(f"p{who}", value, START + when * HOUR))
    assert pending(made) == []
    last: dict[int, tuple[int, bool]] = {}
    by_then: dict[int, tuple[int, bool]] = {}
    for who, value, when in sent:
        last[who] = max(last.get(who, (0, False)), (when, value))
        if when <= at:
            by_then[who] = max(by_then.get(who, (0, False)), (when, value))
    assert in_force(made) == [
        (f"p{who}", str(value).lower(), START + when * HOUR) for who, (when, value) in sorted(last.items())
    ]
    assert right_at(made, START + at * HOUR) == (len(by_then), sum(value for _, value in by_then.values()))


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(1, 20)), max_size=8), st.integers(1, 20))
def test_what_becomes_known_later_changes_no_number(sent: list[tuple[int, bool, int]], at: int) -> None:
    """The store that got everything says of a time what the store says that got only what was known by then."""
    whole, cut = Made(), Made()
    for made in (whole, cut):
        made.load(*(event(id=f"p{n}", prediction=True, score=n / 10, segments={"d": n % 2}) for n in range(6)))
    rows = [outcome(f"p{who}", value, START + when * HOUR) for who, value, when in sent]
    known = [row for row in rows if row["known_at"] <= START + at * HOUR]
    for row in rows:
        whole.outcomes(row)
    if known:
        cut.outcomes(*known)
    as_of = (START + at * HOUR).replace(tzinfo=UTC)
    week = window(0 * DAY, 7 * DAY)
    for dim in ("", "d"):
        asked = [made.reader.quality("shop", "ranker", week, as_of, dim=dim) for made in (whole, cut)]
        assert_frame_equal(asked[0], asked[1])  # but for the last bit: floats are added in any order
    delays = [made.reader.outcome_delay("shop", "ranker", week, as_of) for made in (whole, cut)]
    assert_frame_equal(delays[0], delays[1])


def test_evaluations_of_different_names_stand_beside_each_other_and_the_truth() -> None:
    made = Made()
    made.load(event(id="p", prediction="refund"), event(id="q"))
    made.outcomes(
        outcome("p", True, SOON, evaluation="relevance"),
        outcome("p", False, SOON + HOUR, evaluation="safety"),
        outcome("q", True, SOON, evaluation="relevance"),
        outcome("q", True, SOON, evaluation="safety"),
    )
    assert len(in_force(made)) == 4
    assert right_at(made, SOON) == (2, 2), "each prediction once"
    assert right_at(made, SOON + HOUR) == (2, 1), "right if all are"
    made.outcomes(outcome("p", True, SOON + 2 * HOUR, evaluation="safety"))
    assert len(in_force(made)) == 4
    assert right_at(made, SOON + 2 * HOUR) == (2, 2)
    made.outcomes(outcome("p", "keep", SOON + 3 * HOUR), outcome("q", 0.25, SOON + 3 * HOUR, evaluation="reward"))
    assert right_at(made, SOON + 3 * HOUR) == (2, 1), "the truth goes first, a score is neither"
    told = story(made.facts, "p")["matched"]
    assert sorted((row["evaluation"] or "", row["correct"]) for row in told) == [
        ("", False), ("relevance", True), ("safety", True)]  # fmt: skip


def test_for_nobody_it_is_kept_and_counted() -> None:
    made = Made()
    made.load(event(id="p"))
    report = made.outcomes(outcome("ghost", True, SOON), outcome("p", True, SOON))
    assert (report.loaded, report.matched) == (2, 1)
    assert pending(made) == ["ghost"]
    assert made.value("SELECT count(*) FROM outcomes") == 2


@pytest.mark.parametrize(
    ("prediction", "value", "correct"),
    [
        (True, True, True),
        (True, False, False),
        (True, 1, True),
        (1, True, True),
        (0, False, True),
        (1.0, 1, True),
        (0, 1, False),
        ("true", True, True),
        (True, "true", True),
        ("1", 1, True),
        (1, "1", True),
        ("cat", "cat", True),
        ("cat", "Cat", False),
        ("yes", True, False),
        (1, "true", False),
        (3, 3, None),
        (2.5, 7, None),
        (0, 7, None),
        (None, True, True),
        (None, "false", False),
        (None, 1, None),
        (None, "cat", None),
        (10**400, 10**400, True),
    ],
)
def test_right_and_wrong_across_types(prediction: object, value: object, correct: bool | None) -> None:
    """Bool, 1 and 0 are one; texts are compared as texts; of two other numbers the error counts, not equality."""
    made = Made()
    made.load(event(id="p", prediction=prediction))
    made.outcomes(outcome("p", value, SOON))
    assert made.rows("SELECT correct FROM matched") == [(correct,)]


def test_numbers_have_errors() -> None:
    made = Made()
    made.load(*(event(id=f"p{n}", prediction=n * 10) for n in (1, 2, 3)))
    made.outcomes(*(outcome(f"p{n}", n * 10 + n, SOON) for n in (1, 2, 3)))
    quality = made.reader.quality("shop", "ranker", window(0 * DAY, DAY), (START + DAY).replace(tzinfo=UTC), step=None)
    columns = ("known", "correct", "wrong", "absolute_error_sum", "squared_error_sum")
    assert quality.select(columns).rows() == [(3, 0, 0, 6.0, 14.0)]


def test_confusion_and_log_loss_add_up() -> None:
    made = Made()
    cases = [(True, True, 0.9), (True, False, 0.8), (False, True, 0.3), (False, False, 0.2), (False, False, None)]
    made.load(*(event(id=f"p{n}", prediction=said, score=score) for n, (said, _, score) in enumerate(cases)))
    made.outcomes(*(outcome(f"p{n}", came, SOON) for n, (_, came, _) in enumerate(cases)))
    quality = made.reader.quality("shop", "ranker", window(0 * DAY, DAY), (START + DAY).replace(tzinfo=UTC), step=None)
    [row] = quality.to_dicts()
    cells = [row[name] for name in ("true_positive", "false_positive", "false_negative", "true_negative")]
    assert cells == [1, 1, 1, 2]
    # -ln 0.9 - ln 0.2 - ln 0.3 - ln 0.8
    assert row["log_loss_sum"] == pytest.approx(0.105361 + 1.609438 + 1.203973 + 0.223144, abs=1e-5)
    assert (row["known"], row["correct"], row["score_sum"]) == (5, 3, pytest.approx(2.2))


@pytest.mark.parametrize("off", [timedelta(0), timedelta(microseconds=1), timedelta(minutes=-59)])
def test_its_time_of_the_prediction_need_not_be_exact(off: timedelta) -> None:
    """Senders round times; an hour around it is looked through."""
    made = Made()
    made.load(event(id="p", prediction=True), event(id="q", ts=START + 30 * DAY))
    assert made.outcomes(outcome("p", True, SOON, prediction_ts=START + off)).matched == 1
    assert made.rows("SELECT prediction_ts FROM matched") == [(START,)]


def test_without_the_time_of_the_prediction_all_are_looked_through() -> None:
    made = Made()
    made.load(event(id="old", ts=START - 300 * DAY, prediction=True), event(id="p", prediction=True))
    report = made.outcomes(outcome("old", True, SOON), outcome("p", True, SOON, prediction_ts=START))
    assert report.matched == 2


def test_a_wrong_time_of_the_prediction_leaves_it_waiting() -> None:
    made = Made()
    made.load(event(id="p", prediction=True))
    assert made.outcomes(outcome("p", True, SOON, prediction_ts=START - 2 * DAY)).matched == 0
    assert pending(made) == ["p"]


def test_it_belongs_to_the_model_that_predicted_whoever_sends_it() -> None:
    made = Made()
    made.load(event(id="p", service="shop", model="a", model_version="7", prediction=True))
    made.outcomes(outcome("p", True, SOON, service="warehouse"))
    assert made.rows("SELECT service, model, model_version FROM matched") == [("shop", "a", "7")]


def test_two_services_may_number_their_events_alike() -> None:
    made = Made()
    made.load(event(id="1", prediction=True), event(id="1", service="other", prediction=True))
    made.load(event(id="1", service="third", prediction=True), event(id="1", prediction=True))
    assert made.value("SELECT count(*) FROM predictions") == 3
    made.outcomes(outcome("1", False, START + DAY), outcome("1", True, START + DAY, service="other"))
    assert made.rows("SELECT service, correct FROM matched ORDER BY ALL") == [("other", True), ("shop", False)]
    assert [story(made.facts, "1", name)["prediction"]["service"] for name in ("other", "third")] == ["other", "third"]


def test_who_sends_an_outcome_need_not_be_who_predicted() -> None:
    made = Made()
    made.outcomes(outcome("late", True, START + DAY, service="billing"))
    made.load(event(id="a", prediction=True), event(id="late", prediction=True))
    made.outcomes(outcome("a", True, START + DAY, service="billing"))
    assert made.rows("SELECT service, prediction_id FROM matched ORDER BY ALL") == [("shop", "a"), ("shop", "late")]

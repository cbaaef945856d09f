"""The ids that a finding names are of rows that show it, in its window, of its model."""

from __future__ import annotations

from datetime import UTC

import pytest
from store.facts_made import DAY, HOUR, MODEL, SERVICE, START, WEEK, Made, event, outcome, window

from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts.examples import Outside, Requests, Showing, WithAnyValue, WithValue, Wrong


def shown(made: Made, showing: Showing, of: Window = WEEK, model: str = MODEL) -> tuple[str, ...]:
    return made.reader.example_ids(SERVICE, model, of, showing)


def test_the_newest_with_a_value_without_one_and_with_any() -> None:
    made = Made()
    made.load(*(event(id=f"p{n}", ts=START + n * HOUR, features={"c": "ab"[n % 2], "x": n}) for n in range(8)))
    made.load(event(id="none", ts=START + 9 * HOUR, features={"x": 1}), event(id="b", service="other", features={}))
    assert shown(made, WithValue("c", "a")) == ("p6", "p4", "p2")
    assert shown(made, WithValue("c", "a"), window(0 * HOUR, 2 * HOUR)) == ("p0",)
    assert shown(made, WithValue("c", None)) == ("none",)
    assert shown(made, WithAnyValue("c")) == ("p7", "p6", "p5")
    assert shown(made, WithValue("never sent", "a")) == ()


def test_values_outside_a_range() -> None:
    made = Made()
    made.load(*(event(id=f"p{n}", ts=START + n * HOUR, features={"x": n}) for n in range(8)))
    assert shown(made, Outside("x", 1, 5)) == ("p7", "p6", "p0")


def test_the_score_and_the_prediction_are_looked_up_like_features() -> None:
    made = Made()
    made.load(event(id="a", score=0.1, prediction="cat"), event(id="b", score=3.0, prediction="dog"))
    made.load(event(id="c", score=9.0, service="other"), event(id="d", model="other"))
    assert shown(made, Outside("score", 0, 1)) == ("b",)
    assert shown(made, WithValue("prediction", "cat")) == ("a",)


def test_wrong_answers_as_they_were_known_then() -> None:
    made = Made()
    names = ("right", "wrong", "late")
    made.load(*(event(id=name, ts=START + at * HOUR, prediction=True) for at, name in enumerate(names)))
    made.outcomes(
        outcome("right", True, START + DAY),
        outcome("wrong", False, START + DAY),
        outcome("late", False, START + 3 * DAY),
    )
    assert shown(made, Wrong((START + 2 * DAY).replace(tzinfo=UTC))) == ("wrong",)
    assert shown(made, Wrong((START + 4 * DAY).replace(tzinfo=UTC))) == ("late", "wrong")


def test_of_numbers_the_farthest_off() -> None:
    made = Made()
    made.load(*(event(id=f"p{error}", prediction=10.0) for error in range(5)))
    made.outcomes(*(outcome(f"p{error}", 10.0 + error, START + DAY) for error in range(5)))
    assert shown(made, Wrong(WEEK.end)) == ("p4", "p3", "p2")


@pytest.mark.parametrize(
    ("measure", "bad", "above"),
    [
        ("errors", {"status": "error"}, None),
        ("latency", {"latency_ms": 900.0}, 500.0),
        ("late", {"needed_by": START, "used_at": START + HOUR}, None),
        ("check_failures", {"checks": [{"name": "pii", "kind": "policy", "passed": False, "blocked": True}]}, None),
        ("retries", {"attempts": 3}, None),
    ],
)
def test_requests_that_an_objective_counts_as_bad(measure: str, bad: dict[str, object], above: float | None) -> None:
    made = Made()
    fine = {"latency_ms": 20.0, "needed_by": START + HOUR, "used_at": START}
    made.load(event(id="good", **fine), event(id="bad", **fine | bad), event(id="else", model="other", **fine | bad))
    assert shown(made, Requests(measure, above)) == ("bad",)
    assert shown(made, Requests(measure, above), model="*") == ("bad", "else")


def test_the_dearest_requests() -> None:
    made = Made()
    made.load(event(id="a", cost=1.0), event(id="b", cost=5.0), event(id="c", tokens_input=9), event(id="d"))
    assert shown(made, Requests("cost")) == ("b", "a", "c")

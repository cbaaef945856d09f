"""A protected attribute is never told row by row: not in a story, a sample, examples or small counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

import polars as pl
import pytest
from store.facts_made import DAY, MODEL, SERVICE, START, Made, event, outcome, predictions, window

from watchkeeper.schemas.declared import Declarations, System
from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts import references
from watchkeeper.store.facts.batch import Batch
from watchkeeper.store.facts.queries import Ask, answer
from watchkeeper.store.facts.splits import FEWEST_OF_GROUP
from watchkeeper.store.facts.story import PROTECTED, story

HIDDEN = Declarations(systems=(System(name="s", services=[SERVICE], owner="o", protected=["gender"]),))


@pytest.fixture
def facts() -> Made:
    made = Made()
    rows = [
        event(
            id=f"e{number}",
            ts=START + timedelta(minutes=number),
            prediction=True,
            segments={"gender": "x" if number % 50 == 0 else "f", "plan": "pro"},
            features={"gender": "f", "age": number},
            extra={"form": {"gender": "f", "city": "Rome"}, "lines": [{"gender": None}]},
        )
        for number in range(200)
    ]
    made.loader.load(Batch(predictions=predictions(*rows)))
    return made


def test_the_story_hides_it_wherever_it_stands(facts: Made) -> None:
    told = story(facts.facts, "e1", None, HIDDEN.protected_of)
    assert told["segments"] == {"gender": PROTECTED, "plan": "pro"}
    assert told["features"] == {"gender": PROTECTED, "age": 1.0}
    assert told["extra"] == {"form": {"gender": PROTECTED, "city": "Rome"}, "lines": [{"gender": None}]}
    assert story(facts.facts, "e1", None, Declarations().protected_of)["segments"] == {"gender": "f", "plan": "pro"}


def test_a_sample_lacks_it(facts: Made) -> None:
    references.make_due(facts.facts, (START + DAY).replace(tzinfo=UTC), 1)
    ask = Ask(window(timedelta(0), DAY), SERVICE, MODEL)
    assert {"age", "gender"} <= set(answer(facts.reader, "sample", ask).columns)
    hidden = Ask(window(timedelta(0), DAY), SERVICE, MODEL, protected=HIDDEN.protected_of(SERVICE))
    columns = answer(facts.reader, "sample", hidden).columns
    assert "age" in columns
    assert "gender" not in columns


@pytest.mark.parametrize("query", ["segments", "traffic", "quality"])
def test_small_counts_of_it_are_left_out(facts: Made, query: str) -> None:
    def values(*protected: str, dim: str = "gender") -> set[str]:
        ask = Ask(window(timedelta(0), DAY), SERVICE, MODEL, dim=dim, protected=frozenset(protected))
        return set(answer(facts.reader, query, ask)["value"])

    assert values() == {"f", "x"}
    assert values("gender") == {"f"}
    assert values("gender", dim="plan") == {"pro"}


def test_neither_bins_nor_moments_of_it_tell_a_single_row(facts: Made) -> None:
    """A window around one row would else read its bin, its extremes or its mean."""
    references.make_due(facts.facts, (START + DAY).replace(tzinfo=UTC), 1, 10)
    old = frozenset({"age", "gender"})

    def about(query: str, span: Window, *, hidden: bool) -> pl.DataFrame:
        rows = answer(facts.reader, query, Ask(span, SERVICE, MODEL, protected=old if hidden else frozenset()))
        return rows.filter(pl.col("subject" if query == "audit" else "feature").is_in(list(old)))

    whole = window(timedelta(0), DAY)
    late = event(ts=START + DAY + timedelta(hours=1), prediction=True, features={"gender": "z", "age": 99})
    facts.loader.load(Batch(predictions=predictions(late)))
    one = window(DAY, 2 * DAY)
    for query in ("histogram", "unseen", "features", "audit"):
        assert about(query, one, hidden=False).height > 0, query
        told = about(query, one, hidden=True)
        assert told.height == 0 or query == "histogram", query
        assert told.height == 0 or told["n"].min() >= FEWEST_OF_GROUP, query
    shown = about("features", whole, hidden=True).sort("feature")
    assert shown["rows"].to_list() == [200, 200]
    assert shown["min"].to_list() == shown["max"].to_list() == [None, None]


def test_without_a_service_what_any_system_protects_is_hidden() -> None:
    assert HIDDEN.protected_of(None) == {"gender"}
    assert HIDDEN.protected_of("other") == frozenset()


def test_outcomes_of_a_narrow_window_do_not_tell_whose_they_are(facts: Made) -> None:
    """Predictions are counted by the hour, outcomes to the second: a window may hold one outcome of many."""
    hour = timedelta(hours=1)
    facts.outcomes(*(outcome(f"e{number}", True, START + timedelta(minutes=number)) for number in range(130)))

    def known(start: timedelta, end: timedelta, *protected: str) -> list[tuple[str, int | None, int | None]]:
        ask = Ask(window(start, end), SERVICE, MODEL, dim="gender", protected=frozenset(protected))
        return answer(facts.reader, "quality", ask).select("value", "known", "correct").rows()

    one = (2 * hour, 2 * hour + timedelta(seconds=1))
    assert known(*one) == [("f", 1, 1), ("x", 0, 0)]
    assert known(*one, "gender") == []
    assert known(hour - timedelta(seconds=30), 2 * hour + timedelta(minutes=5), "gender") == [("f", 59, 59)]
    assert known(2 * hour, 3 * hour) == [("f", 10, 10), ("x", 0, 0)]
    assert known(2 * hour, 3 * hour, "gender") == [("f", None, None)], "ten are few"


def test_a_split_does_not_tell_whose_row_a_narrow_window_holds(facts: Made) -> None:
    references.make_due(facts.facts, (START + DAY).replace(tzinfo=UTC), 1, 10)
    late = [
        event(id=f"l{number}", ts=START + DAY + timedelta(hours=number), prediction=True, segments={"gender": "f"})
        for number in range(3)
    ]
    facts.loader.load(Batch(predictions=predictions(*late)))
    ids = [f"e{number}" for number in range(200)] + [f"l{number}" for number in range(3)]
    facts.outcomes(*(outcome(one, True, START + 2 * DAY) for one in ids))
    span = window(DAY, DAY + timedelta(minutes=1))
    ask = Ask(span, SERVICE, MODEL, as_of=(START + 3 * DAY).replace(tzinfo=UTC))
    told = answer(facts.reader, "split", ask)
    assert told.filter(dim="gender", value="f")["n"].to_list() == [1]
    assert answer(facts.reader, "split", replace(ask, protected=frozenset({"gender"}))).filter(dim="gender").height == 0


def test_the_ends_of_the_bins_of_it_are_not_told(facts: Made) -> None:
    """The first bin begins at the smallest value of the reference, the last one ends at the greatest."""
    more = [event(ts=START + timedelta(hours=5), features={"age": float(n % 7)}) for n in range(700)]
    facts.loader.load(Batch(predictions=predictions(*more)))
    references.make_due(facts.facts, (START + DAY).replace(tzinfo=UTC), 1, 10)
    ask = Ask(window(timedelta(0), DAY), SERVICE, MODEL)
    bins = answer(facts.reader, "histogram", ask).filter(feature="age")
    low, high = bins["lower"].min(), bins["upper"].max()
    assert (low, high) == (0.0, pytest.approx(199.0))
    hidden = answer(facts.reader, "histogram", replace(ask, protected=frozenset({"age"}))).filter(feature="age")
    assert hidden.height > 0
    assert not {low, high} & {*hidden["lower"], *hidden["upper"]}

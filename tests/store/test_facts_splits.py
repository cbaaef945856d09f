"""The split of the error as it is read from the facts, and asked for by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import pytest
from store.facts_made import DAY, HOUR, MINUTE, START, Made, event, outcome, window

from watchkeeper.store.facts.queries import Ask, answer
from watchkeeper.store.facts.references import make_due
from watchkeeper.store.facts.splits import MOST, value_splits
from watchkeeper.store.split import ranked

ASK = Ask(window(4 * DAY, 6 * DAY), service="shop", model="ranker", as_of=(START + 8 * DAY).replace(tzinfo=UTC))


def traffic(made: Made, wrong: dict[int, tuple[str, ...]], values: int = 3, rows: int = 120) -> None:
    """Give six days; of each segment every tenth is wrong, and from a day on every second of those that are named."""
    for day in range(6):
        worse = {value for since, named in wrong.items() if day >= since for value in named}
        events, outcomes = [], []
        for n in range(rows):
            value, number = f"s{n % values}", n // values
            bad = number % (2 if value in worse else 10) == 0
            at = START + day * DAY + n * 10 * MINUTE
            events.append(event(id=f"p{day}-{n}", ts=at, prediction=True, segments={"d": value, "e": "only"}))
            outcomes.append(outcome(f"p{day}-{n}", not bad, at + DAY))
        made.load(*events)
        made.outcomes(*outcomes)
    make_due(made.facts, (START + 3 * DAY).replace(tzinfo=UTC), 3, 10)


@pytest.fixture(scope="module")
def worse() -> Made:
    made = Made(now=START + 9 * DAY)
    traffic(made, {4: ("s1",)})
    return made


def test_every_segment_column_sums_to_the_same_total(worse: Made) -> None:
    rows = answer(worse.reader, "split", ASK)
    for column in ("d", "e"):
        of_column = rows.filter(dim=column)
        assert (of_column["mix"] + of_column["inside"]).sum() == pytest.approx(0.4 / 3, abs=1e-9)
        assert (of_column["reference_n"].sum(), of_column["n"].sum()) == (360, 240)
    assert rows["total"].to_list() == pytest.approx([0.4 / 3] * 4, abs=1e-9)


def test_the_segment_that_got_worse_comes_first(worse: Made) -> None:
    first = answer(worse.reader, "split", ASK).row(0, named=True)
    assert (first["dim"], first["value"], first["cause"], first["metric"]) == ("d", "s1", "inside", "error_rate")
    assert (first["reference_rate"], first["rate"]) == (pytest.approx(0.1), pytest.approx(0.5))
    assert first["inside_lower"] < 0.4 / 3 < first["inside_upper"]


def test_what_was_not_known_then_is_in_no_number(worse: Made) -> None:
    early = replace(ASK, as_of=(START + 5 * DAY + 2 * HOUR).replace(tzinfo=UTC))
    rows = answer(worse.reader, "split", early)
    assert 0 < rows.filter(dim="d")["n"].sum() < 120


def test_of_a_window_only_what_is_after_the_reference_counts(worse: Made) -> None:
    whole = answer(worse.reader, "split", replace(ASK, window=window(0 * DAY, 6 * DAY)))
    after = answer(worse.reader, "split", replace(ASK, window=window(3 * DAY, 6 * DAY)))
    assert whole.equals(after)
    assert answer(worse.reader, "split", replace(ASK, window=window(0 * DAY, 2 * DAY))).height == 0


def test_thin_values_are_taken_together() -> None:
    made = Made(now=START + 9 * DAY)
    traffic(made, {}, values=60, rows=140)
    rows = answer(made.reader, "split", ASK).filter(dim="d")
    assert rows.height <= MOST + 1
    assert rows["value"].to_list() == ["(other)"]
    assert rows["n"].sum() == 280


def test_numbers_are_split_by_their_mean_absolute_error() -> None:
    made = Made(now=START + 9 * DAY)
    for day in range(6):
        ids = [(f"p{day}-{n}", START + day * DAY + n * MINUTE, f"s{n % 2}") for n in range(100)]
        made.load(*(event(id=i, ts=at, prediction=10.0, segments={"d": value}) for i, at, value in ids))
        off = {"s0": 1.0, "s1": 3.0 if day >= 4 else 1.5}
        made.outcomes(*(outcome(i, 10.0 + off[value] * (1 + n % 3), at + DAY) for n, (i, at, value) in enumerate(ids)))
    make_due(made.facts, (START + 3 * DAY).replace(tzinfo=UTC), 3, 10)
    rows = answer(made.reader, "split", ASK)
    assert rows["metric"].unique().to_list() == ["mean_absolute_error"]
    assert (rows["value"][0], rows["cause"][0]) == ("s1", "inside")
    assert (rows["mix"] + rows["inside"]).sum() == pytest.approx(rows["total"][0], abs=1e-9)


def test_without_outcomes_or_segments_there_is_nothing_to_split() -> None:
    made = Made(now=START + 9 * DAY)
    for day in range(6):
        made.load(*(event(ts=START + day * DAY + n * MINUTE, features={"x": 1.0}) for n in range(20)))
    make_due(made.facts, (START + 3 * DAY).replace(tzinfo=UTC), 3, 10)
    assert answer(made.reader, "split", ASK).height == 0


WORTH = ({"false_positive": -30.0}, -30.0), ({"wrong": -5.0, "correct": 1.0}, -6.0)


@pytest.mark.parametrize(("values", "change"), WORTH)
def test_what_a_decision_is_worth_is_split_too(worse: Made, values: dict[str, float], change: float) -> None:
    spans = window(0 * DAY, 3 * DAY), window(4 * DAY, 6 * DAY)
    found = value_splits(worse.facts, ("shop", "ranker"), spans, (START + 8 * DAY).replace(tzinfo=UTC), values)
    for one in found:
        assert one.total == pytest.approx(change * 0.4 / 3, abs=1e-9)
        assert one.mix + one.inside == pytest.approx(one.total, abs=1e-9)
    assert ranked(found)[0][1].value == "s1"
    assert value_splits(worse.facts, ("shop", "ranker"), spans, START.replace(tzinfo=UTC), {}) == []

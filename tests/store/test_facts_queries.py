"""Every named query, asked of an empty store and of a full one; and the story of one decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

import polars as pl
import pytest
from store.facts_made import DAY, HOUR, MINUTE, START, WEEK, Made, event, outcome, times, window

from watchkeeper.schemas.errors import InputError, NotFound
from watchkeeper.store.facts.queries import QUERIES, Ask, answer
from watchkeeper.store.facts.readings import READING_COLUMNS, write
from watchkeeper.store.facts.references import make_due
from watchkeeper.store.facts.story import story

ASK = Ask(WEEK, service="shop", model="ranker", dim="d", step=DAY)
EVERY = pytest.mark.parametrize("name", sorted(QUERIES))
FIXED = pytest.mark.parametrize("name", sorted(QUERIES.keys() - {"sample"}))
"""The columns of a sample are the model's own features."""


@pytest.fixture(scope="module")
def full() -> Made:
    made = Made(now=START + 6 * DAY)
    for day in range(6):
        made.load(
            *(
                event(
                    id=f"p{day}-{n}",
                    ts=START + day * DAY + n * HOUR,
                    model_version=f"v{day // 3}",
                    provider="lab",
                    prediction=bool(n % 2),
                    score=n / 20,
                    latency_ms=100.0 + n,
                    tokens_input=10,
                    cost=0.5 if n % 2 else None,
                    status="error" if n == 3 else "ok",
                    segments={"d": f"s{n % 3}"},
                    trace_id=f"t{day}-{n}",
                    features={"x": float(n), "c": "new" if (day, n) == (5, 0) else f"c{n % 4}"},
                )
                for n in range(20)
            ),
            event(ts=START + day * DAY, model="other"),
            event(ts=START + day * DAY, service="bare", model="idle"),
        )
    made.outcomes(*(outcome(f"p{d}-{n}", True, START + (d + 1) * DAY) for d in range(6) for n in range(20)))
    make_due(made.facts, (START + 2 * DAY).replace(tzinfo=UTC), 2, 10)
    write(made.facts, reading(START + DAY))
    change = pl.DataFrame({"kind": "deploy", "title": "9", "service": "shop"})
    gpu = pl.DataFrame({"uuid": "G", "utilization": [0.5]})
    made.load(changes=change.with_columns(times(START)), gpus=gpu.with_columns(times(START)))
    return made


def reading(as_of: object) -> pl.DataFrame:
    row = {"analyzer": "a", "metric": "m", "service": "shop", "model": "ranker", "subject": "s", "value": 1.0}
    row |= {"window_start": START, "window_end": as_of, "as_of": as_of}
    return pl.DataFrame([row], schema_overrides={n: t for n, t in READING_COLUMNS.items() if n in row})


@FIXED
def test_an_empty_store_has_the_columns_of_a_full_one(full: Made, name: str) -> None:
    empty, some = answer(Made().reader, name, ASK), answer(full.reader, name, ASK)
    assert empty.height == 0
    assert some.height > 0
    assert empty.columns == some.columns


@FIXED
def test_the_types_of_its_columns_do_not_depend_on_the_rows(full: Made, name: str) -> None:
    empty, some = answer(Made().reader, name, ASK).schema, answer(full.reader, name, ASK).schema
    assert dict(empty) == dict(some)


@EVERY
def test_the_same_question_has_the_same_answer(full: Made, name: str) -> None:
    assert answer(full.reader, name, ASK).equals(answer(full.reader, name, ASK))


@EVERY
def test_a_window_of_no_length_is_no_error(full: Made, name: str) -> None:
    nothing = replace(ASK, window=window(DAY, DAY))
    assert answer(full.reader, name, nothing).columns == answer(full.reader, name, ASK).columns


@EVERY
def test_strange_names_find_nothing_and_break_nothing(full: Made, name: str) -> None:
    odd = "'; DROP TABLE predictions; --\0é"
    for ask in (replace(ASK, service=odd), replace(ASK, model=odd), replace(ASK, dim=odd, feature=odd, metric=odd)):
        answer(full.reader, name, ask)
    assert full.value("SELECT count(*) FROM predictions") == 6 * 22


def test_an_unknown_query_is_named_with_those_that_are_known(full: Made) -> None:
    with pytest.raises(NotFound, match=f"there is no query 'nope'; known: {', '.join(sorted(QUERIES))}"):
        answer(full.reader, "nope", ASK)


@pytest.mark.parametrize("name", ["quality", "histogram", "features"])
@pytest.mark.parametrize("lacking", ["service", "model"])
def test_a_query_about_one_model_says_what_it_lacks(full: Made, name: str, lacking: str) -> None:
    with pytest.raises(InputError, match="give service and model"):
        answer(full.reader, name, replace(ASK, **{lacking: None}))


@pytest.mark.parametrize("name", [name for name, query in QUERIES.items() if "step" in query.parameters])
@pytest.mark.parametrize("step", [timedelta(0), timedelta(microseconds=1), timedelta(seconds=59)])
def test_a_step_under_a_minute_is_refused(full: Made, name: str, step: timedelta) -> None:
    with pytest.raises(InputError, match="step is under a minute"):
        answer(full.reader, name, replace(ASK, step=step))


def test_too_many_steps_are_refused(full: Made) -> None:
    with pytest.raises(InputError, match="over 5000 steps: give a longer step or a shorter window"):
        answer(full.reader, "traffic", replace(ASK, step=MINUTE))


def test_overview_tells_of_every_model_and_of_one(full: Made) -> None:
    every = answer(full.reader, "overview", replace(ASK, service=None, model=None))
    names = [("bare", "idle"), ("shop", "other"), ("shop", "ranker")]
    assert every.select("service", "model").rows() == names
    [row] = answer(full.reader, "overview", ASK).to_dicts()
    told = {name: row[name] for name in ("model_version", "requests", "errors", "tokens_input", "cost", "provider")}
    assert told == {
        "model_version": "v1",
        "requests": 120,
        "errors": 6,
        "tokens_input": 1200,
        "cost": 30.0,
        "provider": "lab",
    }
    assert row["latency_p50_ms"] == pytest.approx(109, rel=0.02)
    assert row["latency_p99_ms"] == pytest.approx(119, rel=0.02)
    idle = every.filter(model="idle").to_dicts()[0]
    assert (idle["cost"], idle["latency_p50_ms"]) == (None, None), "what nobody measured is unknown, not zero"


def test_overview_does_not_know_the_future(full: Made) -> None:
    [row] = answer(full.reader, "overview", replace(ASK, window=window(0 * DAY, 2 * DAY))).to_dicts()
    assert (row["requests"], row["model_version"]) == (40, "v0")


def test_a_model_that_was_silent_in_the_window_is_still_listed(full: Made) -> None:
    later = answer(full.reader, "overview", replace(ASK, window=window(30 * DAY, 31 * DAY)))
    assert later.select("service", "model", "requests").rows() == [("shop", "ranker", None)]


def test_traffic_by_step(full: Made) -> None:
    rows = answer(full.reader, "traffic", replace(ASK, dim="", step=2 * DAY))
    assert rows["requests"].sum() == 120
    assert (rows["latency_mean_ms"] - 109.5).abs().max() < 1e-9
    assert rows["latency_p95_ms"].null_count() == 0


def test_segments_are_sorted_by_what_they_sent(full: Made) -> None:
    rows = answer(full.reader, "segments", ASK)
    assert rows.select("value", "requests", "errors").rows() == [("s0", 42, 6), ("s1", 42, 0), ("s2", 36, 0)]


def test_quality_is_as_known_at_the_end_of_the_window(full: Made) -> None:
    early = answer(full.reader, "quality", replace(ASK, dim="", window=window(0 * DAY, 3 * DAY)))
    assert early["known"].to_list() == [20, 20, 20]
    earlier = answer(full.reader, "quality", replace(ASK, dim="", window=window(0 * DAY, 2 * DAY + 23 * HOUR)))
    assert earlier["known"].to_list() == [20, 20, 0]


def test_histogram_of_one_feature_and_of_all(full: Made) -> None:
    assert answer(full.reader, "histogram", ASK)["feature"].unique().sort().to_list() == [
        "c",
        "prediction",
        "score",
        "x",
    ]
    one = answer(full.reader, "histogram", replace(ASK, feature="x"))
    assert one["feature"].unique().to_list() == ["x"]
    assert one["n"].sum() == 120
    assert one["reference_n"].sum() == 40
    inside = one.filter((pl.col("bin") > 0) & pl.col("upper").is_not_null())
    assert (inside["lower"] < inside["upper"]).all()


def test_the_same_reading_again_changes_nothing(full: Made) -> None:
    write(full.facts, reading(START + DAY))
    assert answer(full.reader, "readings", ASK).height == 1
    for found, ask in ((1, replace(ASK, metric="m", subject="s")), (0, replace(ASK, metric="other"))):
        assert answer(full.reader, "readings", ask).height == found


def test_a_story_tells_everything() -> None:
    made = Made()
    deploy = pl.DataFrame({"kind": "deploy", "title": ["before", "long ago", "after"], "service": "shop"})
    made.load(
        event(id="p", prediction=True, features={"x": 1}, segments={"d": "v"}, extra={"note": [1]}),
        changes=deploy.with_columns(times(START - DAY, START - 30 * DAY, START + DAY)),
    )
    made.outcomes(outcome("p", False, START + DAY), outcome("p", True, START + 2 * DAY))
    review = pl.DataFrame({"prediction_id": "p", "decision": ["approved"], "service": "shop"})
    made.load(reviews=review.with_columns(times(START + HOUR)))
    told = story(made.facts, "p")
    assert (told["features"], told["segments"], told["extra"]) == ({"x": 1.0}, {"d": "v"}, {"note": [1]})
    assert told["prediction"]["prediction"] == "true"
    assert [row["value"] for row in told["outcomes"]] == ["false", "true"]
    assert [(row["value"], row["correct"]) for row in told["matched"]] == [("true", True)]
    assert [row["decision"] for row in told["reviews"]] == ["approved"]
    assert [row["title"] for row in told["changes_before"]] == ["before"]


def test_a_story_of_a_bare_event_has_empty_parts() -> None:
    made = Made()
    made.load(event(id="p"))
    told = story(made.facts, "p")
    assert {name: told[name] for name in told if name != "prediction"} == {
        "features": {},
        "segments": {},
        "extra": None,
        "outcomes": [],
        "matched": [],
        "reviews": [],
        "changes_before": [],
    }


def test_of_an_id_that_never_came_there_is_no_story() -> None:
    with pytest.raises(NotFound, match="no prediction with id 'ghost' is stored: it was never sent, was rejected, or"):
        story(Made().facts, "ghost")

"""Features become typed columns; what does not fit costs no event, and is counted."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store.facts_made import HOUR, PROPERTY, START, Made, event

from watchkeeper.store.facts.features import MAX_FEATURES, MAX_SEGMENTS, OVERFLOW
from watchkeeper.store.facts.rollups import MAX_SEGMENT_VALUES, OTHER
from watchkeeper.store.facts.story import story


def counted(made: Made, feature: str) -> tuple[object, ...]:
    return made.rows(
        f"""SELECT sum(total)::INT, sum(missing)::INT, sum(nan)::INT, sum(infinite)::INT, sum(mismatched)::INT
            FROM feature_hour WHERE feature = '{feature}'"""
    )[0]


def columns(made: Made, role: str = "feature") -> dict[str, str]:
    return dict(made.rows(f"SELECT name, kind FROM feature_columns WHERE role = '{role}' ORDER BY name"))


@pytest.mark.parametrize(
    ("first", "kind", "column"),
    [
        (3, "numeric", 3.0),
        (2.5, "numeric", 2.5),
        (2**70, "numeric", 2.0**70),
        (10**400, "numeric", None),
        ("text", "category", "text"),
        ("", "category", ""),
        (True, "category", "true"),
        (False, "category", "false"),
    ],
)
def test_the_first_value_decides_the_kind(first: object, kind: str, column: object) -> None:
    made = Made()
    made.load(event(features={"x": None}), event(features={"x": first}))
    assert columns(made) == {"x": kind}
    assert made.rows("SELECT f_x FROM features_1 ORDER BY 1 NULLS LAST")[0] == (column,)


def test_a_value_of_another_type_is_kept_aside_and_counted() -> None:
    made = Made()
    made.load(event(features={"n": 1, "c": "a"}))
    made.load(
        event(id="wrong", features={"n": "seven", "c": 7}, extra={"more": 1}),
        event(id="nested", features={"n": [1, 2], "c": {"k": None}}),
        event(features={"n": True, "c": True}),
    )
    assert counted(made, "n") == (4, 0, 0, 0, 2)
    assert counted(made, "c") == (4, 0, 0, 0, 2)
    assert made.rows("SELECT f_n, f_c FROM features_1 ORDER BY 1 NULLS LAST, 2 NULLS LAST") == [
        (1.0, "a"),
        (1.0, "true"),
        (None, "7"),
        (None, None),
    ]
    assert story(made.facts, "wrong")["extra"] == {"more": 1, "n": "seven", "c": 7}
    assert story(made.facts, "nested")["extra"] == {"n": [1, 2], "c": {"k": None}}


def test_infinite_nan_null_and_absent_are_told_apart() -> None:
    made = Made()
    made.load(
        *(event(features={"x": x}) for x in (1.0, 3.0, math.inf, -math.inf, 1e400, math.nan, None)),
        event(features={}),
        event(),
    )
    assert counted(made, "x") == (9, 3, 1, 3, 0)
    low, high, total, squares = made.rows("SELECT min, max, sum, sumsq FROM feature_hour")[0]
    assert (low, high, total, squares) == (1.0, 3.0, 4.0, 10.0)
    stored = [row[0] for row in made.rows("SELECT f_x FROM features_1")]
    assert sorted(x for x in stored if x is not None) == [1.0, 3.0]
    assert len(stored) == 9


def test_an_hour_without_a_finite_value_has_no_range() -> None:
    made = Made()
    made.load(event(features={"x": 1.0}), event(ts=START + HOUR, features={"x": None}))
    assert made.rows("SELECT min, max, sum FROM feature_hour ORDER BY bucket") == [(1.0, 1.0, 1.0), (None, None, 0.0)]


def test_a_square_too_great_for_a_float_is_no_error() -> None:
    made = Made()
    made.load(event(features={"x": 1e200}))
    assert made.rows("SELECT sum, sumsq FROM feature_hour") == [(1e200, math.inf)]


def test_names_that_differ_in_case_alone_are_two_features() -> None:
    made = Made()
    made.load(event(id="a", features={"Age": 40, "age": "old"}, segments={"Tier": "x", "tier": "y"}))
    assert columns(made) == {"Age": "numeric", "age": "category"}
    told = story(made.facts, "a")
    assert told["features"] == {"Age": 40.0, "age": "old"}
    assert told["segments"] == {"Tier": "x", "tier": "y"}


@pytest.mark.parametrize("names", [("Age", "age"), ("age", "Age"), ("É", "é"), ("ß", "SS"), ("straße", "STRASSE")])
def test_they_may_come_one_after_the_other(names: tuple[str, str]) -> None:
    made = Made()
    for number, name in enumerate(names):
        made.load(event(id=name, ts=START + number * HOUR, features={name: float(number)}))
    assert [story(made.facts, name)["features"][name] for name in names] == [0.0, 1.0]
    assert set(columns(made)) == set(names)


def test_names_that_look_like_our_own_disturb_nothing() -> None:
    made = Made()
    features = {"id": 1.0, "ts": 2.0, "x": 3.0, "X": 4.0, "x_2": 5.0, "": 6.0, 'a"b': 7.0, "a\nb": 8.0, "a\0b": 9.0}
    made.load(event(id="odd", features=features))
    assert story(made.facts, "odd")["features"] == features


def test_a_new_feature_adds_a_column_and_changes_none() -> None:
    made = Made()
    made.load(event(id="old", features={"x": 1.0}))
    made.load(event(id="new", ts=START + HOUR, features={"x": 2.0, "y": "b"}))
    made.load(event(id="bare", ts=START + 2 * HOUR))
    assert made.rows("SELECT f_x, f_y FROM features_1 ORDER BY ts") == [(1.0, None), (2.0, "b"), (None, None)]
    assert counted(made, "y") == (2, 1, 0, 0, 0), "rows from before the feature was known are not its missing values"


def test_models_share_no_columns() -> None:
    made = Made()
    made.load(event(model="a", features={"x": 1}), event(model="b", features={"x": "text"}), event(service="other"))
    assert made.rows("SELECT service, model FROM feature_tables ORDER BY ALL") == [
        ("other", "ranker"),
        ("shop", "a"),
        ("shop", "b"),
    ]
    assert sorted(kind for (kind,) in made.rows("SELECT kind FROM feature_columns")) == ["category", "numeric"]


def test_over_300_features_the_rest_is_kept_aside_and_counted() -> None:
    made = Made()
    many = {f"f{i:04}": float(i) for i in range(MAX_FEATURES + 5)}
    made.load(event(id="many", features=many), event(features={"f0000": 1.0}))
    assert len(columns(made)) == MAX_FEATURES
    told = story(made.facts, "many")
    assert told["features"] == {name: x for name, x in many.items() if x < MAX_FEATURES}
    assert told["extra"] == {name: x for name, x in many.items() if x >= MAX_FEATURES}
    assert counted(made, OVERFLOW) == (2, 0, 0, 0, 1)
    made.load(event(id="later", ts=START + HOUR, features={"new": "text"}))
    assert story(made.facts, "later")["extra"] == {"new": "text"}
    assert counted(made, OVERFLOW) == (3, 0, 0, 0, 2)


def test_a_nested_value_is_kept_aside_under_its_name() -> None:
    made = Made()
    nested = {"list": [1, [2, None]], "object": {"a": {"b": []}}}
    made.load(event(id="n", features=nested | {"x": 1}))
    assert columns(made) == {"x": "numeric"}
    assert story(made.facts, "n")["extra"] == nested


def test_over_50_values_of_a_segment_the_rest_counts_as_other() -> None:
    made = Made()
    rows = [event(segments={"city": f"c{i}"}) for i in range(60)]
    made.load(*rows[:30])
    made.loader = made.new_loader()  # a restart forgets none of them
    made.load(*rows[30:], *(event(segments={"city": f"c{i}"}) for i in (0, 59)))
    by_value = dict(made.rows("SELECT value, sum(requests)::INT FROM traffic_hour WHERE dim = 'city' GROUP BY value"))
    assert by_value == {f"c{i}": 1 for i in range(1, MAX_SEGMENT_VALUES)} | {"c0": 2, OTHER: 11}
    assert made.value("SELECT count(DISTINCT s_city) FROM features_1") == 60, "the facts keep each value"


def test_over_20_segments_the_rest_is_kept_aside_and_not_rolled_up() -> None:
    made = Made()
    many = {f"d{i:03}": "v" for i in range(MAX_SEGMENTS + 3)}
    made.load(event(id="many", segments=many))
    made.load(event(ts=START + HOUR, segments={f"e{i}": "v" for i in range(5)}))
    assert made.value("SELECT count(DISTINCT dim) FROM traffic_hour WHERE dim <> ''") == MAX_SEGMENTS
    told = story(made.facts, "many")
    assert len(told["segments"]) == MAX_SEGMENTS
    assert told["segments"] | told["extra"] == many


def test_segments_of_every_type_have_one_text() -> None:
    made = Made()
    made.load(*(event(segments={"d": value}) for value in (1, "1", True, "true", False, None, 2**70)))
    expected = {"1": 2, "true": 2, "false": 1, str(2**70): 1}
    assert dict(made.rows("SELECT value, requests FROM traffic_hour WHERE dim = 'd'")) == expected
    assert dict(made.rows("SELECT s_d, count(*) FROM features_1 WHERE s_d IS NOT NULL GROUP BY 1")) == expected
    assert made.value("SELECT count(extra) FROM predictions") == 0


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(10**400), st.just(-(10**400))
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
FEATURES = st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=2), max_size=4)


@PROPERTY
@given(st.lists(st.lists(FEATURES, min_size=1, max_size=4), min_size=1, max_size=3))
def test_whatever_the_features_are_every_event_is_stored_and_every_value_counted(chunks: list[list[dict]]) -> None:
    made = Made()
    for number, chunk in enumerate(chunks):
        rows = [event(ts=START + number * HOUR, features=features) for features in chunk]
        assert made.load(*rows).loaded == len(chunk)
    for name, total, missing, nan, infinite, wrong in made.rows(
        """SELECT feature, sum(total)::INT, sum(missing)::INT, sum(nan)::INT, sum(infinite)::INT,
                  sum(mismatched)::INT FROM feature_hour GROUP BY feature"""
    ):
        sent = [features.get(name) for chunk in chunks for features in chunk]
        assert total <= len(sent)
        known_since = len(sent) - total
        assert all(x is None or isinstance(x, list) for x in sent[:known_since])
        assert missing + wrong <= total
        assert missing == sum(x is None for x in sent[known_since:])
        assert nan <= sum(isinstance(x, float) and math.isnan(x) for x in sent)
        assert infinite <= sum(_infinite(x) for x in sent)


def _infinite(x: object) -> bool:
    return (isinstance(x, float) and math.isinf(x)) or (isinstance(x, int) and abs(x) > 10**300)

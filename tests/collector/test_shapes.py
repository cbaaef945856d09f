"""Features as columns: whatever was sent, the quick way gives what the slow way gives."""

from __future__ import annotations

import json
from collections.abc import Mapping

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from watchkeeper.collector.shapes import MAX_LEARNED, Shapes, fields_of
from watchkeeper.schemas.events import EMPTY
from watchkeeper.store.facts.batch import Wide
from watchkeeper.store.facts.features import Kind

KINDS: Mapping[str, Kind] = {"n": "numeric", "c": "category", "odd": "numeric"}


def shapes(kinds: Mapping[str, Kind] = KINDS) -> Shapes:
    return Shapes(lambda *_: kinds)


def decode(made: Shapes, *rows: object) -> Wide:
    return made.decode("s", "m", "feature", [raw(row) for row in rows])


def raw(row: object) -> Raw:
    return row if isinstance(row, Raw) else Raw(json.dumps(row).encode())


def by_row(values: Wide, height: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [dict(values.others.get(index, {})) for index in range(height)]
    for name, column in values.columns.items():
        for index, value in enumerate(column):
            if value is not None:
                rows[index][name] = value
    return rows


def test_known_columns_come_typed() -> None:
    made = decode(shapes(), {"n": 1, "c": "x"}, {"n": None}, EMPTY, {"c": "y", "n": 2.5})
    assert {name: column.dtype for name, column in made.columns.items() if isinstance(column, pl.Series)} == {
        "n": pl.Float64,
        "c": pl.String,
        "odd": pl.Float64,
    }
    assert by_row(made, 4) == [{"n": 1.0, "c": "x"}, {}, {}, {"c": "y", "n": 2.5}]


def test_booleans_of_a_category_are_its_texts() -> None:
    made = decode(shapes(), {"c": True}, {"c": None}, {"c": False})
    assert list(made.columns["c"]) == ["true", None, "false"]
    assert list(decode(shapes(), {"c": True}, {"c": "true"}).columns["c"]) == [True, "true"], "the store tells them"


def test_nothing_sent_is_no_column() -> None:
    assert shapes().decode("s", "m", "feature", [EMPTY, None]) == Wide()


def test_after_a_value_of_another_type_the_column_keeps_what_was_sent() -> None:
    made = shapes()
    for _ in range(2):
        assert list(decode(made, {"n": 7}, {"n": "seven"}, {"n": [1]}).columns["n"]) == [7, "seven", [1]]
    assert isinstance(decode(made, {"c": "x"}).columns["c"], pl.Series)


def test_a_column_that_the_store_has_made_is_typed_from_then_on() -> None:
    kinds: dict[str, Kind] = {}
    made = Shapes(lambda *_: kinds)
    assert list(decode(made, {"x": 1}).columns["x"]) == [1]
    assert not isinstance(decode(made, {"x": 1}).columns["x"], pl.Series)
    kinds["x"] = "numeric"
    assert isinstance(decode(made, {"x": 1}).columns["x"], pl.Series)


def test_a_feature_per_user_stays_with_its_rows() -> None:
    made = shapes()
    rows = [{f"user{number}": number, "n": 1.0} for number in range(MAX_LEARNED + 100)]
    values = decode(made, *rows)
    assert len(values.columns) <= MAX_LEARNED + len(KINDS)
    assert by_row(values, len(rows)) == rows


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a\0b", "", "é", "a b", "f0"])
def test_any_name_is_a_name(name: str) -> None:
    made = shapes()
    for _ in range(2):
        assert by_row(decode(made, {name: 1, "n": 2.0}), 1) == [{name: 1, "n": 2.0}]


def test_a_number_beyond_a_float_is_infinite_and_its_neighbours_stay() -> None:
    rows = decode(shapes(), Raw(b'{"n": 1e400}'), {"n": 2.0})
    assert by_row(rows, 2) == [{"n": float("inf")}, {"n": 2.0}]


def test_null_is_no_features() -> None:
    assert by_row(decode(shapes(), Raw(b"null"), {"n": 2.0}), 2) == [{}, {"n": 2.0}]


NAMES = st.sampled_from(["n", "c", "odd", "new", 'q"', ""])
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
ROWS = st.dictionaries(NAMES, VALUES | st.lists(VALUES, max_size=2), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(ROWS, min_size=1, max_size=4), min_size=1, max_size=4))
def test_slice_by_slice_nothing_is_lost_or_changed(slices: list[list[dict[str, object]]]) -> None:
    made = shapes()
    for rows in slices:
        texts = [Raw(json.dumps(row).encode()) for row in rows]
        values = made.decode("s", "m", "feature", texts)
        sent = [{name: x for name, x in (fields_of(text) or {}).items() if x is not None} for text in texts]
        for got, row in zip(by_row(values, len(rows)), sent, strict=True):
            assert got.keys() == row.keys()
            for name, value in row.items():
                as_column = values.columns.get(name)
                if isinstance(as_column, pl.Series) and isinstance(value, bool):
                    value = "true" if value else "false"  # noqa: PLW2901 - what the column says for it
                elif isinstance(as_column, pl.Series) and isinstance(value, int):
                    value = float(value)  # noqa: PLW2901
                assert got[name] == value

"""Slices that are joined and rows that are dropped: each value stays with its event."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.store.facts.batch import ModelRows, Predictions, Wide
from watchkeeper.store.facts.model_rows import from_rows, joined, kept

ROW = st.tuples(
    st.sampled_from(["a", "b"]),
    st.none() | st.dictionaries(st.sampled_from("xyz"), st.integers(0, 9) | st.text(max_size=1), max_size=3),
    st.none() | st.dictionaries(st.sampled_from("de"), st.text(max_size=1), max_size=2),
    st.none() | st.dictionaries(st.just("more"), st.integers(), max_size=1),
)


def made(rows: list[tuple]) -> Predictions:
    frame = pl.DataFrame({"service": ["s"] * len(rows), "model": [row[0] for row in rows]})
    return from_rows(frame, *([row[place] for row in rows] for place in (1, 2, 3)))


def told(models: list[ModelRows], height: int) -> list[tuple]:
    """Give (model, features, segments) of each row."""
    rows: list[tuple] = [()] * height
    for part in models:
        for index, position in enumerate(part.positions.tolist()):
            values = tuple(
                {name: column[index] for name, column in wide.columns.items() if column[index] is not None}
                | dict(wide.others.get(index, {}))
                for wide in (part.features, part.segments)
            )
            rows[position] = (part.model, *values)
    return rows


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(ROW, min_size=1, max_size=4), min_size=1, max_size=3), st.data())
def test_joined_and_kept(slices: list[list[tuple]], data: st.DataObject) -> None:
    rows = [row for part in slices for row in part]
    whole = joined([made(part) for part in slices])
    assert whole.frame["model"].to_list() == [row[0] for row in rows]
    assert dict(whole.extra) == {position: row[3] for position, row in enumerate(rows) if row[3]}
    expected = [(model, features or {}, segments or {}) for model, features, segments, _ in rows]
    assert told(list(whole.models), len(rows)) == expected
    keep = sorted(data.draw(st.sets(st.sampled_from(range(len(rows))), min_size=1)))
    assert told(kept(whole.models, np.asarray(keep)), len(keep)) == [expected[position] for position in keep]


def test_typed_columns_stay_typed_and_what_a_slice_lacks_is_null() -> None:
    frame = pl.DataFrame({"service": ["s"], "model": ["m"]})
    first = np.asarray([0])
    parts = [
        Predictions(frame, [ModelRows("s", "m", first, Wide(columns, others), Wide())], {})
        for columns, others in (
            ({"x": pl.Series("x", [1.0])}, {}),
            ({"y": ["y"]}, {0: {"z": 1}}),
            ({"x": pl.Series("x", [2.0])}, {}),
        )
    ]
    [rows] = joined(parts).models
    x = rows.features.columns["x"]
    assert isinstance(x, pl.Series)
    assert x.to_list() == [1.0, None, 2.0]
    assert rows.features.columns["y"] == [None, "y", None]
    assert rows.features.others == {1: {"z": 1}}

"""Whose a turned away row is: a row may be turned away for being anything at all, and is loaded all the same."""

from __future__ import annotations

import json

from collector.sent import prediction
from collector.test_loader import Bench
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.collector.otlp.turned_away import service_of

WORDS = st.sampled_from(["resourceSpans", "resource", "attributes", "key", "value", "stringValue", "service.name"])
ANYTHING = st.recursive(
    st.none() | st.integers() | WORDS,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(WORDS, parts, max_size=3),
    max_leaves=15,
)


@settings(max_examples=300)
@given(st.dictionaries(WORDS, ANYTHING, max_size=3))
def test_nothing_stops_it(row):
    assert isinstance(service_of(row), str | None)


def test_what_looks_like_a_protocol_and_is_none_blocks_nobody(tmp_path):
    bench = Bench(tmp_path)
    odd = (
        {"resourceSpans": [7]},
        {"resourceSpans": 7},
        {"resourceSpans": [{"resource": {"attributes": [{"value": 1}]}}]},
    )
    bench.send(prediction(id="good"), *(json.dumps(row).encode() for row in odd))
    bench.send(prediction(id="behind"))
    bench.load()
    assert bench.rows("SELECT id FROM predictions ORDER BY id") == [("behind",), ("good",)]
    assert bench.rows("SELECT count(*) FROM rejects") == [(3,)]

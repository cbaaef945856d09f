"""CloudEvents with anything in them: what was taken is stored, and nothing is lost."""

from __future__ import annotations

import json

import msgspec
import pytest
from collector.test_cloudevents import WAIT_US, Bench, decoded, seldon
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchkeeper.schemas.errors import InputError

LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
DATA = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["instances", "predictions", "inputs", "outputs", "name", "shape", "data", "datatype", "ndarray", "tensor",
             "values", "names", "choices", "usage", "message", "error", "status", "truth", "reward", "meta", "x"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip
ODD = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), max_size=10)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=DATA,
    part=st.sampled_from(["request", "response", "feedback"]),
    odd=st.dictionaries(
        st.sampled_from(
            ["ce-metadata", "ce-annotations", "ce-modelid", "ce-endpoint", "ce-statuscode", "ce-requestid"]
        ),
        ODD,
    ),
)
def test_whatever_a_model_server_says_becomes_sound_events(data: object, part: str, odd: dict[str, str]) -> None:
    taken, events = decoded(seldon(part) | odd, json.dumps(data).encode())
    assert taken.rows == 1
    assert events.halves or events.outcomes or events.ignored or events.rejected
    for half in events.halves:
        assert msgspec.json.decode(msgspec.json.encode(half), type=type(half)).key == half.key


@settings(max_examples=8, deadline=None, derandomize=True, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # fmt: skip
@given(bodies=st.lists(st.tuples(DATA, st.sampled_from(["request", "response", "feedback"])), min_size=1, max_size=8))
def test_whatever_was_taken_is_stored_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[tuple[object, str]]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    for number, (data, part) in enumerate(bodies):
        try:
            bench.send(seldon(part, puid=f"r{number // 2}"), json.dumps(data).encode())
        except InputError:
            continue
        if number % 3 == 0:
            bench.load()
    bench.load()
    bench.now_us += WAIT_US + 1
    bench.pump.tell_alone()
    assert bench.rows("SELECT reason FROM rejects WHERE reason LIKE 'cannot be stored%'") == []
    fates = bench.fates()
    halves = sum(part != "feedback" for _, part in bodies)
    told = fates.get("no_response", 0) + fates.get("no_request", 0) + fates.get("duplicate", 0)
    assert 2 * fates.get("joined", 0) + told == halves
    bench.close()

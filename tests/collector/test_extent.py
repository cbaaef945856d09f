"""Caps: how deep, how long and how many, each with a clear reject, and never a good row lost."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from collector.sent import ndjson, prediction

from watchkeeper.collector.decoders.events import EventDecoder
from watchkeeper.collector.extent import MAX_DEPTH, MAX_STRING, exceeded, may_exceed
from watchkeeper.schemas.errors import TooLarge

DECODER = EventDecoder("predictions")


def nested(depth: int) -> dict:
    """An event that is so deep: itself and its features are two of them."""
    value: object = 1
    for _ in range(depth - 2):
        value = [value]
    return {"features": {"x": value}}


def body(encoding: str, *rows: bytes) -> bytes:
    return ndjson(*rows) if encoding == "ndjson" else b"[" + b",".join(rows) + b"]"


LONG = {
    "a feature": {"features": {"x": "a" * (MAX_STRING + 1)}},
    "a name": {"features": {"a" * (MAX_STRING + 1): 1}},
    "extra": {"extra": {"a": ["b" * (MAX_STRING + 1)]}},
    "a field that the schema lacks": {"more": "ü" * (MAX_STRING + 1)},
    "escapes": {"prediction": '"\n' * MAX_STRING},
}


@pytest.mark.parametrize("encoding", ["ndjson", "json"])
@pytest.mark.parametrize("parts", LONG.values(), ids=LONG)
def test_a_text_that_is_too_long_is_one_reject(encoding: str, parts: dict) -> None:
    good = prediction(id="good", features={"x": "a" * MAX_STRING})
    decoded = DECODER.decode(body(encoding, good, prediction(**parts)), encoding, 10)
    assert [event.id for event in decoded.events] == ["good"]
    assert [(r.index, r.reason) for r in decoded.rejected] == [(1, "a text of over 100000 characters")]
    assert decoded.body == body(encoding, good)


@pytest.mark.parametrize("encoding", ["ndjson", "json"])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500])
def test_what_is_nested_too_deeply_is_one_reject(encoding: str, depth: int) -> None:
    good = prediction(id="good", **nested(MAX_DEPTH))
    decoded = DECODER.decode(body(encoding, prediction(**nested(depth)), good), encoding, 10)
    assert [event.id for event in decoded.events] == ["good"]
    assert [(r.index, r.reason) for r in decoded.rejected] == [(0, "nested over 64 deep")]


def test_many_objects_side_by_side_are_not_deep() -> None:
    checks = [{"name": str(n)} for n in range(50)]
    extra = [{"n": n} for n in range(50)]
    row = prediction(checks=checks, extra={"list": extra}).replace(b'"service"', b'"big": 1e400, "service"')
    assert may_exceed([row])
    assert exceeded(row) is None
    assert len(DECODER.decode(row, "ndjson", 10).events) == 1


@pytest.mark.parametrize("item", [b"1", b"{}", b"[]", b'""', b'{"id":"a","service":"s"}'])
def test_an_array_of_far_too_many_parts_is_refused_before_it_is_decoded(item: bytes) -> None:
    array = b"[" + b",".join([item] * 200_000) + b"]"
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match=r"over 100 rows \(ingest.max_rows\)"):
            DECODER.decode(array, "json", 100)
        assert tracemalloc.get_traced_memory()[1] < len(array) / 2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe\x00", b"[[[[", b"{" * 100_000, b'"text"', b"null", b"\x00", b'{"id":', b"[" * 100_000 + b"]" * 100_000],
)
def test_a_line_of_garbage_costs_its_neighbours_nothing(line: bytes) -> None:
    good = [prediction(), prediction()]
    decoded = DECODER.decode(ndjson(good[0], line, good[1]), "ndjson", 10)
    assert [r.index for r in decoded.rejected] == [1]
    assert decoded.rejected[0].raw == line
    assert decoded.rejected[0].reason
    assert decoded.body == ndjson(*good)
    assert json.loads(decoded.body.splitlines()[0])["service"] == "shop"

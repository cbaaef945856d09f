"""A good row is kept whatever stands beside it; a bad one is named by index, field and reason."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress

import msgspec
import pytest
from collector.sent import TS, ndjson, prediction
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.collector.decoders.events import Decoded, EventDecoder, problem, suspicious
from watchkeeper.schemas.errors import InputError, NotDecodable, TooLarge
from watchkeeper.schemas.events import KINDS, Prediction

DECODER = EventDecoder("predictions")
GOOD = b'{"id":"good","service":"shop"}'
MANY = settings(max_examples=300, deadline=None, derandomize=True, database=None)
ANY_KIND = pytest.mark.parametrize("kind", sorted(KINDS))


def decode(body: bytes, encoding: str = "ndjson", limit: int = 1000) -> Decoded:
    return DECODER.decode(body, encoding, limit)


def row(**fields: object) -> bytes:
    return json.dumps({"id": "a", "service": "s"} | fields).encode()


def raw(text: str) -> bytes:
    return b'{"id":"a","service":"s",' + text.encode() + b"}"


BAD = {
    "no JSON": (b"hello", "", "not valid JSON"),
    "cut off": (b'{"id":"a","serv', "", "not valid JSON"),
    "two on a line": (GOOD + GOOD, "", "trailing characters"),
    "an array": (b"[" + GOOD + b"]", "", "expected `object`, got `array`"),
    "null": (b"null", "", "expected `object`, got `null`"),
    "NaN": (raw('"score":NaN'), "", "NaN and Infinity are not JSON: send null"),
    "Infinity": (raw('"score":-Infinity'), "", "not valid JSON"),
    "NaN in a feature": (raw('"features":{"x":NaN}'), "", "not valid JSON"),
    "1e400": (raw('"score":1e400'), "score", "number out of range"),
    "an integer of 5000 digits": (raw('"prediction":' + "9" * 5000), "prediction", "out of range"),
    "a count too great": (row(tokens={"input": 2**53 + 1}), "tokens.input", "<= 9007199254740992"),
    "a negative latency": (row(latency_ms=-1), "latency_ms", ">= 0.0"),
    "a wrong type": (row(latency_ms="12"), "latency_ms", "expected `float | null`, got `str`"),
    "a text for an object": (row(tokens="12"), "tokens", "expected `object | null`, got `str`"),
    "a word that is none of the words": (
        row(status="fine"),
        "status",
        "'fine' is no value that is known: send 'error', 'ok' or 'unknown'",
    ),
    "a long word that is none of the words": (row(status="é" * 400), "status", "send 'error', 'ok' or 'unknown'"),
    "a word in a list": (row(checks=[{"name": "a", "passed": True, "kind": "tone"}]), "checks[0].kind", "'security'"),
    "no id": (b'{"service":"s"}', "id", "missing required field `id`"),
    "no service": (b'{"id":"a"}', "service", "missing required field `service`"),
    "an empty id": (row(id=""), "id", "length >= 1"),
    "a long id": (row(id="x" * 201), "id", "length <= 200"),
    "NUL in the id": (row(id="a\0b"), "id", "no control characters"),
    "a number for an id": (row(id=7), "id", "expected `str`, got `int`"),
    "a lone surrogate": (raw('"system":"\\ud800"'), "", "not valid JSON"),
    "a lone surrogate in a feature": (raw('"features":{"x":"\\udfff"}'), "", "not valid JSON"),
    "invalid UTF-8": (b'{"id":"\xff","service":"s"}', "", "not UTF-8 at byte"),
    "invalid UTF-8 in a feature": (b'{"id":"a","service":"s","features":{"x":"\xff"}}', "", "not UTF-8 at byte 41"),
    "invalid UTF-8 in an unknown field": (b'{"id":"a","service":"s","zz":"\xc3("}', "", "not UTF-8"),
    "100 000 nested arrays": (b"[" * 100_000 + b"]" * 100_000, "", "expected `object`, got `array`"),
    "as many in a feature": (raw('"features":{"x":' + "[" * 100_000 + "]" * 100_000 + "}"), "", "nested too deeply"),
    "a time that is none": (row(ts="yesterday"), "ts", "'yesterday' is not an ISO 8601 time"),
    "a number as text for a time": (row(ts=str(TS)), "ts", "not an ISO 8601 time"),
    "a time before 1973": (row(ts=-TS), "ts", "not a time between 1973 and 2198"),
    "a time of 400 digits": (raw('"ts":1' + "0" * 400), "ts", "not a time between"),
    "a truth for a time": (row(ts=True), "ts", "got `bool`"),
    "a second time": (row(used_at=1), "used_at", "not a time between"),
    "features as an array": (row(features=[1]), "features", "expected an object of names and values"),
    "features as a text": (row(features="x"), "features", "expected an object of names and values"),
    "extra as a number": (row(extra=7), "extra", "expected an object of names and values"),
    "a segment that is a float": (row(segments={"d": 1.5}), "segments[...]", "got `float`"),
    "a check without a name": (row(checks=[{"name": "a"}, {}]), "checks[1].name", "missing required field `name`"),
    "currency in small letters": (row(currency="usd"), "currency", "matching regex"),
}


@pytest.mark.parametrize(("bad", "field", "reason"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("before", [0, 3])
def test_one_bad_row_is_named_and_the_good_ones_are_kept(bad: bytes, field: str, reason: str, before: int) -> None:
    decoded = decode(ndjson(*[GOOD] * before, bad, GOOD, GOOD))
    assert [event.id for event in decoded.events] == ["good"] * (before + 2)
    [rejected] = decoded.rejected
    assert (rejected.index, rejected.field, rejected.raw) == (before, field, bad)
    assert reason in rejected.reason
    assert DECODER.stored(decoded.body, decoded.encoding) == list(decoded.events)


NO_JSON = {"no JSON", "cut off", "NaN", "Infinity", "NaN in a feature", "a lone surrogate", "two on a line"}
NO_JSON |= {"a lone surrogate in a feature", "100 000 nested arrays", "as many in a feature"}


@pytest.mark.parametrize(("bad", "field", "reason"), [BAD[name] for name in BAD if name not in NO_JSON])
def test_in_an_array_a_row_that_can_be_read_is_named_too(bad: bytes, field: str, reason: str) -> None:
    decoded = decode(b"[" + GOOD + b" ,\n" + bad + b"," + GOOD + b"]", "json")
    assert [event.id for event in decoded.events] == ["good", "good"]
    [rejected] = decoded.rejected
    assert (rejected.index, rejected.field, rejected.raw) == (1, field, bad)
    assert reason in rejected.reason
    assert DECODER.stored(decoded.body, decoded.encoding) == list(decoded.events)


@pytest.mark.parametrize("name", sorted(NO_JSON))
def test_an_array_that_is_no_json_is_refused_whole(name: str) -> None:
    with pytest.raises(NotDecodable, match="nothing was kept\\. Send NDJSON, where one bad line does not spoil"):
        decode(b"[" + GOOD + b"," + BAD[name][0] + b"]", "json")


@pytest.mark.parametrize("body", [b"", b" ", b"7", b"null", b'"text"', GOOD, b"[" + GOOD, b"[" + GOOD + b"] x"])
def test_what_is_no_array_is_no_array(body: bytes) -> None:
    with pytest.raises(NotDecodable, match="array"):
        decode(body, "json")


@pytest.mark.parametrize("body", [b"", b"\n", b"\r\n\r\n", b" \n\t\n"])
def test_an_empty_body_of_lines_holds_nothing(body: bytes) -> None:
    decoded = decode(body)
    assert (list(decoded.events), list(decoded.rejected)) == ([], [])
    assert DECODER.stored(decoded.body, decoded.encoding) == []
    assert list(decode(b"[]", "json").events) == []


@pytest.mark.parametrize("between", [b"\n", b"\r\n", b"\n\n", b"\n \r\n\n", b" \n "])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n\n"])
def test_lines_may_end_as_they_like_and_blank_ones_count_for_nothing(between: bytes, end: bytes) -> None:
    decoded = decode(between.join([GOOD] * 3) + end)
    assert (len(decoded.events), len(decoded.rejected)) == (3, 0)
    decoded = decode(between.join([GOOD, b"bad", GOOD]) + end)
    assert (len(decoded.events), [r.index for r in decoded.rejected]) == (2, [1])


def test_a_byte_order_mark_costs_no_row() -> None:
    assert len(decode(b"\xef\xbb\xbf" + GOOD + b"\n" + GOOD).events) == 2
    assert len(decode(b"\xef\xbb\xbf" + ndjson(GOOD, b"bad")).events) == 1
    assert len(decode(b"\xef\xbb\xbf[" + GOOD + b"]", "json").events) == 1


def test_an_event_over_several_lines_is_none_whatever_stands_beside_it() -> None:
    """Taken in a good batch and refused in a bad one would be worse than refused."""
    pretty = json.dumps({"id": "a", "service": "s"}, indent=1).encode()
    assert [len(decode(body).events) for body in (pretty, ndjson(GOOD, pretty))] == [0, 1]


def test_of_a_key_twice_the_last_counts() -> None:
    [event] = decode(b'{"id":"a","id":"b","service":"s","features":{"x":1},"features":{"x":2}}').events
    assert (event.id, bytes(event.features)) == ("b", b'{"x":2}')


def test_too_many_rows_are_refused_good_or_bad() -> None:
    for encoding, body in (
        ("ndjson", ndjson(*[GOOD] * 11)),
        ("ndjson", ndjson(*[b"bad"] * 11)),
        ("ndjson", b"\n\n".join([GOOD] * 10 + [b"bad"])),
        ("json", b"[" + b",".join([GOOD] * 11) + b"]"),
        ("json", b"[" + b",".join([b"1"] * 11) + b"]"),
    ):
        with pytest.raises(TooLarge, match=r"over 10 rows \(ingest\.max_rows\): send smaller batches"):
            decode(body, encoding, limit=10)
    for encoding, body in (("ndjson", b"\n\n\n".join([GOOD] * 10)), ("json", b"[" + b",".join([GOOD] * 10) + b"]")):
        assert len(decode(body, encoding, limit=10).events) == 10


@pytest.mark.parametrize("line", [b"\n", b"1\n", GOOD + b"\n"])
def test_millions_of_lines_cost_no_memory(line: bytes) -> None:
    body = line * (2**23 // len(line)) + b"bad"
    tracemalloc.start()
    try:
        with suppress(TooLarge):
            decode(body, limit=1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**21


def test_numbers_that_only_a_feature_may_hold_are_no_reason_to_refuse() -> None:
    """They are counted as infinite by the loader."""
    [event] = decode(raw('"features":{"x":1e400,"y":' + "9" * 5000 + "}")).events
    assert event.id == "a"


def test_a_count_may_be_written_as_pandas_writes_it() -> None:
    written = '"attempts":2.0,"tokens":{"input":1e3,"output":7.0},"features":{"x":1.50,"n":3.0,"big":' + "9" * 30 + "}"
    decoded = decode(row() + b"\n" + raw(written))
    assert decoded.rejected == []
    made = EventDecoder("predictions").stored(decoded.body, "ndjson")[1]
    assert (made.attempts, made.tokens.input, made.tokens.output) == (2, 1000, 7)
    assert msgspec.json.decode(made.features) == {"x": 1.5, "n": 3.0, "big": int("9" * 30)}
    half = decode(raw('"attempts":2.5')).rejected
    below = decode(raw('"attempts":0.0')).rejected
    assert [(r.field, r.reason) for r in half + below] == [
        ("attempts", "expected `int`, got `float`"),
        ("attempts", "expected `int` >= 1"),
    ]


def test_a_reason_does_not_repeat_what_was_sent_at_length() -> None:
    outcomes = EventDecoder("outcomes")
    long = json.dumps({"prediction_id": "p", "value": 1, "x" * 10_000: 1}).encode()
    [rejected] = outcomes.decode(long, "ndjson", 10).rejected
    assert rejected.reason.startswith("object contains unknown field `xxx")
    assert len(rejected.reason) <= 300
    assert len(rejected.field) <= 300


@pytest.mark.parametrize("kind", ["outcomes", "reviews", "changes"])
def test_an_unknown_field_of_another_event_is_refused_by_name(kind: str) -> None:
    needed = {
        "outcomes": {"prediction_id": "p", "value": 1},
        "reviews": {"prediction_id": "p", "decision": "approved"},
        "changes": {"kind": "deploy", "title": "1", "service": "s"},
    }[kind]
    good, bad = (json.dumps(needed | more).encode() for more in ({}, {"oucome": 2}))
    decoded = EventDecoder(kind).decode(ndjson(good, bad), "ndjson", 10)
    assert len(decoded.events) == 1
    assert [(r.index, r.field) for r in decoded.rejected] == [(1, "oucome")]


@ANY_KIND
@pytest.mark.parametrize("encoding", ["ndjson", "json"])
@settings(parent=MANY, max_examples=100)
@given(body=st.binary(max_size=200))
def test_no_bytes_raise_anything_but_our_errors(kind: str, encoding: str, body: bytes) -> None:
    with suppress(InputError):
        decoded = EventDecoder(kind).decode(body, encoding, 10)
        assert not decoded.events, "bytes that happen to be an event?"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from([*Prediction.__struct_fields__, "unknown", ""])
ROWS = st.dictionaries(NAMES, JSON | st.sampled_from([TS, str(TS), -TS, "s", {}, 1]), max_size=4)


@MANY
@given(st.lists(ROWS | st.text(max_size=10) | st.just(None), max_size=6), st.booleans())
def test_rows_of_any_kind_are_kept_or_named_each_as_if_it_were_alone(rows: list[object], valid_base: bool) -> None:
    """The fate of a row does not depend on its neighbours, and what is stored can be read again."""
    base = {"id": "a", "service": "s"} if valid_base else {}
    lines = [
        GOOD if row is None else row.encode() if isinstance(row, str) else json.dumps(base | row).encode()
        for row in rows
    ]
    lines = [line for line in lines if b"\n" not in line and line.strip()]
    decoded = decode(ndjson(*lines))
    alone = [decode(line) for line in lines]
    assert [r.index for r in decoded.rejected] == [i for i, one in enumerate(alone) if one.rejected]
    assert list(decoded.events) == [event for one in alone for event in one.events]
    assert len(decoded.events) + len(decoded.rejected) == len(lines)
    assert [(r.field, r.reason) for r in decoded.rejected] == [
        (r.field, r.reason) for one in alone for r in one.rejected
    ]
    assert DECODER.stored(decoded.body, decoded.encoding) == list(decoded.events)


@MANY
@given(ROWS)
def test_what_looks_harmless_is_harmless(row: dict[str, object]) -> None:
    """The quick check over a batch passes no event in which the slow one finds a problem."""
    try:
        event = msgspec.json.decode(json.dumps({"id": "a", "service": "s"} | row).encode(), type=Prediction)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if problem(event) is not None:
        assert suspicious([event])


def test_a_batch_that_was_made_by_hand_is_all_there() -> None:
    rows = [
        prediction(features={"x": 1.5}, segments={"d": "v"}, prediction=True, tokens={"input": 5}) for _ in range(50)
    ]
    decoded = decode(ndjson(*rows))
    assert decoded.body == ndjson(*rows)
    assert len(decoded.events) == 50
    assert decoded.events[0].tokens.input == 5

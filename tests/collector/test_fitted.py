"""Bodies that fit what the store knows: kept as columns, and those are what the slow way gives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest
from collector.sent import TS
from collector.test_loader import Bench
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.collector import chunk, fitted, framed
from watchkeeper.collector.decoders.events import OwnEvents
from watchkeeper.collector.decoding import Events, Sent, Taken
from watchkeeper.collector.inbox import Incoming, StoredBatch
from watchkeeper.collector.shapes import Shapes
from watchkeeper.collector.slices import Slices
from watchkeeper.schemas.errors import NotDecodable
from watchkeeper.store.facts.batch import PREDICTION_COLUMNS, Predictions, complete
from watchkeeper.store.facts.features import Column, FeatureTable, ModelColumns, Role, typed
from watchkeeper.store.facts.rollups import SegmentValues, segment_rows

KNOWN = ModelColumns({"n": "numeric", "c": "category", "odd": "numeric"}, {"plan": "category", "age": "category"})
TABLE = FeatureTable("shop", "m", "t")
TABLE.columns.update({("feature", name): Column(name, "feature", kind, name) for name, kind in KNOWN.features.items()})
TABLE.columns.update({("segment", name): Column(name, "segment", "category", name) for name in KNOWN.segments})


@pytest.fixture(scope="module", autouse=True)
def of_any_size() -> Iterator[None]:
    """Let bodies of a few events be kept as columns too."""
    least, fitted.LEAST_BYTES = fitted.LEAST_BYTES, 0
    yield
    fitted.LEAST_BYTES = least


def known(service: str, model: str) -> ModelColumns | None:
    return KNOWN if (service, model) == ("shop", "m") else None


def check(decoder: OwnEvents, events: Sequence[object], encoding: str = "ndjson", **sent: object) -> Taken:
    rows = [json.dumps(event).encode() for event in events]
    body = b"\n".join(rows) if encoding == "ndjson" else b"[" + b",".join(rows) + b"]"
    return decoder.check(Sent("predictions", encoding, body, 1000, **({"known": known} | sent)))


def event(number: int, **more: object) -> dict[str, object]:
    return {"id": f"p{number}", "service": "shop", "model": "m", "ts": TS + number} | more


def taken(decoder: OwnEvents, found: Taken, encoding: str) -> Predictions | None:
    events: Events = decoder.events("predictions", found.encoding or encoding, found.body)
    slices = Slices(Shapes(lambda _service, _model, role: kinds(role)))
    if events.predictions:
        slices.add(events.predictions, events.unknown, TS * 10**6)
    for made in events.columns:
        slices.add_columns(made, TS * 10**6)
    return slices.joined()


def kinds(role: Role) -> Mapping[str, object]:
    return KNOWN.features if role == "feature" else KNOWN.segments


def told(found: Predictions | None) -> list[object]:
    """Give what the store would keep of a body of one model."""
    if found is None:
        return []
    frame = complete(found.frame, PREDICTION_COLUMNS)
    said: list[object] = [frame.rows(), {place: dict(row) for place, row in found.extra.items()}]
    for rows in found.models:
        said += [rows.service, rows.model, rows.positions.tolist()]
        for role, wide in (("feature", rows.features), ("segment", rows.segments)):
            made = typed(TABLE, role, wide, rows.positions.size)
            values = {name: column.to_list() for name, column in made.series.items()}
            said += [values, made.extra if role == "feature" else {}, made.mismatched if role == "feature" else {}]
            if role == "segment":
                said.append(sorted(segment_rows(rows, made.series, SegmentValues()).rows()))
    return said


numbers = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**70), 2**70))
texts = st.one_of(st.none(), st.text(max_size=5), st.sampled_from(["a", "é"]))
anything = st.one_of(numbers, texts, st.booleans(), st.lists(st.integers(), max_size=2))
features = st.one_of(
    st.none(),
    st.fixed_dictionaries({}, optional={"n": numbers, "c": texts, "odd": st.none()}),
    st.fixed_dictionaries({}, optional={"n": anything, "c": anything, "new": anything}),
)
segments = st.one_of(
    st.none(),
    st.fixed_dictionaries({}, optional={"plan": texts, "age": st.one_of(st.integers(), st.booleans(), texts)}),
    st.fixed_dictionaries({}, optional={"plan": anything, "new": texts}),
)
rare = {
    "prediction": st.one_of(st.text(max_size=3), st.booleans(), st.floats(-5, 5), st.integers()),
    "score": st.floats(-1, 2),
    "tokens": st.fixed_dictionaries({}, optional={"input": st.integers(0, 9), "output": st.integers(0, 9)}),
    "fallback": st.fixed_dictionaries({"from": st.just("big")}, optional={"reason": st.just("slow")}),
    "status": st.sampled_from(["ok", "error", "strange"]),
    "currency": st.sampled_from(["USD", "EUR", "eur"]),
    "attempts": st.integers(0, 3),
    "needed_by": st.sampled_from([TS, "2026-01-01T00:00:00Z", "soon"]),
    "checks": st.lists(st.fixed_dictionaries({"name": st.just("pii")}, optional={"passed": st.booleans()}), max_size=2),
    "reason_codes": st.lists(st.sampled_from(["R1", "R2"]), max_size=2),
    "trace_id": st.sampled_from(["t1", "t\u0007"]),
    "ts": st.sampled_from([TS, TS * 1000, "2026-01-01T00:00:00Z", None, 3]),
    "model": st.sampled_from(["m", "other"]),
    "service": st.sampled_from(["shop", "other"]),
    "extra": st.just({"note": 1}),
    "unheard": st.just(2),
}
often = st.fixed_dictionaries({}, optional={"features": features, "segments": segments})
events = st.lists(
    st.builds(
        lambda row, odd: row | odd,
        often,
        st.one_of(st.just({}), st.just({}), st.fixed_dictionaries({}, optional=rare)),
    ),
    max_size=4,
)


@settings(deadline=None, max_examples=400)
@given(st.lists(events, min_size=1, max_size=4), st.sampled_from(["ndjson", "json"]))
def test_whatever_comes_both_ways_give_the_same(bodies: list[list[dict[str, object]]], encoding: str) -> None:
    quick, slow = OwnEvents(), OwnEvents()  # one decoder over several bodies: it learns which fields there are
    for body in bodies:
        rows = [event(number, **more) for number, more in enumerate(body)]
        one, other = check(quick, rows, encoding), check(slow, rows, encoding, known=lambda *_: None)
        assert not other.encoding
        assert (one.rows, one.reply, one.rejected) == (other.rows, other.reply, other.rejected)
        if not other.rows:
            continue
        models = {(row["service"], row["model"]) for row in rows}
        if models == {("shop", "m")}:  # of a model that the store does not know, types are no business of this test
            assert told(taken(quick, one, encoding)) == told(taken(slow, other, encoding))


@pytest.mark.parametrize("encoding", ["ndjson", "json"])
def test_what_fits_is_kept_as_columns(encoding: str) -> None:
    decoder = OwnEvents()
    plain = [event(n, features={"n": n, "c": "a"}, segments={"plan": "pro", "age": n}) for n in range(3)]
    more = [event(n, features={"n": 1e5, "c": True}, prediction="yes", tokens={"input": n}) for n in range(3)]
    for rows in (plain, more, plain, plain[:1]):
        assert check(decoder, rows, encoding).encoding == framed.ENCODING


@pytest.mark.parametrize(
    "odd",
    [
        {"features": {"new": 1}},
        {"features": {"n": "text"}},
        {"features": {"n": [1]}},
        {"features": {"c": "x" * 100_001}},
        {"segments": {"plan": 1.5}},
        {"unheard": 1},
        {"extra": {"a": 1}},
        {"model": "other"},
        {"service": "other"},
        {"id": "a\u0007b"},
        {"ts": 5},
    ],
    ids=str,
)
def test_what_does_not_fit_is_left_to_the_other_way(odd: dict[str, object]) -> None:
    assert not check(OwnEvents(), [event(0), event(1, **odd)]).encoding


def test_a_key_for_some_services_is_asked_first() -> None:
    found = check(OwnEvents(), [event(0)], services=frozenset({"other"}))
    assert (found.encoding, found.rows, len(found.rejected)) == ("", 0, 1)


def test_a_server_learns_with_its_first_load_and_keeps_the_same_facts(tmp_path: Path) -> None:
    bench, decoder = Bench(tmp_path), OwnEvents()
    ways: list[str] = []
    for body in range(3):
        rows = [event(body * 10 + n, features={"n": n, "c": "a"}, segments={"plan": "pro"}) for n in range(3)]
        found = check(decoder, rows, known=bench.pump.known)
        ways.append(found.encoding)
        kept = Incoming("predictions", found.encoding or "ndjson", TS * 10**6, found.body, 3, (), b"")
        bench.inbox.append(kept).result(timeout=30)
        bench.load()
    assert ways == ["", framed.ENCODING, framed.ENCODING]
    assert bench.facts.read("SELECT count(*), sum(f_n), min(f_c), min(s_plan) FROM features_1").rows() == [
        (9, 9.0, "a", "pro")
    ]
    assert bench.facts.read("SELECT DISTINCT status, currency, attempts, model FROM predictions").rows() == [
        ("ok", "USD", 1, "m")
    ]
    bench.close()


def test_damaged_bytes_are_told_and_never_read() -> None:
    body = bytearray(framed.write(pl.DataFrame({"id": ["a"], "service": ["s"]})))
    assert framed.read(bytes(body))["id"].to_list() == ["a"]
    assert framed.as_lines(bytes(body)) == b'{"id":"a","service":"s"}\n'
    body[-1] ^= 1
    with pytest.raises(NotDecodable, match="damaged"):
        framed.read(bytes(body))
    assert framed.as_lines(bytes(body)) == bytes(body)


def test_a_body_that_cannot_be_stored_is_kept_as_lines() -> None:
    body = framed.write(pl.DataFrame({"id": ["a"], "service": ["s"]}))
    batch = chunk.poisoned(StoredBatch(1, "predictions", framed.ENCODING, TS * 10**6, None, 1, body, ()), "why")
    assert batch.rejects is not None
    assert batch.rejects["raw"].to_list() == [b'{"id":"a","service":"s"}\n']


def test_a_small_body_stays_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitted, "LEAST_BYTES", 50_000)
    few, many = [event(n) for n in range(10)], [event(n, features={"c": "x" * 60}) for n in range(500)]
    assert [check(OwnEvents(), rows).encoding for rows in (few, many)] == ["", framed.ENCODING]

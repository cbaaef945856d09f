"""Whatever the host passes, a call comes back and valid JSON leaves."""

from __future__ import annotations

import datetime as dt
import json
import logging
import math
from decimal import Decimal
from enum import Enum, IntEnum
from types import MappingProxyType
from unittest.mock import MagicMock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import watchkeeper_sdk as wk
from watchkeeper_sdk._encode import Encoder


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


class Hostile:
    """Fails at everything."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


class Verbose:
    def __str__(self) -> str:
        return "v" * 1000


def loop() -> list[object]:
    items: list[object] = []
    items.extend([items] * 20)
    return items


def deep() -> object:
    value: object = 1
    for _ in range(100_000):
        value = [value]
    return value


@pytest.fixture
def encode():
    """Encode one prediction with one feature; gives what a strict reader reads, and the notes."""
    notes: list[str] = []
    encoder = Encoder({"predictions": {"service": "s"}}, lambda reason, message: notes.append(reason))

    def one(value: object) -> tuple[object, list[str]]:
        notes.clear()
        return strict(encoder.text("predictions", {"features": {"f": value}}))["features"]["f"], list(notes)

    return one


def strict(line: bytes) -> dict:
    assert b"\n" not in line

    def refuse(word: str) -> None:
        raise AssertionError(word)

    return json.loads(line.decode("utf-8"), parse_constant=refuse)


@pytest.mark.parametrize(
    ("value", "expected", "notes"),
    [
        ("ä\n\u2028", "ä\n\u2028", []),
        (True, True, []),
        (None, None, []),
        (math.nan, None, ["nonfinite"]),
        (-math.inf, None, ["nonfinite"]),
        ([1.0, math.nan, [math.inf]], [1.0, None, [None]], ["nonfinite", "nonfinite"]),
        (np.float32(0.5), 0.5, []),
        (np.float64(0.5), 0.5, []),
        (np.float32("nan"), None, ["nonfinite"]),
        (np.float64("inf"), None, ["nonfinite"]),
        (np.int64(7), 7, []),
        (np.bool_(True), True, []),
        (np.str_("s"), "s", []),
        (np.array([3]), 3, []),
        (np.array([1, 2]), "[1 2]", ["as_text"]),
        (np.datetime64("2026-01-02T03:04:05"), "2026-01-02T03:04:05", []),
        (dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), "2026-01-02T03:00:00+00:00", []),
        (dt.date(2026, 1, 2), "2026-01-02", []),
        (Decimal("1.5"), 1.5, []),
        (Decimal("NaN"), None, ["nonfinite"]),
        (Colour.RED, "red", []),
        (Size.BIG, 3, []),
        ((1, 2), [1, 2], []),
        ({"a": {"b": math.nan}}, {"a": {"b": None}}, ["nonfinite"]),
        ({(1, 2): 3, 4: 5}, {"(1, 2)": 3, "4": 5}, []),
        (Verbose(), "v" * 200, ["as_text"]),
        (b"raw", "b'raw'", ["as_text"]),
        (1j, "1j", ["as_text"]),
        (Hostile(), "<Hostile>", ["as_text"]),
        ("\ud800", "?", []),
        (2**70, 2**70, []),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_value_becomes_plain_json(encode, value, expected, notes):
    assert encode(value) == (expected, notes)


@pytest.mark.parametrize("value", [loop(), deep(), MagicMock()], ids=["loop", "deep", "mock"])
def test_values_without_an_end_are_cut_short(encode, value):
    read, notes = encode(value)
    assert "<" in json.dumps(read)
    assert set(notes) == {"as_text"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), anything))
def test_any_nest_of_values_becomes_one_strict_line(features):
    encoder = Encoder({"predictions": {"service": "s"}}, lambda reason, message: None)
    row = strict(encoder.text("predictions", {"features": features}))
    assert len(row["features"]) == len({key.encode("utf-8", "replace") for key in features})


def test_hostile_arguments_neither_raise_nor_stop_the_next_event(sink, client, conserved):
    calls = [
        lambda: client.log_prediction(features=5),
        lambda: client.log_prediction(features=Hostile()),
        lambda: client.log_prediction(id=Hostile()),
        lambda: client.log_prediction(extra=Hostile(), prediction=Hostile(), tokens=Hostile(), ts=Hostile()),
        lambda: client.log_prediction("positional", features={"a": 1}),
        lambda: client.log_prediction(features={"f": 10**5000}),
        client.log_outcome,
        lambda: client.log_outcome("id"),
        lambda: client.log_outcome("id", 1, sauce="typo"),
        lambda: client.log_outcome(Hostile(), 1),
        lambda: client.log_review("id"),
        lambda: client.mark_change(title="no kind"),
        lambda: client.request("positional", features=7).__enter__(),
    ]
    for call in calls:
        call()
    good = client.log_prediction()
    assert client.flush(5)
    assert good in sink.ids()
    stats = conserved(client.stats())
    assert stats.dropped == {"invalid_call": 9, "unencodable": 1}
    assert stats.adjusted["positional"] == 2


def test_each_kind_of_trouble_is_logged_once(sink, client, caplog):
    for _ in range(50):
        client.log_prediction(features=5)
        client.log_outcome("x")
        client.log_prediction(score=math.nan, latncy=3)
    assert client.flush(5)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 4
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert {record.name for record in caplog.records} == {"watchkeeper"}
    assert client.stats().adjusted == {"nonfinite": 50, "unknown_field": 50}
    assert client.stats().dropped == {"invalid_call": 100}


def test_a_log_handler_that_fails_harms_nobody(sink, client):
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("disk full")

    logger, handler = logging.getLogger("watchkeeper"), Broken()
    logger.addHandler(handler)
    try:
        client.log_prediction(features=5)
        client.log_prediction(score=math.nan)
        assert client.flush(5)
    finally:
        logger.removeHandler(handler)
    assert len(sink.rows()) == 1


def test_a_misspelt_field_travels_under_extra(sink, client):
    client.log_prediction(latncy=3, extra={"note": "x"})
    client.log_prediction(latncy=3, extra=None)
    assert client.flush(5)
    assert [row["extra"] for row in sink.rows()] == [{"note": "x", "latncy": 3}, {"latncy": 3}]
    assert not any("latncy" in row for row in sink.rows())


def test_not_a_number_is_sent_as_null_in_fields_too(sink, client):
    client.log_prediction(score=math.inf, features={"a": math.nan})
    assert client.flush(5)
    assert sink.rows()[0]["score"] is None
    assert sink.rows()[0]["features"] == {"a": None}


def test_other_mappings_are_features_too(sink, client):
    client.log_prediction(features=MappingProxyType({"a": 1}))
    assert client.flush(5)
    assert sink.rows()[0]["features"] == {"a": 1}


def test_an_event_over_the_limit_is_dropped_alone(sink, connect, conserved):
    client = connect(flush_interval=60)
    client.log_prediction(id="small")
    client.log_prediction(features={"text": "x" * 2**20})
    assert client.flush(5)
    assert list(sink.ids()) == ["small"]
    assert conserved(client.stats()).dropped == {"too_large": 1}


@pytest.fixture
def _no_environment(monkeypatch):
    for name in ("URL", "SERVICE", "API_KEY", "API_KEY_FILE", "SPOOL_DIR"):
        monkeypatch.delenv(f"WATCHKEEPER_{name}", raising=False)


@pytest.mark.usefixtures("_no_environment")
def test_without_a_url_everything_is_silent(caplog):
    client = wk.Client()
    first, second = client.log_prediction(prediction=1), client.log_prediction("odd", features=5)
    assert first != second
    assert client.log_prediction(id="mine") == "mine"
    client.log_outcome(first, True)
    client.log_outcome("wrong")
    with client.request("odd", model="m", features=5) as request:
        request.prediction = 1
    assert client._pipe._thread is None
    assert client.stats() == wk.Client("").stats()
    assert client.stats().logged == 0
    assert client.flush()
    assert client.shutdown()
    assert caplog.text == ""


@pytest.mark.usefixtures("_no_environment")
def test_the_environment_fills_in_what_is_not_given(sink, monkeypatch, tmp_path, caplog):
    key = tmp_path / "key"
    key.write_text("from a file\n")
    monkeypatch.setenv("WATCHKEEPER_URL", sink.url)
    monkeypatch.setenv("WATCHKEEPER_SERVICE", "env-service")
    monkeypatch.setenv("WATCHKEEPER_API_KEY_FILE", str(key))
    _send_one(wk.Client())
    monkeypatch.setenv("WATCHKEEPER_API_KEY", "from env")
    _send_one(wk.Client())
    _send_one(wk.Client(service="given", api_key="given"))
    monkeypatch.delenv("WATCHKEEPER_API_KEY")
    key.unlink()
    _send_one(wk.Client())
    assert [taken.headers.get("Authorization") for taken in sink.taken] == [
        "Bearer from a file",
        "Bearer from env",
        "Bearer given",
        None,
    ]
    assert [row["service"] for row in sink.rows()] == ["env-service", "env-service", "given", "env-service"]
    assert "WATCHKEEPER_API_KEY_FILE" in caplog.text
    assert "from a file" not in repr(wk.Client()._pipe.settings)


@pytest.mark.usefixtures("_no_environment")
def test_a_missing_service_and_odd_options_are_told(sink, caplog):
    _send_one(wk.Client(sink.url, flush_intervall=3))
    assert sink.rows()[0]["service"] == "unnamed"
    assert wk.Client(sink.url, "s", max_batch="many").log_prediction()
    assert wk.Client(5, "s").log_prediction()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 4
    assert "flush_intervall" in told[0]
    assert "WATCHKEEPER_SERVICE" in told[1]
    assert all("nothing is sent" in line for line in told[2:])


def test_the_functions_of_the_module_share_one_client(sink):
    wk.init(sink.url, "shared", flush_interval=0.02)
    event_id = wk.log_prediction(prediction=1)
    wk.log_outcome(event_id, 1)
    wk.log_review(event_id, "approved")
    wk.mark_change("deploy", "v1")
    with wk.request(model="m"):
        pass
    assert wk.flush(5)
    assert wk.stats().accepted == 5
    assert wk.shutdown(5)
    wk.init("")
    assert wk.stats().logged == 0
    assert {
        row["service"] for kind in ("predictions", "outcomes", "reviews", "changes") for row in sink.rows(kind)
    } == {"shared"}


def test_stats_cannot_be_changed(client):
    with pytest.raises(AttributeError):
        client.stats().logged = 5
    with pytest.raises(TypeError):
        client.stats().dropped["x"] = 5


def _send_one(client: wk.Client) -> None:
    client.log_prediction()
    assert client.shutdown(5)

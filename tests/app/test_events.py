"""Events as services really send them: late, twice, for nobody, by a wrong clock, with features that grow and turn."""

from __future__ import annotations

import gzip
import json
import time
from datetime import UTC, datetime

import pytest
from e2e.running import Server


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def test_an_outcome_waits_for_its_prediction_and_one_for_nobody_waits_on(server: Server):
    now = int(time.time())
    early = {"prediction_id": "early", "value": False, "service": "late", "known_at": now}
    nobody = {"prediction_id": "nobody", "value": True, "service": "late", "known_at": now}
    server.send("outcomes", early, nobody)
    assert server.settled()["pending_outcomes"] == 2
    server.send("predictions", {"id": "early", "service": "late", "ts": now - 60, "prediction": True})
    assert server.settled()["pending_outcomes"] == 1
    (matched,) = server.story("early")["matched"]
    assert (matched["value"], matched["correct"]) == ("false", False)


def test_an_outcome_counts_once_and_a_later_one_takes_its_place(server: Server):
    now = int(time.time())
    server.send("predictions", {"id": "p", "service": "twice", "ts": now - 600, "prediction": True})
    first = {"prediction_id": "p", "value": True, "known_at": now - 300, "prediction_ts": now - 600}
    for _ in range(2):
        server.send("outcomes", first)
    assert server.settled()["duplicates"] == 1
    assert [one["correct"] for one in server.story("p")["matched"]] == [True]
    server.send("outcomes", first | {"value": False, "known_at": now - 100})
    server.send("outcomes", first | {"value": True, "known_at": now - 200})
    server.settled()
    story = server.story("p")
    assert [(one["value"], one["known_at"]) for one in story["matched"]] == [("false", iso(now - 100))]
    assert len(story["outcomes"]) == 3


def test_a_repeated_key_gets_the_first_answer_and_changes_nothing(shared_server):
    event = {"id": "keyed", "service": "keyed"}
    answers = [
        shared_server.post("predictions", event, {"id": ""}, Idempotency_Key="once"),
        shared_server.post("predictions", {"id": "other", "service": "keyed"}, Idempotency_Key="once"),
    ]
    assert answers[0].content == answers[1].content
    assert [answer.headers.get("watchkeeper-repeated") for answer in answers] == [None, "true"]
    assert shared_server.settled()["services"]["keyed"]["loaded"] == 1
    assert shared_server.client.get("/v1/predictions/other").status_code == 404


def test_an_event_from_a_clock_an_hour_ahead_is_kept_and_flagged(shared_server):
    now = time.time()
    shared_server.send(
        "predictions",
        {"id": "ahead", "service": "clock", "ts": now + 3600},
        {"id": "right", "service": "clock", "ts": now + 60},
        {"id": "without", "service": "clock"},
    )
    assert shared_server.settled()["services"]["clock"]["clock_skewed"] == 1
    told = {name: shared_server.story(name)["prediction"] for name in ("ahead", "right", "without")}
    assert [told[name]["clock_skew"] for name in told] == [True, False, False]
    assert [told[name]["server_ts"] for name in told] == [False, False, True]


def test_a_feature_for_every_user_ends_in_extra_and_is_named(shared_server):
    now = time.time()
    for first in range(0, 400, 50):
        users = range(first, first + 50)
        events = [
            {"id": f"u{n}", "service": "users", "ts": now + n / 100, "features": {"amount": n, f"user_{n:03}": n}}
            for n in users
        ]
        shared_server.send("predictions", *events)
        shared_server.settled()
    early, late = shared_server.story("u10"), shared_server.story("u399")
    assert early["features"]["user_010"] == 10.0
    assert early["extra"] is None
    assert (late["features"]["amount"], late["extra"]) == (399.0, {"user_399": 399})
    assert len(late["features"]) == 300
    rows = {
        row["feature"]: row for row in shared_server.rows("features", service="users", model="default", **around(now))
    }
    assert len(rows) == 301
    assert rows["(too many features)"]["mismatched"] == 101
    assert shared_server.status()["services"]["users"]["loaded"] == 400


def test_a_feature_that_turns_to_text_refuses_no_event_and_is_counted(shared_server):
    now = time.time()
    shared_server.send(
        "predictions", {"id": "n", "service": "turns", "ts": now, "features": {"amount": 12.5, "ok": "a"}}
    )
    shared_server.settled()
    shared_server.send(
        "predictions",
        {"id": "t", "service": "turns", "ts": now + 1, "features": {"amount": "12,50 €", "ok": "b"}},
        {"id": "m", "service": "turns", "ts": now + 2, "features": {"amount": 13, "ok": 7}},
    )
    shared_server.settled()
    turned, mixed = shared_server.story("t"), shared_server.story("m")
    assert (turned["features"], turned["extra"]) == ({"amount": None, "ok": "b"}, {"amount": "12,50 €"})
    assert mixed["features"]["amount"] == 13.0
    rows = {
        row["feature"]: row for row in shared_server.rows("features", service="turns", model="default", **around(now))
    }
    assert {name: (row["mismatched"], row["missing"], row["rows"]) for name, row in rows.items()} == {
        "amount": (1, 0, 3),
        "ok": (1, 0, 3),
    }


def around(now: float) -> dict[str, str]:
    return {"start": iso(now - 7200), "end": iso(now + 7200)}


def test_bad_rows_are_named_and_the_good_ones_kept(shared_server):
    lines = [
        b'{"id": "good-1", "service": "mixed"}',
        b'{"id": "bad", "service": "mixed", "score": "high"}',
        b'{"id": "nan", "service": "mixed", "score": NaN}',
        b'{"service": "mixed"}',
        b'{"id": "when", "service": "mixed", "ts": "tomorrow"}',
        b'{"id": "good-2", "service": "mixed", "score": 0.5}',
    ]
    answer = shared_server.client.post("/v1/predictions", content=b"\n".join(lines)).json()
    assert (answer["accepted"], answer["rejected"]) == (2, 4)
    assert [(error["index"], error["field"]) for error in answer["errors"]] == [
        (1, "score"),
        (2, ""),
        (3, "id"),
        (4, "ts"),
    ]
    assert "send null" in answer["errors"][1]["reason"]
    told = shared_server.settled()["services"]["mixed"]
    assert (told["loaded"], told["rejected"]) == (2, 4 - 1), "NaN is not JSON: nobody can say whose row that was"


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({}, b"", 200),
        ({"Content-Type": "application/json"}, b'[{"id": "array", "service": "wire"}]', 200),
        ({"Content-Type": "application/json"}, b'[{"id": "cut", "serv', 400),
        ({"Content-Type": "application/json"}, b'{"id": "object", "service": "wire"}', 400),
        ({"Content-Type": "application/xml"}, b"<id/>", 415),
        ({"Content-Encoding": "gzip"}, gzip.compress(b'{"id": "zipped", "service": "wire"}', mtime=0), 200),
        ({"Content-Encoding": "gzip"}, b"not gzip", 400),
        ({"Content-Encoding": "gzip"}, gzip.compress(b" " * 40_000_000, mtime=0), 413),
        ({}, b'{"id": "x", "service": "wire"}\n' * 20_001, 413),
        ({}, b"x" * (8 * 2**20 + 1), 413),
    ],
)
def test_a_body_is_read_or_refused_as_the_page_says(shared_server, headers, content, status):
    response = shared_server.client.post("/v1/predictions", content=content, headers=headers)
    assert response.status_code == status
    assert ("reason" in response.json()) is (status != 200)


def test_nothing_that_can_be_sent_stops_the_loader(shared_server):
    deep = json.loads("[" * 60 + "]" * 60)
    odd = [
        {"id": "odd-1", "service": "odd", "features": {"": 1, "A": 1, "a": 2, 'quo"te': 3, "drop table": "x"}},
        {"id": "odd-2", "service": "odd", "features": {"huge": 10**400, "deep": deep, "list": [1, "a"]}},
        {
            "id": "odd-3",
            "service": "odd",
            "features": {"zero\u0000byte": "a\u0000b", "emoji 🛰": "🛰"},
            "extra": {"a": None},
        },
        {"id": "odd-4", "service": "odd", "unknown": {"x": [1, {"y": None}]}, "segments": {"plan": True}},
        {"id": "odd-5", "service": "odd", "ts": 1e8, "prediction": "\ud83d\ude00", "features": None},
    ]
    answer = shared_server.send("predictions", *odd)
    assert (answer["accepted"], answer["rejected"]) == (5, 0)
    shared_server.settled()
    shared_server.send("predictions", {"id": "after", "service": "odd"})
    assert shared_server.settled()["services"]["odd"]["loaded"] == 6
    assert shared_server.story("odd-1")["features"]['quo"te'] == 3.0
    assert shared_server.story("odd-4")["extra"] == {"unknown": {"x": [1, {"y": None}]}}

"""What arrives, in which shape and order, while all is well."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter

from watchkeeper_sdk import __version__, _transport
from watchkeeper_sdk._pipe import _REMEMBERED


def test_a_prediction_arrives_with_what_the_client_knows(sink, connect):
    client = connect(environment="prod", site="ams", api_key="secret\n")
    before = time.time()
    event_id = client.log_prediction(
        model="fraud", prediction=True, score=0.5, features={"amount": 1.5}, segments={"plan": "pro"}
    )
    assert client.flush(5)
    [row] = sink.rows()
    assert before <= row.pop("ts") <= time.time()
    assert row == {
        "id": event_id,
        "service": "checkout",
        "environment": "prod",
        "site": "ams",
        "model": "fraud",
        "prediction": True,
        "score": 0.5,
        "features": {"amount": 1.5},
        "segments": {"plan": "pro"},
    }
    headers = sink.taken[0].headers
    assert headers["Authorization"] == "Bearer secret"
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Type"] == "application/x-ndjson"
    assert headers["User-Agent"].startswith("watchkeeper-sdk/")
    name = event_id.partition(".")[0]
    assert headers["Watchkeeper-Client"] == (
        f"{name}; logged=1; dropped=0; pending=1; service=checkout; site=ams; version={__version__}; spool=disk"
    )


def test_what_the_caller_gives_goes_before_what_the_client_adds(sink, client):
    client.log_prediction(id="mine", ts=12.5, service="other", model=None)
    client.log_prediction(id=42)
    assert client.flush(5)
    assert sink.rows()[0] == {"id": "mine", "ts": 12.5, "service": "other"}
    assert sink.rows()[1]["id"] == "42"


def test_batches_hold_no_more_than_asked_and_keep_the_order(sink, connect):
    client = connect(max_batch=100, flush_interval=60)
    ids = [client.log_prediction() for _ in range(250)]
    assert client.flush(5)
    assert [row["id"] for row in sink.rows()] == ids
    assert max(len(taken.rows) for taken in sink.taken) <= 100
    assert len({taken.headers["Idempotency-Key"] for taken in sink.taken}) == len(sink.taken)


def test_a_full_batch_leaves_without_waiting_for_the_interval(sink, connect):
    client = connect(max_batch=10, flush_interval=3600)
    client.log_prediction()
    time.sleep(0.1)  # so that the thread waits for more by now
    for _ in range(9):
        client.log_prediction()
    _until(lambda: len(sink.rows()) == 10)


def test_a_batch_leaves_after_the_interval_without_being_full(sink, connect):
    client = connect(max_batch=500, flush_interval=0.01)
    for _ in range(3):
        client.log_prediction()
        sent = len(sink.rows())
        _until(lambda sent=sent: len(sink.rows()) > sent)


def test_large_events_are_spread_over_several_bodies(sink, client):
    text = "x" * 900_000
    for _ in range(6):
        client.log_prediction(features={"text": text})
    assert client.flush(20)
    assert len(sink.rows()) == 6
    assert max(sum(len(json.dumps(row)) for row in taken.rows) for taken in sink.taken) <= 4 * 2**20 + 1000
    assert len(sink.taken) >= 2


def test_each_kind_goes_its_way_and_predictions_first(sink, connect):
    client = connect(flush_interval=60)
    client.mark_change("deploy", "v2", version="2.0")
    client.log_review("p1", "approved", minutes=2.5, role="clerk")
    client.log_outcome("p1", 3.5, source="ledger")
    client.log_prediction(id="p1")
    assert client.flush(5)
    assert [taken.kind for taken in sink.taken] == ["predictions", "outcomes", "reviews", "changes"]
    [outcome], [review], [change] = sink.rows("outcomes"), sink.rows("reviews"), sink.rows("changes")
    assert {**outcome, "known_at": 0} == {
        "prediction_id": "p1",
        "value": 3.5,
        "known_at": 0,
        "source": "ledger",
        "service": "checkout",
    }
    assert (review["decision"], review["minutes"], review["role"]) == ("approved", 2.5, "clerk")
    assert (change["kind"], change["title"], change["version"], change["service"]) == (
        "deploy",
        "v2",
        "2.0",
        "checkout",
    )


def test_outcome_and_review_carry_the_time_of_their_prediction(sink, client):
    event_id = client.log_prediction()
    client.log_outcome(event_id, True)
    client.log_review(event_id, "overridden")
    client.log_outcome(event_id, False, prediction_ts=7.0, known_at=8.0)
    client.log_outcome("not from here", True)
    assert client.flush(5)
    [prediction] = sink.rows()
    first, second, third = sink.rows("outcomes")
    assert first["prediction_ts"] == prediction["ts"] == sink.rows("reviews")[0]["prediction_ts"]
    assert first["known_at"] >= prediction["ts"]
    assert (second["prediction_ts"], second["known_at"]) == (7.0, 8.0)
    assert "prediction_ts" not in third


def test_the_memory_of_prediction_times_is_bounded(connect):
    client = connect(max_queue_events=1)
    for number in range(3 * _REMEMBERED):
        client.log_prediction(id=str(number), ts=number + 1)
    recent = client._pipe.recent
    assert len(recent._young) + len(recent._old) <= 2 * _REMEMBERED
    assert recent.get(str(3 * _REMEMBERED - 1)) == 3 * _REMEMBERED
    assert recent.get("0") is None


def test_features_are_copied_at_the_call(sink, connect):
    client = connect(flush_interval=60)
    features, segments = {"a": 1}, {"s": "x"}
    client.log_prediction(features=features, segments=segments)
    features["a"] = 2
    segments.clear()
    assert client.flush(5)
    assert sink.rows()[0]["features"] == {"a": 1}
    assert sink.rows()[0]["segments"] == {"s": "x"}


def test_eight_threads_lose_and_double_nothing(sink, client, conserved):
    logged: list[str] = []

    def work() -> None:
        logged.extend([client.log_prediction(features={"a": 1.0}) for _ in range(500)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert client.flush(30)
    assert sink.ids() == Counter(logged)
    assert len(set(logged)) == 4000
    stats = conserved(client.stats())
    assert (stats.logged, stats.sent, stats.accepted, stats.queued) == (4000, 4000, 4000, 0)
    assert (stats.rejected, stats.duplicates, dict(stats.dropped), stats.last_error) == (0, 0, {}, None)


def test_one_connection_is_kept(sink, client):
    for _ in range(5):
        client.log_prediction()
        assert client.flush(5)
    assert len(sink.taken) == 5
    assert sink.connections == 1


def test_the_path_of_the_url_is_kept_and_proxies_are_not_asked(sink, connect, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    client = connect(sink.url + "/watch/")
    client.log_prediction()
    assert client.flush(5)
    assert sink.taken[0].kind == "/watch/v1/predictions"


def test_https_uses_verified_certificates():
    transport = _transport.HttpTransport("https://127.0.0.1:9/x")
    context = transport._connection._context
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


def test_an_empty_flush_is_done_at_once(sink, client):
    assert client.flush(0)
    assert sink.taken == []


def test_a_second_init_sends_the_first_ones_events_where_they_belong(sink, connect):
    client = connect(flush_interval=60)
    client.log_prediction(id="before")
    client.init("", "checkout")
    client.log_prediction(id="after")
    _until(lambda: list(sink.ids()) == ["before"])
    assert client.stats().logged == 0


def _until(condition) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen within 10 s")


def test_an_event_on_its_way_to_the_disk_is_not_passed_over(sink, connect):
    """Its number is known before its line is there: the sender may look in between."""
    client = connect(max_batch=1, flush_interval=3600)
    spool = client._pipe._spool
    client.log_prediction(id="first")
    assert client.flush(5)
    real = spool._writer.append

    def slow(number: int, line: bytes) -> bool:
        client._pipe._sender.hurry(number)
        time.sleep(0.1)
        return real(number, line)

    spool._writer.append = slow
    client.log_prediction(id="slow")
    _until(lambda: list(sink.ids()) == ["first", "slow"])

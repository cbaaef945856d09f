"""What happens to events when the server is away, slow, or says no."""

from __future__ import annotations

import json
import logging
import socket
import threading

import pytest

from watchkeeper_sdk import Client, __version__, _post
from watchkeeper_sdk._queue import MemoryQueue


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_the_same_body_comes_again_with_the_same_key(sink, client, conserved, status):
    sink.answer(status, times=2)
    event_id = client.log_prediction()
    client.log_outcome(event_id, True)
    assert client.flush(20)
    tries = [taken for taken in sink.taken if taken.kind == "predictions"]
    assert [taken.status for taken in tries] == [status, status, 200]
    assert len({(taken.headers["Idempotency-Key"], taken.body) for taken in tries}) == 1
    told = {taken.headers["Watchkeeper-Client"].partition("; ")[2] for taken in tries}
    assert told == {f"logged=2; dropped=0; pending=2; service=checkout; version={__version__}; spool=disk"}
    assert sink.taken[-1].kind == "outcomes"
    stats = conserved(client.stats())
    assert (stats.retries, stats.accepted, stats.sent) == (2, 2, 2)
    assert str(status) in stats.last_error


def test_a_server_that_was_down_gets_all_in_order(free_port, start_sink, connect, conserved):
    client = connect(f"http://127.0.0.1:{free_port}", max_batch=3)
    ids = [client.log_prediction() for _ in range(10)]
    assert not client.flush(0.3)
    stats = conserved(client.stats())
    assert (stats.queued, stats.accepted) == (10, 0)
    assert "cannot be reached" in stats.last_error
    late = start_sink(free_port)
    assert client.flush(20)
    assert [row["id"] for row in late.rows()] == ids
    assert conserved(client.stats()).accepted == 10
    assert client.stats().retries >= 1


def test_a_connection_that_the_server_closed_is_opened_again(sink, connect):
    client = connect()
    client.log_prediction()
    assert client.flush(5)
    port = sink.port
    client._pipe._sender._post._transport._connection.sock.shutdown(2)
    client.log_prediction()
    assert client.flush(5)
    assert len(sink.rows()) == 2
    assert client.stats().retries == 0
    assert port == sink.port


def test_retry_after_is_obeyed(sink, client, monkeypatch):
    orders = []
    real = _post.delay
    monkeypatch.setattr(_post, "delay", lambda *args: orders.append(args[:2]) or real(*args))
    sink.answer(429, retry_after="0")
    sink.answer(503, retry_after="1")
    client.log_prediction()
    assert client.flush(20)
    assert orders == [(1, 0.0), (2, 1.0)]
    assert [taken.status for taken in sink.taken] == [429, 503, 200]


def test_what_the_server_refuses_is_counted_and_told_once(sink, client, caplog, conserved):
    sink.answer(400, b'{"error": "no such service"}', times=2)
    sink.answer(422, b"no such field")
    for _ in range(4):
        client.log_prediction()
        assert client.flush(5)
    stats = conserved(client.stats())
    assert (stats.dropped, stats.accepted, stats.retries) == ({"refused": 3}, 1, 0)
    told = [record.getMessage() for record in caplog.records if record.name == "watchkeeper"]
    assert len(told) == 2
    assert "no such service" in told[0]
    assert "no such field" in told[1]
    assert (
        sink.taken[-1]
        .headers["Watchkeeper-Client"]
        .partition("; service")[0]
        .endswith("; logged=4; dropped=3; pending=1")
    )


def test_single_rejected_rows_and_duplicates_are_counted(sink, connect, caplog, conserved):
    client = connect(flush_interval=60)
    errors = [{"index": 0, "field": "confidence", "reason": "over 1"}, {"index": 1, "field": None, "reason": "odd"}]
    receipt = {"accepted": 1, "rejected": 2, "duplicates": 1, "errors": errors}
    sink.answer(200, json.dumps(receipt).encode(), times=2)
    for _ in range(2):
        for _ in range(4):
            client.log_prediction()
        assert client.flush(5)
    stats = conserved(client.stats())
    assert (stats.accepted, stats.rejected, stats.duplicates) == (2, 4, 2)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "confidence: over 1" in told[0]


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 405, 407])
def test_what_stands_in_the_way_is_waited_for(sink, client, caplog, conserved, status):
    """A key that expired, a proxy, a network that asks for a login: the events are good, and wait on disk."""
    sink.answer(status, b"who are you")
    event_id = client.log_prediction()
    assert client.flush(10)
    assert list(sink.ids()) == [event_id]
    stats = conserved(client.stats())
    assert (stats.dropped, stats.accepted, stats.retries) == ({}, 1, 1)
    [told] = [record.getMessage() for record in caplog.records if record.name == "watchkeeper"]
    assert f"answers {status} (who are you): events are kept and sent again" in told


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"[]", b'{"ok": true}', b'{"accepted": "3"}'])
def test_a_200_of_something_else_is_no_receipt(sink, client, conserved, body):
    sink.answer(200, body)
    event_id = client.log_prediction()
    assert client.flush(10)
    assert list(sink.ids()) == [event_id]
    assert (conserved(client.stats()).dropped, client.stats().accepted) == ({}, 1)
    assert "no Watchkeeper server" in client.stats().last_error


def test_a_batch_that_breaks_the_server_does_not_hold_up_the_rest(sink, client, monkeypatch, conserved):
    monkeypatch.setattr(_post, "delay", lambda *_: 0.0)
    sink.answer(500, times=_post._MAX_SERVER_ERRORS)
    client.log_prediction(id="poison")
    assert client.flush(10)
    client.log_prediction(id="good")
    assert client.flush(10)
    assert list(sink.ids()) == ["good"]
    assert conserved(client.stats()).dropped == {"server_error": 1}


def test_a_full_queue_drops_the_newest_and_tells_the_server(sink, connect, conserved):
    client = connect(max_queue_events=10, max_batch=1, spool_dir="")
    sink.hold.clear()
    ids = [client.log_prediction() for _ in range(50)]
    stats = conserved(client.stats())
    lost = stats.dropped["queue_full"]
    assert 39 <= lost <= 40
    assert stats.logged == 50
    sink.hold.set()
    assert client.flush(10)
    assert [row["id"] for row in sink.rows()][:10] == ids[:10]
    told = f"logged=50; dropped={lost}; pending=1; service=checkout; version={__version__}; spool=memory"
    assert sink.taken[-1].headers["Watchkeeper-Client"].endswith(told)


def test_a_queue_full_of_bytes_drops_too(sink, connect, conserved):
    client = connect(max_queue_bytes=100_000, flush_interval=60, spool_dir="")
    for _ in range(20):
        client.log_prediction(features={"text": "x" * 10_000})
    stats = conserved(client.stats())
    assert stats.queued == 9
    assert stats.dropped == {"queue_bytes": 11}


def test_the_queue_gives_back_what_it_took():
    queue = MemoryQueue(max_events=2, max_bytes=100)
    assert queue.put(1, b"a" * 60) is None
    assert queue.put(2, b"b" * 60) == "queue_bytes"
    assert queue.put(3, b"c" * 40) is None
    assert queue.put(4, b"") == "queue_full"
    assert queue.first() == 1
    assert [number for number, _ in queue.take(5, 60)] == [1]
    assert [number for number, _ in queue.take(5, 1)] == [3]
    assert (len(queue), queue.first()) == (0, 0)
    assert queue.put(5, b"e" * 100) is None


@pytest.mark.parametrize(
    "url",
    ["not a url", "localhost:8090", "http://", "ftp://127.0.0.1", "http://127.0.0.1:port", "http://[::1", "//x"],
)
def test_a_url_that_cannot_be_used_is_told_and_does_nothing(url, caplog):
    client = Client(url, "checkout")
    assert client.log_prediction(prediction=1)
    client.log_outcome("x", 1)
    assert (client.stats().logged, client.flush(0), client.shutdown()) == (0, True, True)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert repr(url) in record.getMessage()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://127.0.0.1:1", "http://" + "a" * 70])
def test_a_url_that_leads_nowhere_harms_nobody(url):
    client = Client(url, "checkout", flush_interval=0.001)
    assert client.log_prediction(prediction=1)
    client.log_outcome("x", 1)
    client.flush(0.05)
    client.shutdown(0.05)
    client._pipe._sender.abandon()


def test_a_server_that_speaks_no_http_is_tried_again(free_port, connect):
    with socket.create_server(("127.0.0.1", free_port)) as listener:

        def babble() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        client = connect(f"http://127.0.0.1:{free_port}")
        client.log_prediction()
        thread.join()
    assert not client.flush(0.1)
    assert client.stats().queued == 1
    assert not client.shutdown(0)


def test_shutdown_counts_what_it_gives_up(sink, connect, caplog, conserved):
    client = connect(spool_dir="")
    sink.answer(503, retry_after="600")
    for _ in range(5):
        client.log_prediction()
    assert not client.flush(0.2)
    assert not client.shutdown(0.05)
    assert client.flush(5)
    client.log_prediction()
    stats = conserved(client.stats())
    assert stats.dropped["closed"] == 1
    assert stats.dropped["shutdown"] == 5
    assert "5 events could not be sent" in caplog.text


def test_a_closing_client_tries_once_more_soon(sink, client, monkeypatch):
    monkeypatch.setattr(_post, "delay", lambda attempt, order, chance: 600.0)
    sink.answer(503, b"disk full")
    client.log_prediction()
    assert not client.flush(0.2)
    assert client.shutdown(10)
    assert len(sink.rows()) == 1


def test_trouble_in_the_thread_does_not_end_it(sink, client, monkeypatch, conserved):
    def broken(*_: object) -> float:
        raise RuntimeError("odd")

    monkeypatch.setattr(_post, "delay", broken)
    monkeypatch.setattr(_post, "_FIRST_DELAY", 0.0)
    sink.answer(503, b"disk full", times=3)
    client.log_prediction(id="kept")
    assert client.flush(5)
    sink.answer(503, b"disk full", times=_post._MAX_SERVER_ERRORS)
    client.log_prediction(id="lost")
    assert client.flush(5)
    assert list(sink.ids()) == ["kept"]
    assert conserved(client.stats()).dropped == {"sender_error": 1}

"""The ingest routes over real HTTP: what is answered, when, and with which headers."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
import zstandard
from alerts.serving import serving
from collector.sent import TS, incoming, kept, ndjson, opened, prediction
from fastapi import FastAPI

from watchkeeper.collector.decoding import MAX_ERRORS_SHOWN
from watchkeeper.collector.inbox import Inbox
from watchkeeper.collector.ledger import book
from watchkeeper.collector.routes import MAX_KEY, IngestRoutes
from watchkeeper.schemas.settings import Ingest

LIMITS = Ingest(max_body_bytes=100_000, max_decoded_bytes=200_000, max_rows=500)
GOOD = {
    "predictions": {"id": "p", "service": "shop", "ts": TS},
    "outcomes": {"prediction_id": "p", "value": True},
    "reviews": {"prediction_id": "p", "decision": "approved"},
    "changes": {"kind": "deploy", "title": "1", "service": "shop"},
}


class Served:
    """A client of the routes, and the inbox behind them."""

    def __init__(self, client: httpx.Client, inbox: Inbox) -> None:
        self.client = client
        self.inbox = inbox

    def post(self, body: object, kind: str = "predictions", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(f"/v1/{kind}", content=body, headers={"Content-Type": "application/x-ndjson"} | named)


@contextmanager
def running(folder: Path, limits: Ingest = LIMITS, **bounds: int) -> Iterator[Served]:
    inbox = opened(folder, **bounds)
    app = FastAPI()
    app.include_router(IngestRoutes(inbox, limits).router())
    with serving(app) as client:
        yield Served(client, inbox)
    inbox.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with running(tmp_path) as one:
        yield one


def refused(response: httpx.Response, status: int, error: str, reason: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    said = response.json()
    assert said.keys() == {"error", "reason"}
    assert said["error"] == error
    assert reason in said["reason"]
    assert ("retry-after" in response.headers) == (status in (429, 503))


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_a_good_batch_is_counted_and_on_disk(served: Served, kind: str) -> None:
    line = json.dumps(GOOD[kind]).encode()
    response = served.post(ndjson(line, line), kind)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"accepted": 2, "rejected": 0, "duplicates": 0, "errors": []}
    with closing(sqlite3.connect(served.inbox._path)) as other:
        assert other.execute("SELECT kind, rows, body FROM batches").fetchall() == [(kind, 2, ndjson(line, line))]


def test_one_bad_row_does_not_spoil_the_others(served: Served) -> None:
    response = served.post(ndjson(prediction(), b'{"id":"x","service":"s","latency_ms":-1}', b"oops", prediction()))
    assert response.status_code == 200
    said = response.json()
    assert (said["accepted"], said["rejected"]) == (2, 2)
    assert said["errors"][0] == {"index": 1, "field": "latency_ms", "reason": "expected `float` >= 0.0"}
    assert (said["errors"][1]["index"], said["errors"][1]["field"]) == (2, "")
    [batch] = served.inbox.after(0, 10)
    assert (batch.rows, [reject.raw for reject in batch.rejected][1]) == (2, b"oops")


def test_of_many_bad_rows_all_are_counted_and_some_are_told(served: Served) -> None:
    said = served.post(ndjson(*[b"bad"] * 300)).json()
    assert (said["accepted"], said["rejected"], len(said["errors"])) == (0, 300, MAX_ERRORS_SHOWN)
    assert served.inbox.status().rejected == 300


def test_an_empty_body_holds_no_rows(served: Served) -> None:
    assert served.post(b"").json() == {"accepted": 0, "rejected": 0, "duplicates": 0, "errors": []}


ENCODED = {
    "gzip": gzip.compress,
    "GZIP": gzip.compress,
    "Zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "identity": bytes,
}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("media", ["application/x-ndjson", "application/json; charset=utf-8"])
def test_compressed_and_plain_lines_and_arrays(served: Served, encoding: str, media: str) -> None:
    rows = [prediction(system="é") for _ in range(3)]
    plain = ndjson(*rows) if "ndjson" in media else b"[" + b",".join(rows) + b"]"
    response = served.post(ENCODED[encoding](plain), Content_Encoding=encoding, Content_Type=media)
    assert response.status_code == 200, response.text
    assert response.json()["accepted"] == 3
    assert served.inbox.after(0, 10)[0].body == plain


@pytest.mark.parametrize(
    "media", ["", "application/x-ndjson", "application/ndjson", "application/jsonl", "text/plain", "TEXT/PLAIN; q=1"]
)
def test_lines_under_all_of_their_names(served: Served, media: str) -> None:
    assert served.post(prediction(), Content_Type=media).json()["accepted"] == 1


def test_400_nothing_could_be_read(served: Served) -> None:
    refused(served.post(b"[1, 2", Content_Type="application/json"), 400, "NotDecodable", "Send NDJSON, where one bad")
    refused(served.post(b"{}", Content_Type="application/json"), 400, "NotDecodable", "no array")
    for encoding in ("gzip", "zstd"):
        refused(served.post(b"plain", Content_Encoding=encoding), 400, "NotDecodable", f"not valid {encoding}")
        whole = ENCODED[{"zstd": "Zstd"}.get(encoding, encoding)](ndjson(*(prediction() for _ in range(50))))
        refused(served.post(whole[:-5], Content_Encoding=encoding), 400, "NotDecodable", "ends in the middle")
    refused(served.post(b"", Idempotency_Key="k" * (MAX_KEY + 1)), 400, "InputError", "over 200 characters")
    assert served.inbox.after(0, 10) == []


def test_413_over_a_limit_names_the_limit(served: Served) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [b"x" * 10_000] * 11

    refused(served.post(b"x" * 100_001), 413, "TooLarge", "over 100000 bytes (ingest.max_body_bytes)")
    refused(served.post(chunks()), 413, "TooLarge", "ingest.max_body_bytes")
    bomb = gzip.compress(bytes(10**7))
    refused(
        served.post(bomb, Content_Encoding="gzip"), 413, "TooLarge", "after decompression (ingest.max_decoded_bytes)"
    )
    refused(served.post(b"{}\n" * 501), 413, "TooLarge", "over 500 rows (ingest.max_rows)")
    assert served.post(ndjson(*(prediction() for _ in range(500)))).json()["accepted"] == 500


def test_415_the_type_or_the_encoding_is_not_known(served: Served) -> None:
    refused(
        served.post(b"", Content_Type="application/x-www-form-urlencoded"),
        415,
        "UnknownType",
        "application/x-ndjson or application/ndjson",
    )
    refused(
        served.post(b"", Content_Type="application/x-protobuf"), 415, "UnknownType", "is not read at /v1/predictions"
    )
    refused(served.post(b"", Content_Encoding="br"), 415, "UnknownEncoding", "use gzip, zstd or none")


def test_429_the_queue_is_full(tmp_path: Path) -> None:
    """One request waits for the disk, so that a second finds the queue full; both get through in the end."""
    with running(tmp_path, queue_requests=1) as served:
        with closing(sqlite3.connect(served.inbox._path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = served.inbox.append(incoming(prediction()))
            full = served.post(prediction())
            other.execute("ROLLBACK")
        refused(full, 429, "Overloaded", "ingest.queue_requests")
        assert full.headers["retry-after"] == "2"
        kept(waiting)
        assert served.post(prediction()).status_code == 200


def test_503_the_loader_is_far_behind(tmp_path: Path) -> None:
    with running(tmp_path, backlog_bytes=10) as served:
        assert served.post(prediction()).status_code == 200
        behind = served.post(prediction())
        refused(behind, 503, "StoreUnavailable", "ingest.backlog_bytes")
        assert behind.headers["retry-after"] == "2"
        served.inbox.trim(1)
        assert served.post(prediction()).status_code == 200


def test_503_the_disk_cannot_be_written_and_later_can(served: Served) -> None:
    assert served.post(prediction()).status_code == 200
    with closing(sqlite3.connect(served.inbox._path)) as other:
        other.execute("ALTER TABLE batches RENAME TO gone")
        refused(served.post(prediction()), 503, "StoreUnavailable", "the inbox cannot be written")
        other.execute("ALTER TABLE gone RENAME TO batches")
    assert served.post(prediction()).status_code == 200


def test_a_key_makes_a_repeated_request_harmless(served: Served) -> None:
    body = ndjson(prediction(), b"bad")
    first = served.post(body, Idempotency_Key="k1")
    again = served.post(body, Idempotency_Key="k1")
    assert again.content == first.content
    assert "watchkeeper-repeated" not in first.headers
    assert again.headers["watchkeeper-repeated"] == "true"
    other_kind = served.post(json.dumps(GOOD["outcomes"]).encode(), "outcomes", Idempotency_Key="k1")
    assert "watchkeeper-repeated" not in other_kind.headers
    assert [batch.kind for batch in served.inbox.after(0, 10)] == ["predictions", "outcomes"]


def test_keys_that_begin_alike_are_two(served: Served) -> None:
    for end in "ab":
        assert "watchkeeper-repeated" not in served.post(prediction(), Idempotency_Key="k" * 199 + end).headers
    assert len(served.inbox.after(0, 10)) == 2


def test_what_a_client_says_of_itself_is_set_against_what_arrived(served: Served) -> None:
    for said in (
        "a1; logged=10; dropped=2; pending=8",
        "a1;logged=15;dropped=2;pending=12",
        "b; logged=5; dropped=0; pending=5",
    ):
        served.post(prediction(), Watchkeeper_Client=said + "; service=shop")
    (group,) = served.inbox.clients()
    assert (group.service, group.clients, group.logged, group.accepted, group.dropped) == ("shop", 2, 20, 3, 2)
    assert (group.pending, group.missing) == (11 + 4, 0)


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "a",
        "a; logged",
        "a; logged=1",
        "a; logged=1; dropped=0; pending=-1",
        "a; logged=1; dropped=x; pending=0",
        "a; logged=1; dropped=1; pending=1",
        "; logged=1; dropped=0; pending=1",
        "a; logged=" + "9" * 5000 + "; dropped=0; pending=0",
    ],
)
def test_nonsense_of_a_client_is_no_book_and_costs_no_event(served: Served, nonsense: str) -> None:
    assert book(nonsense) is None
    assert served.post(prediction(), Watchkeeper_Client=nonsense).json()["accepted"] == 1
    assert served.inbox.clients() == []


def test_a_client_that_hangs_up_in_the_middle_leaves_no_trace(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    address = (served.client.base_url.host, served.client.base_url.port)
    with socket.create_connection(address) as raw:
        raw.sendall(b"POST /v1/predictions HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" + prediction()[:20])
    assert served.post(prediction()).status_code == 200
    assert [batch.rows for batch in served.inbox.after(0, 10)] == [1]
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_the_document_names_what_is_taken(served: Served) -> None:
    paths = served.client.get("/openapi.json").json()["paths"]
    for kind in GOOD:
        content = paths[f"/v1/{kind}"]["post"]["requestBody"]["content"]
        assert {"application/x-ndjson", "application/json"} <= set(content)

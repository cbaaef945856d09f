"""Rejects over a real server: listed with their reasons, corrected, sent again once."""

from __future__ import annotations

import io
import json
from pathlib import Path

import polars as pl
import pytest
from e2e.running import Server, run, until

from watchkeeper.app import replaying
from watchkeeper.app.remote import Remote
from watchkeeper.collector.raws import NAMES_ALONE

NO_SERVICE = b'{"id": "a", "ts": 1767600000}'
NOT_TEXT = b'{"id": "\xff\xfe", "service": "shop"}'
PRETTY = b'{\n "id": "b",\n "service": 7\n}'


@pytest.fixture
def told(server: Server) -> Server:
    """A server that turned three rows away: one without a service, one that is no text, one over several lines."""
    body = NO_SERVICE + b"\n" + NOT_TEXT
    assert server.client.post("/v1/predictions", content=body).json()["rejected"] == 2
    headers = {"Content-Type": "application/json"}
    assert server.client.post("/v1/predictions", content=b"[" + PRETTY + b"]", headers=headers).json()["rejected"] == 1
    until(lambda: len(listed(server)["rejects"]), lambda n: n == 3)
    return server


def listed(server: Server, **query: str) -> dict:
    return server.get("/v1/rejects", **query)


def replay(server: Server, *options: str) -> dict:
    done = run("rejects", "replay", "--url", server.url, "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_they_are_listed_and_counted_by_reason(told: Server) -> None:
    found = listed(told)
    assert [(r["row_index"], r["field"], r["service"]) for r in found["rejects"]] == [
        (0, "service", None),
        (1, "", None),
        (0, "service", None),
    ]
    assert found["rejects"][0]["raw"] == NO_SERVICE.decode()
    assert replaying.Line("x", "predictions", raw_base64=found["rejects"][1]["raw_base64"]).body == NOT_TEXT
    assert sorted((r["n"], r["reason"]) for r in found["reasons"]) == [
        (1, "expected `str`, got `int`"),
        (1, "not UTF-8 at byte 8"),
        (1, "object missing required field `service`"),
    ]
    assert listed(told, kind="outcomes")["rejects"] == []
    assert listed(told, service="shop")["reasons"] == []
    assert len(listed(told, since="2100-01-01")["rejects"]) == 0
    assert len(listed(told, limit="1")["rejects"]) == 1
    text = run("rejects", "list", "--url", told.url).stdout
    assert "object missing required field" in text
    assert NO_SERVICE.decode() in text


def test_a_row_that_fails_again_is_a_new_reject_and_the_old_one_is_closed(told: Server) -> None:
    before = {r["id"] for r in listed(told)["rejects"]}
    report = replay(told)
    assert (report["sent"], report["accepted"], report["rejected"], report["left_open"]) == (3, 0, 3, 0)
    assert any("missing required field" in reason for reason in report["reasons"])
    after = until(lambda: listed(told)["rejects"], lambda rows: len(rows) == 3)
    assert before.isdisjoint(r["id"] for r in after)
    assert sorted(map(raw_of, after)) == sorted([NO_SERVICE, NOT_TEXT, PRETTY]), "byte for byte, also the second time"
    assert len(listed(told, replayed="true")["rejects"]) == 6


def raw_of(reject: dict) -> bytes:
    return replaying.Line("x", "predictions", raw=reject.get("raw"), raw_base64=reject.get("raw_base64")).body


def test_corrected_in_a_file_they_are_stored_once(told: Server, tmp_path: Path) -> None:
    file = tmp_path / "rejects.ndjson"
    assert run("rejects", "export", file, "--url", told.url).returncode == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [sorted(row.keys() & {"event", "raw", "raw_base64"}) for row in rows] == [["event"], ["raw_base64"], ["raw"]]
    rows[0]["event"]["service"] = "shop"
    rows[1] |= {"raw_base64": None, "event": {"id": "c", "service": "shop", "ts": 1767600000}}
    rows[2]["raw"] = rows[2]["raw"].replace("7", '"shop"')
    file.write_text("\n".join(map(json.dumps, rows)))
    report = replay(told, "--file", str(file))
    assert (report["accepted"], report["rejected"], report["reasons"]) == (3, 0, [])
    assert listed(told)["rejects"] == []
    assert told.settled()["services"]["shop"]["loaded"] == 3
    assert replay(told, "--file", str(file))["accepted"] == 3, "the first answers, given again"
    again = told.settled()
    assert (again["services"]["shop"]["loaded"], again["repeated_batches"]) == (3, 2)


SPAN = {
    "traceId": "00",
    "spanId": "00f067aa0ba902b7",
    "name": "chat",
    "startTimeUnixNano": "1767600000000000000",
    "endTimeUnixNano": "1767600001000000000",
    "attributes": [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.prompt", "value": {"stringValue": "private"}},
    ],
}
SHOP = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
EVENT = {
    "specversion": "1.0",
    "id": "r1",
    "source": "x",
    "type": "org.kubeflow.serving.inference.request",
    "time": "yesterday",
    "inferenceservicename": "shop",
    "datacontenttype": "application/json",
    "data": {"instances": [[1, 2]]},
}
TURNED_AWAY = {
    "traces": ({"resourceSpans": [{"resource": SHOP, "scopeSpans": [{"spans": [SPAN]}]}]}, "application/json"),
    "litellm": ({"id": "", "model": "m", "messages": "private", "startTime": 1767600000}, "application/json"),
    "cloudevents": (EVENT, "application/cloudevents+json"),
}


def test_those_of_other_protocols_can_be_corrected_too(server: Server, tmp_path: Path) -> None:
    for path, (body, media) in TURNED_AWAY.items():
        answer = server.client.post(f"/v1/{path}", json=body, headers={"Content-Type": media})
        assert answer.status_code == 200, answer.text
    rejects = until(lambda: listed(server)["rejects"], lambda rows: len(rows) == 3)
    assert {row["kind"]: row["service"] for row in rejects} == {
        "otlp_traces": "shop",
        "litellm": None,
        "cloudevents": "shop",
    }
    assert "private" not in repr(rejects)
    again = replay(server)
    assert (again["sent"], again["accepted"], again["rejected"], again["left_open"]) == (3, 0, 3, 0)
    assert any("16 bytes" in reason for reason in again["reasons"])
    until(lambda: listed(server)["rejects"], lambda rows: len(rows) == 3)
    file = tmp_path / "rejects.ndjson"
    assert run("rejects", "export", file, "--url", server.url).returncode == 0
    text = file.read_text().replace('"00"', '"0af7651916cd43dd8448eb211c80319c"').replace('"id":""', '"id":"l1"')
    file.write_text(text.replace("yesterday", "2026-01-05T08:00:00Z"))
    report = replay(server, "--file", str(file))
    assert (report["accepted"], report["rejected"], report["reasons"]) == (3, 0, [])
    assert listed(server)["rejects"] == []
    status = server.settled()
    assert (status["waiting_halves"], status["services"]["shop"]["loaded"]) == (1, 1)
    assert server.story("0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7")["prediction"]["latency_ms"] == 1000
    assert server.story("l1")["prediction"]["model"] == "m"
    assert "watchkeeper_halves_waiting 1.0" in server.client.get("/metrics").text


def arrow(**columns: list) -> bytes:
    out = io.BytesIO()
    frame = pl.DataFrame({name: pl.Series(values) for name, values in columns.items()})
    frame.write_ipc_stream(out, compat_level=pl.CompatLevel.oldest())
    return out.getvalue()


def test_rows_of_an_arrow_stream_can_be_corrected_and_replayed_as_events(server: Server, tmp_path: Path) -> None:
    ids, latencies = ["a0", "a1", "a2"], [1.0, -5.0, 3.0]
    columns = {"features.x": [0.5] * 3, "tokens.input": [7] * 3, "service": ["shop"] * 3, "ts": [1767600000] * 3}
    body = arrow(id=ids, latency_ms=latencies, **columns)
    headers = {"Content-Type": "application/vnd.apache.arrow.stream"}
    assert server.client.post("/v1/predictions", content=body, headers=headers).json()["rejected"] == 1
    [reject] = until(lambda: listed(server)["rejects"], bool)
    assert (reject["kind"], reject["field"], reject["service"]) == ("predictions", "latency_ms", "shop")
    assert replay(server)["rejected"] == 1, "as it is it fails again"
    file = tmp_path / "rejects.ndjson"
    until(lambda: listed(server)["rejects"], lambda rows: len(rows) == 1 and rows[0]["id"] != reject["id"])
    assert run("rejects", "export", file, "--url", server.url).returncode == 0
    file.write_text(file.read_text().replace("-5.0", "5.0"))
    assert replay(server, "--file", str(file))["accepted"] == 1
    assert listed(server)["rejects"] == []
    assert server.settled()["services"]["shop"]["loaded"] == 3
    story = server.story("a1")
    assert (story["prediction"]["latency_ms"], story["prediction"]["tokens_input"]) == (5.0, 7)
    assert story["features"] == {"x": 0.5}


def test_a_half_that_came_too_late_goes_into_the_row_that_was_told_without_it(tmp_path: Path) -> None:
    def halve(part: str, data: object) -> dict:
        return EVENT | {"type": f"org.kubeflow.serving.inference.{part}", "time": "2026-01-05T08:00:00Z", "data": data}

    with Server(tmp_path, {"WATCHKEEPER_INGEST_JOIN_SECONDS": "0.1"}) as server:
        media = {"Content-Type": "application/cloudevents+json"}
        assert server.client.post("/v1/cloudevents", json=halve("request", EVENT["data"]), headers=media).is_success
        until(server.status, lambda status: status["services"].get("shop", {}).get("loaded") == 1)
        said = halve("response", {"predictions": [7]})
        assert server.client.post("/v1/cloudevents", json=said, headers=media).is_success
        told = until(lambda: server.story("r1")["prediction"], lambda found: found["prediction"] == "7")
        assert told["status"] == "ok"
        assert server.settled()["services"]["shop"]["loaded"] == 1
        assert listed(server)["rejects"] == []


def test_what_was_kept_by_its_names_alone_stays_open() -> None:
    remote = Remote("http://127.0.0.1:9")
    raw, reason = '{"resourceSpans": []}', f"a trace id has 16 bytes{NAMES_ALONE}"
    report = replaying.replay(remote, [replaying.Line("1.0", "otlp_traces", 0, reason=reason, raw=raw)])
    assert (report.sent, report.left_open) == (0, 1)
    assert "nothing kept of the row but names" in report.reasons[0]


def test_a_kind_without_a_route_stays_open_and_nothing_is_sent() -> None:
    remote = Remote("http://127.0.0.1:9")
    report = replaying.replay(remote, [replaying.Line("1.0", "gpu_samples", 0, raw="{}")])
    assert (report.sent, report.left_open) == (0, 1)
    assert "gpu_samples" in report.reasons[0]


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    missing = run("rejects", "replay", "--file", tmp_path / "none.ndjson", "--url", "http://127.0.0.1:9")
    assert (missing.returncode, "No such file" in missing.stderr) == (3, True)
    (tmp_path / "bad.ndjson").write_text("{")
    bad = run("rejects", "replay", "--file", tmp_path / "bad.ndjson", "--url", "http://127.0.0.1:9")
    assert (bad.returncode, "as `rejects export` wrote it" in bad.stderr) == (3, True)

"""What the server tells: status, metrics, named queries in both forms, the story of one decision."""

from __future__ import annotations

import io
import shutil
import subprocess
from datetime import UTC, datetime

import httpx
import polars as pl
import pytest
from e2e.running import Server, until
from prometheus_client.parser import text_string_to_metric_families

ARROW = "application/vnd.apache.arrow.stream"
START = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
SETTINGS = {
    "WATCHKEEPER_SERVER_CLOCK": "events",
    "WATCHKEEPER_REFERENCE_DAYS": "1",
    "WATCHKEEPER_REFERENCE_MIN_ROWS": "100",
    "WATCHKEEPER_SCHEDULE_MIN_EVERY_SECONDS": "86400",
}
WINDOW = {"start": "2026-03-01", "end": "2026-03-04"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("reading"), SETTINGS) as filled:
        fill(filled)
        yield filled


def fill(server: Server) -> None:
    made = [
        {
            "id": f"p/{number}",
            "service": "shop",
            "model": ["small", "large"][number % 2],
            "model_version": "1",
            "ts": START + number * 300,
            "prediction": number % 3 == 0,
            "score": (number % 10) / 10,
            "latency_ms": 10.0 + number,
            "cost": 0.25,
            "segments": {"plan": ["free", "pro"][number % 2]},
            "features": {"amount": number, "country": "IT" if number > 700 else ["DE", "FR"][number % 2]},
            "status": "error" if number % 100 == 0 else "ok",
            "trace_id": f"order/{number // 2}",
        }
        for number in range(800)
    ]
    known = [
        {
            "prediction_id": one["id"],
            "prediction_ts": one["ts"],
            "value": one["prediction"],
            "service": "shop",
            "known_at": one["ts"] + 60,
        }
        for one in made[:400]
    ]
    change = {"kind": "deploy", "title": "v2", "service": "shop", "ts": START + 100}
    review = {"prediction_id": "p/3", "decision": "overridden", "service": "shop", "ts": START + 2000, "minutes": 2}
    server.send("predictions", *made)
    server.send("outcomes", *known, {"prediction_id": "nobody", "value": True, "service": "shop"})
    server.send("changes", change)
    server.send("reviews", review)
    server.send(
        "predictions",
        {"id": "p/1", "service": "shop", "ts": "no time"},
        made[5],
        Watchkeeper_Client="a; logged=9; dropped=4; pending=2; service=shop; site=ams",
    )
    server.settled()
    until(server.status, lambda status: status["evaluated_to"] == "2026-03-03T00:00:00Z")


def test_the_status_adds_up(server):
    status = server.status()
    assert status["accepted"] == status["durable"] == 800 + 401 + 1 + 1 + 1
    assert (status["loaded"], status["duplicates"], status["rejected"]) == (1203, 1, 1)
    assert status["accepted"] == status["loaded"] + status["duplicates"]
    assert (status["waiting"], status["lag_seconds"], status["pending_outcomes"]) == (0, 0.0, 1)
    assert (status["logged_by_clients"], status["dropped_by_clients"], status["missing"]) == (9, 4, 0)
    assert status["completeness"] == pytest.approx(1 - 5 / (1204 + 5))
    assert status["services"]["shop"]["last_ts"] == status["complete_to"] == "2026-03-03T18:35:00Z"


def test_the_ledger_tells_what_each_site_sent(server):
    told = server.get("/v1/telemetry")
    (group,) = told["groups"]
    assert (group["service"], group["site"], group["version"]) == ("shop", "ams", "")
    assert (group["sent"], group["accepted"], group["rejected"], group["dropped"]) == (9, 1, 1, 4)
    assert (group["durable"], group["missing"], group["pending"], group["state"]) == (1, 0, 0, "partial")
    assert told["expected"] == []


def test_metrics_are_read_by_the_reference_parser_and_say_what_the_status_says(server):
    response = server.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    status = server.status()
    for fate, name in (("accepted", "accepted"), ("loaded", "loaded"), ("duplicate", "duplicates")):
        assert samples["watchkeeper_events_total", ("fate", fate)] == status[name]
    assert samples["watchkeeper_events_total", ("fate", "dropped_by_client")] == 4
    shop = ("service", "shop")
    assert samples["watchkeeper_telemetry_events_total", ("fate", "dropped"), shop] == 4
    assert samples["watchkeeper_telemetry_open_events", shop, ("state", "missing")] == 0
    newest = datetime.fromisoformat(status["complete_to"]).timestamp()
    assert samples["watchkeeper_telemetry_last_event_timestamp_seconds", ("service", "shop")] == newest
    families = list(text_string_to_metric_families(response.text))
    assert all(family.documentation and family.type in {"counter", "gauge"} for family in families)


@pytest.mark.debian
def test_metrics_please_promtool(server):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    text = server.client.get("/metrics").content
    judged = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (judged.returncode, judged.stdout + judged.stderr) == (0, b"")


def test_every_query_tells_the_same_as_json_and_as_arrow(server):
    listed = server.get("/v1/queries")
    assert len(listed) >= 9
    for query in listed:
        assert query["question"].endswith("?")
        given = WINDOW | {"service": "shop", "model": "large", "dim": "plan" if "dim" in query["parameters"] else ""}
        path = f"/v1/queries/{query['name']}"
        told = server.get(path, **given)["rows"]
        streamed = server.client.get(path, params=given, headers={"Accept": ARROW})
        assert streamed.headers["content-type"] == ARROW
        frame = pl.read_ipc_stream(io.BytesIO(streamed.content))
        aware = frame.with_columns(pl.col(pl.Datetime("us")).dt.replace_time_zone("UTC"))
        rows = [
            {
                name: datetime.fromisoformat(row[name]) if value.__class__ is datetime else row[name]
                for name, value in other.items()
            }
            for row, other in zip(told, aware.to_dicts(), strict=True)
        ]
        assert rows == aware.to_dicts(), query["name"]
        if query["name"] != "gpus":
            assert rows, query["name"]


def test_queries_count_what_was_sent(server):
    overview = {row["model"]: row for row in server.rows("overview", service="shop", **WINDOW)}
    assert {model: row["requests"] for model, row in overview.items()} == {"small": 400, "large": 400}
    assert overview["small"]["errors"] == 8
    assert overview["large"]["cost"] == 100.0
    assert overview["large"]["latency_p50_ms"] == pytest.approx(10 + 400, rel=0.02)
    days = server.rows("traffic", service="shop", model="small", **WINDOW)
    assert [day["requests"] for day in days] == [144, 144, 112]
    plans = server.rows("segments", service="shop", dim="plan", **WINDOW)
    assert {(row["model"], row["value"]): row["requests"] for row in plans} == {
        ("small", "free"): 400,
        ("large", "pro"): 400,
    }
    quality = server.rows("quality", service="shop", model="large", **WINDOW)
    assert (sum(row["known"] for row in quality), sum(row["correct"] for row in quality)) == (200, 200)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1/queries/sql", 404, "there is no query 'sql'; known: audit, changes"),
        ("/v1/queries/quality", 400, "give service and model"),
        ("/v1/queries/traffic?start=yesterday", 400, "is not an ISO 8601 time"),
        ("/v1/queries/traffic?start=2026-03-02&end=2026-03-01", 400, "start is after end"),
        ("/v1/queries/traffic?start=2020-01-01&end=2026-03-01&step=60", 400, "give a longer step"),
        ("/v1/predictions/never", 404, "no prediction with id 'never'"),
        ("/v1/incidents/never", 404, "never"),
    ],
)
def test_a_question_that_cannot_be_answered_gets_a_reason(server, path, status, said):
    response = server.client.get(path)
    assert response.status_code == status
    assert said in response.text


@pytest.mark.parametrize("zone", ["2026-03-01T05:30:00+05:30", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00"])
def test_times_are_understood_in_any_zone_escaped_or_not(server, zone):
    for path in (f"/v1/queries/overview?start={zone}", f"/v1/queries/overview?start={zone.replace('+', '%2B')}"):
        rows = server.client.get(path + "&end=2026-03-02").json()["rows"]
        assert [row["requests"] for row in rows] == [144, 144]


def test_the_story_of_one_decision_is_whole(server):
    story = server.story("p/3")
    assert (story["prediction"]["id"], story["prediction"]["model"]) == ("p/3", "large")
    assert (story["features"], story["segments"]) == ({"amount": 3.0, "country": "FR"}, {"plan": "pro"})
    assert [outcome["value"] for outcome in story["outcomes"]] == ["true"]
    assert [match["correct"] for match in story["matched"]] == [True]
    assert [(review["decision"], review["minutes"]) for review in story["reviews"]] == [("overridden", 2.0)]
    assert [change["title"] for change in story["changes_before"]] == ["v2"]
    escaped = server.client.get("/v1/predictions/" + httpx.QueryParams({"x": "p/3"}).get("x").replace("/", "%2F"))
    assert escaped.json() == story
    assert server.story("p/0")["changes_before"] == []

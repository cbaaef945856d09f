"""Files of logs: what their columns become, and that the same file again adds nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from e2e.running import run, until

ROWS = 2_500
"""More than one batch."""


def frame(prefix: str) -> pl.DataFrame:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "id": [f"{prefix}-{number}" for number in range(ROWS)],
            "timestamp": pl.datetime_range(start, interval="1m", end=start.replace(day=3), eager=True)[:ROWS],
            "prediction": [number % 2 == 0 for number in range(ROWS)],
            "latency_ms": [float(number % 90) for number in range(ROWS)],
            "amount": [number / 4 for number in range(ROWS)],
            "country": [["DE", "FR", None][number % 3] for number in range(ROWS)],
            "segment": [["web", "app"][number % 2] for number in range(ROWS)],
            "tokens_in": [number % 7 for number in range(ROWS)],
            "outcome": [number % 4 == 0 if number % 5 == 0 else None for number in range(ROWS)],
            "outcome_ts": [start.replace(day=20)] * ROWS,
        }
    )


def written(folder: Path, suffix: str) -> Path:
    file = folder / f"logs.{suffix}"
    if suffix == "csv":
        frame(suffix).write_csv(file)
    elif suffix == "parquet":
        frame(suffix).write_parquet(file)
    else:
        frame(suffix).write_ndjson(file)
    return file


@pytest.mark.parametrize("suffix", ["csv", "parquet", "ndjson"])
def test_the_same_file_twice_adds_nothing(shared_server, tmp_path, suffix):
    service, file = f"import-{suffix}", written(tmp_path, suffix)
    words = ("import", file, "--service", service, "--model", "m", "--url", shared_server.url, "--json")
    reports = [json.loads(run(*words).stdout) for _ in range(2)]
    assert reports == [{"rows": ROWS, "accepted": ROWS, "rejected": 0, "outcomes": ROWS / 5}] * 2
    status = shared_server.settled()["services"][service]
    assert (status["loaded"], status["duplicates"], status["rejected"]) == (ROWS * 1.2, 0, 0)
    assert shared_server.rows("overview", service=service, end="2026-04-01", start="2026-03-01")[0]["requests"] == ROWS


def test_columns_find_their_place(shared_server, tmp_path):
    file = tmp_path / "places.parquet"
    frame("place").write_parquet(file)
    run("import", file, "--service", "import-places", "--url", shared_server.url).check_returncode()
    shared_server.settled()
    story = shared_server.story("place-20")
    prediction = story["prediction"]
    assert (prediction["ts"], prediction["latency_ms"]) == ("2026-03-01T00:20:00Z", 20.0)
    assert (prediction["prediction"], prediction["tokens_input"]) == ("true", 20 % 7)
    assert story["features"] == {"amount": 5.0, "country": None}
    assert story["segments"] == {"segment": "web"}
    (matched,) = story["matched"]
    assert (matched["value"], matched["correct"], matched["known_at"]) == ("true", True, "2026-03-20T00:00:00Z")


def test_events_that_were_written_as_they_are_sent_are_read_as_they_were(shared_server, tmp_path):
    events = [
        {"id": "own-0", "ts": 1_772_000_000, "features": {"amount": 1.5}, "segments": {"plan": "pro"}},
        {"id": "own-1", "ts": 1_772_000_060, "features": {"country": "DE"}, "tokens": {"input": 5, "output": 7}},
        {"id": "own-2", "ts": 1_772_000_120, "checks": [{"name": "pii", "passed": False}], "extra": {"note": "x"}},
    ]
    file = tmp_path / "own.jsonl"
    file.write_text("\n".join(map(json.dumps, events)))
    run("import", file, "--service", "import-own", "--url", shared_server.url).check_returncode()
    shared_server.settled()
    first, second, third = (shared_server.story(event["id"]) for event in events)
    assert (first["features"], first["segments"]) == ({"amount": 1.5, "country": None}, {"plan": "pro"})
    assert (second["features"]["country"], second["prediction"]["tokens_output"]) == ("DE", 7)
    assert (third["prediction"]["checks"][0]["name"], third["extra"]) == ("pii", {"note": "x"})


def test_files_of_one_name_for_two_services_do_not_meet(shared_server, tmp_path):
    for service in ("import-left", "import-right"):
        folder = tmp_path / service
        folder.mkdir()
        (folder / "export.csv").write_text("ts,amount\n2026-03-01T00:00:00,1\n2026-03-01T00:01:00,2\n")
        run("import", folder / "export.csv", "--service", service, "--url", shared_server.url).check_returncode()
    services = shared_server.settled()["services"]
    assert [services[name]["loaded"] for name in ("import-left", "import-right")] == [2, 2]


def test_rows_without_id_and_with_faults_are_counted_and_the_others_kept(shared_server, tmp_path):
    file = tmp_path / "some.csv"
    file.write_text("ts,tokens_in,amount\n2026-03-01T00:00:00,5,1\n2026-03-01T00:01:00,-5,2\n2026-03-01T00:02:00,,3\n")
    words = ("import", file, "--service", "import-some", "--url", shared_server.url, "--json")
    assert json.loads(run(*words).stdout) == {"rows": 3, "accepted": 2, "rejected": 1, "outcomes": 0}
    status = until(shared_server.status, lambda s: s["services"].get("import-some", {}).get("rejected"))
    assert status["services"]["import-some"]["loaded"] == 2
    assert shared_server.story("import-some/default/some.csv/2")["features"] == {"amount": 3.0}


def test_one_cell_that_is_no_number_costs_its_row_alone_and_is_named(shared_server, tmp_path):
    """polars makes a column of texts of it."""
    file = tmp_path / "cells.csv"
    file.write_text("ts,score,tokens_in\n1795000000,0.5,7\n1795000001,N/A,8\n1795000002,0.25,none\nsoon,1,9\n")
    answer = run("import", file, "--service", "import-cells", "--url", shared_server.url)
    assert answer.stdout.splitlines()[1:3] == ["accepted: 1", "rejected: 3"]
    said = answer.stderr.splitlines()
    assert "watchkeeper: rejected, row 1 first: score: expected `float | null`, got `str`" in said
    assert "watchkeeper: rejected, row 3 first: ts: 'soon' is not an ISO 8601 time" in said
    assert said[-1].endswith("see `watchkeeper rejects export`")
    until(shared_server.status, lambda s: s["services"].get("import-cells", {}).get("loaded"))
    story = shared_server.story("import-cells/default/cells.csv/0")
    assert (story["prediction"]["score"], story["prediction"]["tokens_input"]) == (0.5, 7)


def test_a_server_that_goes_away_is_told_with_the_row_to_go_on_at(server, tmp_path):
    file = written(tmp_path, "csv")
    words = ("import", file, "--service", "import-halves", "--url", server.url, "--json")
    settings = {"WATCHKEEPER_RETENTION_FACTS_DAYS": "0"}
    rest = run(*words, "--start-row", "2000", settings=settings)
    assert json.loads(rest.stdout)["rows"] == ROWS - 2000
    assert rest.stderr == ""
    server.kill()
    stopped = run(*words, "--start-row", "2000", settings=settings)
    assert stopped.returncode != 0
    assert "go on with --start-row 2000" in stopped.stderr
    server.start()
    assert json.loads(run(*words, settings=settings).stdout)["accepted"] == ROWS
    told = server.settled()["services"]["import-halves"]
    assert (told["loaded"], told["duplicates"]) == (ROWS * 1.2, 0), "a batch that was stored is known by its key"


def test_rows_from_before_what_is_kept_are_told_before_they_are_sent(shared_server, tmp_path):
    file = tmp_path / "old.csv"
    file.write_text(f"ts,amount\n2026-03-01T00:00:00,1\n{datetime.now(UTC):%Y-%m-%dT%H:%M:%S},2\n")
    done = run("import", file, "--service", "import-old", "--url", shared_server.url, "--json")
    assert "1 rows are older than the 90 days that facts are kept" in done.stderr
    assert json.loads(done.stdout)["accepted"] == 2

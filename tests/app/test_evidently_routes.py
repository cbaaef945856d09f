"""Evidently's page by HTTP, and its result both ways, on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from app.test_reading import SETTINGS, WINDOW, fill
from e2e.running import Server, run, until

from watchkeeper.app.evidently_routes import EvidentlyRoutes
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import Unavailable

PAIR = ("--service", "shop", "--model", "large")
THEIRS = Path(__file__).parents[1] / "analyzers" / "evidently_result.json"
MISSING = "raise ImportError('no such thing here')\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("evidently"), SETTINGS) as filled:
        fill(filled)
        until(lambda: filled.get("/v1/references/edges", service="shop", model="large")["features"], len)
        yield filled


@pytest.mark.skipif(find_spec("evidently") is None, reason="evidently is not installed: watchkeeper[evidently]")
def test_the_page_comes_by_http(server: Server) -> None:
    answer = server.client.get("/v1/evidently/page", params={"service": "shop", "model": "large"} | WINDOW, timeout=300)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert 'filename="evidently-20260301-20260304.html"' in answer.headers["content-disposition"]
    assert "window.drawDashboard" in answer.text


def test_a_model_without_rows_is_told_as_such(server: Server) -> None:
    answer = server.client.get("/v1/evidently/page", params={"service": "shop", "model": "nobody"} | WINDOW)
    assert (answer.status_code, "nothing to compare" in answer.text) == (404, True)


def test_without_evidently_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "evidently.py").write_text(MISSING)
    import os  # noqa: PLC0415

    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    with Server(tmp_path, SETTINGS | {"PYTHONPATH": path}) as server:
        fill(server)
        until(lambda: server.get("/v1/references/edges", service="shop", model="large")["features"], len)
        answer = server.client.get("/v1/evidently/page", params={"service": "shop", "model": "large"} | WINDOW)
    assert answer.status_code == 503
    assert "pip install 'watchkeeper[evidently]' where the server runs" in answer.json()["reason"]


def test_one_page_is_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pl.DataFrame({"watchkeeper_part": ["reference", "current"], "x": [1.0, 2.0]})
    monkeypatch.setattr("watchkeeper.app.evidently_routes.answer", lambda *_: rows)
    routes = EvidentlyRoutes(None, lambda: pytest.fail("not asked"), Declarations)  # type: ignore[arg-type]
    with routes._one, pytest.raises(Unavailable, match="another page of Evidently is being made"):
        routes.page(_Request(), "s", "m", "2026-03-01", "2026-03-02")  # type: ignore[arg-type]


class _Request:
    def __init__(self) -> None:
        self.scope: dict[str, object] = {}


def test_their_result_is_kept_once_and_ours_is_written(server: Server, tmp_path: Path) -> None:
    words = ("evidently", "import", THEIRS, *PAIR, "--start", "2026-02-01", "--end", "2026-02-08", "--url", server.url)
    for _ in range(2):
        done = run(*words, "--json")
        assert done.returncode == 0, done.stderr
    asked = {"service": "shop", "model": "large", "start": "2026-02-01", "end": "2026-02-09", "analyzer": "evidently"}
    kept = server.rows("readings", **asked)
    assert len(kept) == json.loads(done.stdout)["readings"]
    [one] = [row for row in kept if row["metric"] == "evidently.value_drift.psi"]
    assert (one["subject"], one["value"], one["reference"]) == ("x", 0.9826176647706759, 0.1)
    out = tmp_path / "ours.json"
    assert run("evidently", "export", *PAIR, "--out", out, "--end", "2026-03-04", "--url", server.url).returncode == 0
    assert json.loads(out.read_text())["metrics"][0]["config"]["type"].endswith("DriftedColumnsCount")


def test_what_is_no_result_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("[]")
    (tmp_path / "odd.json").write_text("{}")
    span = ("--start", "2026-02-01", "--end", "2026-02-08", "--url", server.url)
    for name in ("no", "odd"):
        done = run("evidently", "import", tmp_path / f"{name}.json", *PAIR, *span)
        assert (done.returncode, "no result of Evidently" in done.stderr) == (3, True)

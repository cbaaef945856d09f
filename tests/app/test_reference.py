"""``watchkeeper reference``: kept by a real server, of a window, a version and a file; and compared with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from app.test_reading import SETTINGS, WINDOW, fill
from e2e.running import Server, run, until

DECLARED = """
apiVersion: watchkeeper/v1
kind: Reference
metadata: {name: shop-calm}
spec: {service: shop, model: large, type: kept, kept: calm}
---
apiVersion: watchkeeper/v1
kind: System
metadata: {name: shop}
spec: {services: [shop], owner: sales, protected: [country]}
"""
PAIR = ("--service", "shop", "--model", "large")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("reference")
    (folder / "declared").mkdir()
    (folder / "declared" / "reference.yaml").write_text(DECLARED)
    with Server(folder, SETTINGS | {"WATCHKEEPER_CONTROL_DECLARED_DIR": str(folder / "declared")}) as filled:
        fill(filled)
        until(lambda: filled.get("/v1/references/edges", service="shop", model="large")["features"], len)
        yield filled


def kept(server: Server, *words: str | Path) -> dict[str, object]:
    done = run("reference", *words, *PAIR, "--url", server.url, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def histogram(server: Server) -> list[dict[str, object]]:
    return server.rows("histogram", service="shop", model="large", feature="amount", **WINDOW)


def test_a_window_is_kept_and_compared_with_as_declared(server: Server) -> None:
    before = histogram(server)
    assert {row["against"] for row in before} == {"the reference calm, version 1, which never moves"}
    assert sum(row["reference_n"] for row in before) == 0, "it is declared and not made yet"
    made = kept(server, "from-window", "--name", "calm", "--start", "2026-03-02", "--end", "2026-03-03")
    assert (made["name"], made["version"], made["total"]) == ("calm", 1, 144)
    assert sum(row["reference_n"] for row in histogram(server)) == 144
    small = server.rows("histogram", service="shop", model="small", feature="amount", **WINDOW)
    assert {row["against"] for row in small} == {"the first days that were kept, which never move"}
    entries = run("audit", "list", "--data-dir", server.data, "--json")
    assert "shop/large/calm" in entries.stdout


def test_a_version_and_a_file_are_kept_too(server: Server, tmp_path: Path) -> None:
    assert kept(server, "from-version", "--name", "v1", "--version", "1")["total"] == 400
    rows = {"amount": [1.5, 2.5, None], "country": ["DE", "XX", "FR"], "score": [0.1, 0.2, 0.3], "ts": ["2025"] * 3}
    pl.DataFrame(rows | {"new": [True, False, True]}).write_csv(tmp_path / "training.csv")
    made = kept(server, "from-file", tmp_path / "training.csv", "--name", "training")
    assert (made["origin"], made["detail"], made["total"]) == ("file", "file training.csv", 3)
    assert (made["features"], made["left_out"]) == (3, ["country", "ts"])
    twice = kept(server, "from-file", tmp_path / "training.csv", tmp_path / "training.csv", "--name", "training")
    assert (twice["version"], twice["total"], twice["detail"]) == (2, 6, "file training.csv, training.csv")
    listed = run("reference", "list", "--service", "shop", "--url", server.url)
    assert "training, version 1, of shop / large: 3 rows, file training.csv" in listed.stdout


def test_the_bins_of_a_protected_attribute_are_not_told(server: Server) -> None:
    """They begin and end at the value of one row, and are as fine as a hundredth of the rows."""
    told = server.get("/v1/references/edges", service="shop", model="large")
    assert told["protected"] == ["country"]
    names = {one["feature"] for one in told["features"]}
    assert names >= {"amount", "score", "prediction"}
    assert "country" not in names


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"version": "1", "start": "2026-03-01"}, "give just one of"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "a window has a start and a later end, and is over"),
        ({"start": "2026-03-02", "end": "2036-03-01"}, "a window has a start and a later end, and is over"),
        ({"version": "none"}, "no rows of any feature"),
        ({"file": "x", "features": [{"feature": "n", "kind": "numeric", "edges": [2, 1], "counts": []}]}, "must rise"),
        ({"file": "x", "features": [{"feature": "n", "kind": "numeric", "counts": []}]}, "needs two edges"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(server: Server, body: dict[str, object], words: str) -> None:
    answer = server.client.post("/v1/references", json={"service": "shop", "model": "large", "name": "x"} | body)
    assert answer.status_code == 400, answer.text
    assert words in answer.text


def test_a_file_without_features_is_refused(server: Server, tmp_path: Path) -> None:
    pl.DataFrame({"ts": ["2026-03-01"]}).write_csv(tmp_path / "none.csv")
    done = run("reference", "from-file", tmp_path / "none.csv", *PAIR, "--name", "x", "--url", server.url)
    assert (done.returncode, "holds no rows with features" in done.stderr) == (3, True)

"""``watchkeeper report evidently``: the real Evidently, on rows of a real server."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from app.test_reading import SETTINGS, WINDOW, fill
from e2e.running import Server, run, until

from watchkeeper.app import evidently_html
from watchkeeper.app.evidently_report import comparable, render
from watchkeeper.schemas.errors import NotFound, SettingsError, Unavailable
from watchkeeper.store.facts.sample import CURRENT, PART, REFERENCE

real = pytest.mark.skipif(find_spec("evidently") is None, reason="evidently is not installed: watchkeeper[evidently]")


def pair(rows: int = 50) -> pl.DataFrame:
    return pl.DataFrame(
        {
            PART: [REFERENCE] * rows + [CURRENT] * rows,
            "x": [float(n) for n in range(2 * rows)],
            "the plan": ["a", None] * rows,
            "gone": [1.0] * rows + [None] * rows,
            "endless": [1.0] * rows + [float("inf")] * rows,
        }
    )


@real
def test_the_page_of_a_real_server_is_evidentlys(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    with Server(tmp_path, SETTINGS) as server:
        fill(server)
        until(lambda: server.rows("sample", service="shop", model="large", **WINDOW), lambda rows: any(
            row[PART] == REFERENCE for row in rows))  # fmt: skip
        words = ("report", "evidently", "--service", "shop", "--model", "large", "--url", server.url, "--out", out)
        nobody = run(*words[:4], "--model", "nobody", *words[6:], "--start", WINDOW["start"], "--end", WINDOW["end"])
        done = run(*words, "--start", WINDOW["start"], "--end", WINDOW["end"], "--json")
    assert (nobody.returncode, "nothing to compare: its reference has no rows here" in nobody.stderr) == (5, True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == {
        "reference_rows": 144,
        "current_rows": 400,
        "columns": 4,
        "left_out": [],
        "bytes": out.stat().st_size,
    }
    page = out.read_text()
    assert "window.drawDashboard" in page
    assert "country" in page
    assert not list(tmp_path.glob(".evidently-*"))


def test_columns_without_a_value_in_one_part_are_left_out() -> None:
    rows, left_out = comparable(pair())
    assert left_out == ["gone", "endless"]
    assert rows.columns == [PART, "x", "the plan"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (pair().filter(pl.col(PART) == CURRENT), "its reference has no rows here"),
        (pair().filter(pl.col(PART) == REFERENCE), "it sent nothing in this window"),
        (pair().select(PART, "gone"), "no feature, score or prediction has values in both"),
    ],
)
def test_what_cannot_be_compared_is_said(rows: pl.DataFrame, words: str) -> None:
    with pytest.raises(NotFound, match=words):
        comparable(rows)


def test_a_child_that_takes_too_long_is_stopped_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="took over 0 s and was stopped"):
        render(pair(), tmp_path / "page.html", seconds=0.01)
    assert list(tmp_path.iterdir()) == []


def test_a_child_without_evidently_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evidently.py").write_text("raise ImportError('no such thing here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with pytest.raises(SettingsError, match=r"\(no such thing here\): pip install 'watchkeeper\[evidently\]'"):
        render(pair(), tmp_path / "page.html")


def test_a_child_that_wants_too_much_memory_is_refused_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = 2 * evidently_html.MEMORY_BYTES
    (tmp_path / "evidently.py").write_text(f"held = bytearray({wanted})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with pytest.raises(Unavailable, match=r"exit code 1 \(MemoryError\); it may use 6 GiB of address space"):
        render(pair(), tmp_path / "page.html")

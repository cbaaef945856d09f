from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from analyzers.world import from_day, made

from watchkeeper.app.backtesting import lines, run, streams
from watchkeeper.schemas.errors import InputError


def files(folder: Path, days: int = 60, count: int = 2) -> list[Path]:
    renamed = pl.when(from_day(40)).then(pl.col("carrier").replace("B6", "JBU")).otherwise(pl.col("carrier"))
    made_files = []
    for seed in range(1, 1 + count):
        made_files.append(folder / f"stream-{seed}.parquet")
        made(days=days, rows=30, seed=seed).with_columns(renamed.alias("carrier")).write_parquet(made_files[-1])
    return made_files


def command(made_files: list[Path], out: Path) -> list[str]:
    argv = [sys.executable, "-m", "watchkeeper.app", "backtest", *map(str, made_files)]
    return [*argv, "--out", str(out), "--jobs", "2"]


def test_streams_that_were_killed_go_on_and_say_the_same_as_each_alone(tmp_path: Path) -> None:
    made_files = files(tmp_path)
    alone = {}
    for file in made_files:
        alone |= run(streams([file], tmp_path / f"{file.stem}.json"), 28, 1, lambda *_: None)
    out = tmp_path / "found"
    keep = tmp_path / "found.partial"
    first = subprocess.Popen(command(made_files, out), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(keep.glob("*/state.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    first.kill()
    first.wait()
    assert list(keep.glob("*")), "nothing was kept when it was killed"
    for _ in range(50):  # a child ends when it sees that its parent is gone
        done = subprocess.run(command(made_files, out), capture_output=True, text=True, check=False)
        if "wait for the other backtest" not in done.stderr:
            break
        time.sleep(0.2)
    assert (done.returncode, done.stderr) == (0, "")
    assert {file.stem: json.loads((out / f"{file.stem}.json").read_text()) for file in made_files} == alone
    assert not keep.exists()
    assert "stream-2: " in done.stdout
    assert "'JBU'" in done.stdout


def test_what_is_finished_is_not_replayed_again_while_others_are_left(tmp_path: Path) -> None:
    made_files = files(tmp_path, days=30, count=3)
    asked = streams(made_files, tmp_path / "found")
    made_files[2].rename(tmp_path / "away")
    with pytest.raises(InputError, match="no such file"):
        run(asked, 28, 1, lambda *_: None)
    (tmp_path / "away").rename(made_files[2])
    heard: list[tuple[str, int, int]] = []
    run(asked, 28, 1, lambda *told: heard.append(told))
    assert [told for told in heard if told[0] != "stream-3"] == [("stream-1", 1, 1), ("stream-2", 1, 1)]
    assert len(heard) > 20


def test_an_error_in_a_child_is_told_as_what_it_is(tmp_path: Path) -> None:
    made_files = files(tmp_path, days=30)
    made_files[1].write_text("no")
    with pytest.raises(InputError, match=r"cannot read .*stream-2\.parquet as Parquet"):
        run(streams(made_files, tmp_path / "found"), 28, 2, lambda *_: None)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="several files are called a"):
        streams([tmp_path / "x" / "a.parquet", tmp_path / "y" / "a.parquet"], tmp_path)


def test_the_lines_say_what_and_when() -> None:
    finding = {"day": 40, "severity": "page", "subjects": ["x"], "metric": "m", "summary": "x is worse."}
    told = {**finding, "kind": "fired", "incident": "i-1", "subjects": ["x", "y"]}
    more = {**told, "day": 42, "kind": "updated", "severity": "ticket", "subjects": ["z", "x"], "summary": "z too."}
    over = {**told, "day": 60, "kind": "resolved"}
    report = {"reference_days": 28, "first_day": "2026-01-05", "days": 88}
    report |= {"findings": [finding, finding | {"day": 41, "severity": "notice"}], "told": [told, more, over]}
    assert lines({"a": report}) == [
        "a: 1 incident, told 2 times in 60 days after the reference, 1.00 in 30 days",
        "  2026-02-14  page             x is worse. Look first at: x, y.",
        "  2026-02-16  ticket (update)  z too. Look first at: z, x.",
        "  2026-03-06  over             x is worse.",
    ]
    shown = lines({"a": report}, notices=True)
    assert shown[2:4] == ["  2026-02-14    found: page    x is worse.", "  2026-02-15    found: notice  x is worse."]
    quiet = {**report, "days": 20, "findings": [], "told": []}
    assert lines({"b": quiet}) == ["b: all of its 20 days are in the reference (28 days): nothing was judged"]
    young = {**quiet, "days": 30, "reference_days": 10}
    assert lines({"c": young}) == [
        "c: 0 incidents, told 0 times in 20 days after the reference, 0.00 in 30 days",
        "  verdict.change did not look: it needs a reference of at least 14 days",
    ]

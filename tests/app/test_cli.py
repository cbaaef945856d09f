"""The command line: what it prints, what it exits with, and what it does not import to do so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.running import environment, free_port, run

from watchkeeper.app import __version__

HEAVY = {"duckdb", "polars", "fastapi", "uvicorn", "rich", "pyarrow", "numpy", "sqlalchemy", "streamlit", "httpx"}


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--help"), ("import", "--help"), ("--version",)])
def test_help_imports_nothing_heavy(arguments):
    argv = [sys.executable, "-X", "importtime", "-m", "watchkeeper.app", *arguments]
    done = subprocess.run(argv, env=environment({}), capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert imported & HEAVY == set()


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (("keys", "list", "--data-dir", "data"), {"sqlalchemy"}),
        (("erase", "--subject", "a=b", "--url", "http://127.0.0.1:9"), {"httpx", "rich"}),
    ],
)
def test_a_command_imports_nothing_heavy_that_it_does_not_need(tmp_path, monkeypatch, arguments, needed):
    monkeypatch.chdir(tmp_path)
    argv = [sys.executable, "-X", "importtime", "-m", "watchkeeper.app", *arguments]
    done = subprocess.run(argv, env=environment({}), capture_output=True, text=True, check=False)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert imported & HEAVY == needed


def test_help_names_every_command_and_what_the_exit_codes_mean():
    done = run("--help")
    commands = set(re.findall(r"^  (\w+)  ", done.stdout, re.MULTILINE))
    assert commands >= {"serve", "dashboard", "demo", "apply", "import", "backtest", "doctor", "config"}
    assert "Exit codes: 0 done" in done.stdout
    assert not re.findall(r"^  \w.*\.\.\.$", done.stdout, re.MULTILINE), "no line is cut off"
    assert (done.returncode, run("--version").stdout.strip()) == (0, __version__)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("predict",), 2, "No such command 'predict'"),
        (("serve", "--prot", "1"), 2, "No such option"),
        (("serve", "--port", "99999"), 2, "server.port"),
        (("serve", "--host", "0.0.0.0"), 2, "without an API key"),
        (("serve", "--data-dir", "a-file"), 2, "cannot be a folder"),
        (("config", "--config", "absent.toml"), 2, "absent.toml"),
        (("config", "--config", "bad.toml"), 2, "is not TOML"),
        (("apply",), 2, "which folder"),
        (("apply", "absent"), 2, "no such folder"),
        (("apply", "declared"), 2, "wrong.yaml"),
        (("import", "absent.csv", "--service", "s"), 3, "no such file"),
        (("import", "a-file", "--service", "s"), 3, "cannot tell the format"),
        (("import", "bad.parquet", "--service", "s"), 3, "cannot be read as parquet"),
        (("import", "good.csv", "--service", "s", "--url", "http://127.0.0.1:{port}"), 4, "watchkeeper serve"),
        (("import", "good.csv", "--service", "s", "--url", "http://[::"), 2, "no address of a server"),
        (("import", "good.csv"), 2, "--service"),
        (("backtest", "absent.parquet", "--out", "found.json"), 3, "absent.parquet"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_an_exit_code(tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    Path("bad.toml").write_text("[server")
    Path("bad.parquet").write_text("no parquet")
    Path("good.csv").write_text("ts,amount\n2026-03-01T00:00:00,1\n")
    Path("declared").mkdir()
    Path("declared/wrong.yaml").write_text("apiVersion: watchkeeper/v1\nkind: Sistem\nmetadata: {name: x}\nspec: {}\n")
    done = run(*(word.format(port=free_port()) for word in arguments))
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_declared_folder_that_cannot_be_used_stops_the_start_with_its_sentence(tmp_path):
    settings = {"WATCHKEEPER_CONTROL_DECLARED_DIR": str(tmp_path / "absent")}
    done = run("serve", "--port", "0", "--data-dir", tmp_path / "data", settings=settings)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("watchkeeper: ")
    assert "Traceback" not in done.stderr


def test_config_says_where_each_value_came_from(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text("[loader]\nmax_rows = 5\n")
    told = run("config", "--config", file, "--explain", "--json", settings={"WATCHKEEPER_SERVER_PORT": "1"})
    rows = {row["name"]: (row["value"], row["source"]) for row in json.loads(told.stdout)}
    assert rows["loader.max_rows"] == (5, f"file {file}")
    assert rows["server.port"] == (1, "environment WATCHKEEPER_SERVER_PORT")
    assert rows["server.host"] == ("127.0.0.1", "default")
    plain = run("config", settings={"WATCHKEEPER_CONFIG": str(file)})
    assert re.search(r"^loader\.max_rows +5$", plain.stdout, re.MULTILINE)


def test_apply_says_what_changed_and_applying_again_changes_nothing(tmp_path):
    folder = tmp_path / "watchkeeper.d"
    folder.mkdir()
    (folder / "one.yaml").write_text(
        "apiVersion: watchkeeper/v1\nkind: System\nmetadata: {name: shop}\nspec: {services: [shop], owner: shop-team}\n"
    )
    told = run("apply", folder, "--data-dir", tmp_path / "data", "--json")
    assert f"{tmp_path / 'data'} was made for this" in told.stderr, "else it goes unseen past the server's own"
    first = json.loads(told.stdout)
    told = run("apply", folder, "--data-dir", tmp_path / "data", "--json")
    again = json.loads(told.stdout)
    assert told.stderr == "", "the folder was there already"
    assert [len(first[word]) for word in ("added", "changed", "unchanged", "removed")] == [1, 0, 0, 0]
    assert [len(again[word]) for word in ("added", "changed", "unchanged", "removed")] == [0, 0, 1, 0]

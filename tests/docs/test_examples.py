"""The examples are run against a real server, with the commands of their README."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.running import Server, environment, run

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


def execute(server: Server, *argv: str) -> str:
    done = subprocess.run(
        argv,
        cwd=EXAMPLES.parent,
        env=environment({"WATCHKEEPER_URL": server.url}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def loaded(server: Server) -> int:
    return server.settled()["loaded"]


def test_the_readme_names_each_example():
    commands = re.findall(r"examples/([\w.]+)", (EXAMPLES / "README.md").read_text())
    assert set(commands) == {path.name for path in EXAMPLES.iterdir() if path.name not in {"README.md", "__pycache__"}}


def test_the_sdk_example_sends_everything(server):
    before = loaded(server)
    assert execute(server, sys.executable, "examples/send_events.py") == "accepted 201, rejected 0, dropped 0\n"
    assert loaded(server) == before + 201


@pytest.mark.debian
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_example_sends_an_event_and_its_outcome(server):
    before = loaded(server)
    answers = execute(server, "sh", "examples/send_events.sh").splitlines()
    assert ['"accepted":1' in answer for answer in answers] == [True, True]
    assert loaded(server) == before + 2


def test_the_file_is_imported_once(server):
    before = loaded(server)
    file = EXAMPLES / "checkout.csv"
    rows = len(file.read_text().splitlines()) - 1
    arguments = ("import", file, "--service", "checkout", "--model", "fraud", "--url", server.url)
    for _ in range(2):
        done = run(*arguments)
        assert done.returncode == 0, done.stderr
        assert "rejected: 0" in done.stdout
    assert loaded(server) == before + 2 * rows  # each row is a prediction and its outcome


def test_the_folder_is_applied_beside_the_server(server):
    done = run("apply", EXAMPLES / "watchkeeper.d", "--data-dir", server.data)
    assert done.returncode == 0, done.stderr
    declared = server.get("/v1/declared")
    assert [system["name"] for system in declared["systems"]] == ["checkout"]
    assert [route["name"] for route in declared["routes"]] == ["everyone"]

"""`watchkeeper receivers test` against a real server: what came back is said, and nothing stays behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from alerts.sink import Answer, sink
from e2e.running import Server, environment

FOLDER = """
apiVersion: watchkeeper/v1
kind: Receiver
metadata: {{name: pair}}
spec: {{type: webhook, urls: ["{0}", "{0}2"]}}
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "watchkeeper.app", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment({}))


def test_what_came_back_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "watchkeeper.d"
    folder.mkdir()
    with sink() as hook:
        (folder / "a.yaml").write_text(FOLDER.format(hook.url), encoding="utf-8")
        with Server(tmp_path, {"WATCHKEEPER_CONTROL_DECLARED_DIR": str(folder)}) as server:
            done = run("receivers", "test", "pair", "--url", server.url)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.splitlines() == [
                "ok    pair@1 (webhook): delivered",
                "ok    pair@2 (webhook): delivered",
            ]
            assert hook.received[0].body["alerts"][0]["annotations"]["message"].startswith("TEST: ")  # type: ignore[index, call-overload]
            hook.answers = [Answer(400, body="no such hook"), Answer(200)]
            failed = run("receivers", "test", "pair", "--url", server.url, "--json")
            assert failed.returncode == 7
            tries = json.loads(failed.stdout)["tries"]
            assert [one["delivered"] for one in tries] == [False, True]
            assert tries[0]["said"] == "127.0.0.1 answered 400 no such hook"
            unknown = run("receivers", "test", "nobody", "--url", server.url)
            assert unknown.returncode != 0
            assert "declared: default, pair" in unknown.stderr
            assert server.get("/v1/incidents")["incidents"] == []

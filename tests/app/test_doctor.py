"""What the doctor finds, with and without a server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from e2e.running import environment, free_port, run


def found(*words: str, **settings: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = run("doctor", "--json", *words, settings=settings)
    assert done.stderr == ""
    return done.returncode, {row["name"]: row for row in json.loads(done.stdout)}


def test_a_missing_server_is_said_with_what_to_do(tmp_path):
    port = str(free_port())
    code, checks = found(WATCHKEEPER_SERVER_PORT=port, WATCHKEEPER_SERVER_DATA_DIR=str(tmp_path / "data"))
    assert code == 7
    assert (checks["server"]["state"], checks["server"]["next"]) == ("fail", "watchkeeper serve")
    assert (checks["port"]["state"], checks["port"]["found"]) == ("ok", f"{port} is free")
    assert checks["data folder"]["state"] in {"ok", "warn"}
    assert not (tmp_path / "data").exists(), "looking must not make anything"


def test_a_new_server_is_well_and_says_what_is_missing_then_that_events_come(server):
    code, checks = found("--url", server.url)
    assert code == 0
    assert {name: checks[name]["state"] for name in ("server", "clock", "events")} == {
        "server": "ok",
        "clock": "ok",
        "events": "warn",
    }
    server.send("predictions", {"id": "one", "service": "s"})
    server.settled()
    _, checks = found("--url", server.url)
    assert (checks["events"]["state"], checks["events"]["found"]) == ("ok", "1 loaded, 0 rejected")


def test_only_rejects_fail(server):
    server.send("predictions", {"service": "s"})
    server.settled()
    plain = run("doctor", "--url", server.url)
    assert plain.returncode == 7
    assert "FAIL  events: all 1 were rejected\n      next: read the reasons" in plain.stdout


@pytest.fixture
def stranger() -> Iterator[str]:
    """Something else that answers on a port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            return

    other = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=other.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{other.server_port}"
    other.shutdown()
    thread.join()
    other.server_close()


def test_what_is_no_watchkeeper_is_said_to_be_none(stranger):
    code, checks = found("--url", stranger)
    assert code == 7
    assert "not as a watchkeeper server" in checks["server"]["found"]


def test_a_port_that_is_taken_is_named(stranger):
    port = stranger.rpartition(":")[2]
    code, checks = found("--url", f"http://127.0.0.1:{free_port()}", WATCHKEEPER_SERVER_PORT=port)
    assert code == 7
    assert checks["port"]["state"] == "fail"
    assert "WATCHKEEPER_SERVER_PORT" not in environment({})

"""A slow machine is waited for while it gets on, and no longer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import msgspec
import pytest

from watchkeeper.app.demo.run import await_evaluated
from watchkeeper.app.remote import Remote
from watchkeeper.schemas.errors import Unavailable

LAST = datetime(2026, 11, 21, 9, tzinfo=UTC)
PATIENCE = 0.5


class Slow(ThreadingHTTPServer):
    """A server whose analyzers get on by a day each time that they are asked after, until ``ends``."""

    def __init__(self, ends: datetime) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ends, self.at, self.asked = ends, LAST - timedelta(days=8), 0


class Handler(BaseHTTPRequestHandler):
    server: Slow

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        self.server.at = min(self.server.at + timedelta(days=1), self.server.ends)
        self.server.asked += 1  # something always waits now and then, as GPU samples do
        body = msgspec.json.encode({"waiting": self.server.asked % 2, "evaluated_to": self.server.at})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def slow(request: pytest.FixtureRequest):
    with Slow(request.param) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield Remote(f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()


@pytest.mark.parametrize("slow", [LAST], indirect=True)
def test_who_gets_on_may_take_longer_than_the_patience(slow: Remote) -> None:
    await_evaluated(slow, LAST, PATIENCE)


@pytest.mark.parametrize("slow", [LAST - timedelta(days=4)], indirect=True)
def test_who_stands_still_is_given_up_with_the_next_step(slow: Remote) -> None:
    with pytest.raises(Unavailable, match=r"stand still at 2026-11-17.*try again"):
        await_evaluated(slow, LAST, PATIENCE)

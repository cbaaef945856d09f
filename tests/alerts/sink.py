"""A receiver on loopback that answers as told and remembers every request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: dict[str, object]
    method: str = "POST"


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    silent: bool = False
    """Take it, and end the connection without an answer."""
    when: threading.Event | None = None
    """Take it, and answer only when this is set."""


@dataclass
class Sink:
    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    """Given in turn; when they are used up, every request is accepted."""

    @property
    def keys(self) -> list[str]:
        return [one.headers["idempotency-key"] for one in self.received]


@contextmanager
def sink() -> Iterator[Sink]:
    state = Sink()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))) or b"{}")
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                state.received.append(Received(self.path, headers, body, self.command))
                answer = state.answers.pop(0) if state.answers else Answer()
            if answer.when is not None:
                answer.when.wait(20)
            if answer.silent:
                self.close_connection = True
                return
            content = answer.body.encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            with suppress(OSError):  # whoever asked is gone
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST  # noqa: N815

        def finish(self) -> None:
            with suppress(OSError, ValueError):
                super().finish()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

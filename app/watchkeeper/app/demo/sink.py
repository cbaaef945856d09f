"""A webhook receiver on loopback: what a person would have been sent, and when."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message: its body (Alertmanager webhook v4), and the seconds since the sink was made."""

    body: dict[str, Any]
    seconds: float


class AlertSink:
    """Takes webhook messages on 127.0.0.1 and keeps them; a message that is sent again is kept once."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._deliveries: dict[str, Delivery] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="sink", daemon=True)

    @property
    def url(self) -> str:
        """Where to send to."""
        return f"http://127.0.0.1:{self._server.server_port}/alerts"

    @property
    def deliveries(self) -> list[Delivery]:
        """Give what came, in order."""
        with self._lock:
            return list(self._deliveries.values())

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _take(self, key: str, body: bytes) -> None:
        with self._lock:
            self._deliveries.setdefault(key, Delivery(json.loads(body), time.monotonic() - self._started))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                take(self.headers.get("Idempotency-Key", str(time.monotonic_ns())), body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
                pass

        return Handler

"""A small HTTP server that answers the dashboard's contract from a ``World``: one process, port 0, loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from dashboard.world import World


class Stub(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, world: World, refuse: int | None = None, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.world = world
        self.refuse = refuse
        self.asked: list[str] = []
        self.keys: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Stub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.keys.append(self.headers.get("Authorization"))
        if self.server.refuse is not None:
            return self.answer(self.server.refuse, {"detail": "refused on purpose"})
        parts = urlsplit(self.path)
        params = dict(parse_qsl(parts.query))
        world, path = self.server.world, unquote(parts.path)
        if path == "/v1/status":
            return self.answer(200, world.status())
        if path == "/v1/declared":
            return self.answer(200, world.declared())
        if path == "/v1/incidents":
            return self.answer(200, {"incidents": world.incidents(params.get("state", "open"))})
        if path == "/v1/alerts/quality":
            return self.answer(200, world.quality())
        if path == "/v1/telemetry":
            return self.answer(200, world.telemetry())
        if path == "/v1/slos":
            return self.answer(200, world.slos())
        if path == "/v1/rejects":
            return self.answer(200, world.rejects())
        if path == "/v1/evidently/page":
            return (
                self.answer(200, "<html>a page</html>")
                if world.evidently
                else self.answer(
                    503, {"error": "Unavailable", "reason": "Evidently cannot be used here: pip install it"}
                )
            )
        room, _, name = path.removeprefix("/v1/").partition("/")
        if room == "queries" and (rows := world.query(name, params)) is not None:
            return self.answer(200, {"query": name, "rows": rows})
        if room == "incidents" and name.endswith("/why") and (why := world.why(name.removesuffix("/why"))) is not None:
            return self.answer(200, why)
        found = {"incidents": world.incident, "predictions": world.prediction}.get(room, lambda _: None)(name)
        if found is None:
            return self.answer(404, {"detail": f"there is no {room.removesuffix('s')} {name}"})
        return self.answer(200, found)

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        identity, _, what = self.path.removeprefix("/v1/incidents/").partition("/")
        world = self.server.world
        if self.server.refuse is not None:
            return self.answer(self.server.refuse, {"detail": "refused on purpose"})
        if what == "acknowledge":
            world.acknowledged[identity] = body["by"] or "someone"
        else:
            world.feedback.append({"id": identity, **body})
        return self.answer(200, {"ok": True})

    def answer(self, code: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(world: World, refuse: int | None = None, port: int = 0) -> Iterator[Stub]:
    """Serve a world in a thread until the block ends."""
    stub = Stub(world, refuse, port)
    thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.shutdown()
        stub.server_close()
        thread.join()

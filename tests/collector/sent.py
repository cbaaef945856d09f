"""Events as senders write them, and the inbox that keeps them."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from itertools import count
from pathlib import Path

from watchkeeper.collector.decoders.events import EventDecoder
from watchkeeper.collector.inbox import Ack, Inbox, Incoming
from watchkeeper.collector.ledger import ClientBook

TS = 1_767_600_000
"""Monday 2026-01-05, 08:00 UTC."""
PLENTY = {"queue_bytes": 2**26, "queue_requests": 2000, "backlog_bytes": 2**30}
_numbers = count(1)


def prediction(**parts: object) -> bytes:
    return json.dumps({"id": f"p{next(_numbers)}", "service": "shop", "ts": TS} | parts).encode()


def ndjson(*rows: bytes) -> bytes:
    return b"\n".join(rows)


def opened(folder: Path, **limits: int) -> Inbox:
    return Inbox(folder / "inbox.db", **(PLENTY | limits))


def incoming(
    *rows: bytes,
    kind: str = "predictions",
    key: str | None = None,
    client: ClientBook | None = None,
    reply: bytes = b"{}",
    body: bytes | None = None,
) -> Incoming:
    """One request as the route makes it: decoded, its bad rows set apart."""
    decoded = EventDecoder(kind).decode(ndjson(*rows), "ndjson", 100_000)
    return Incoming(
        kind=kind,
        encoding="ndjson",
        received_us=time.time_ns() // 1000,
        body=decoded.body if body is None else body,
        rows=len(decoded.events),
        rejected=decoded.rejected,
        reply=reply,
        batch_key=key,
        client=client,
    )


def kept(future: Future[Ack]) -> Ack:
    return future.result(timeout=30)

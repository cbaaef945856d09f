"""The background thread: takes events from the queue, makes batches, posts them until answered for."""

from __future__ import annotations

import contextlib
import json
import queue
import random
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ._encode import Encoder
from ._ledger import describe
from ._transport import HttpTransport
from ._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ._ledger import Ledger
    from ._queue import Event, MemoryQueue
    from ._settings import Settings
    from ._transport import Reply

KINDS = ("predictions", "outcomes", "reviews", "changes")
"""In the order of sending: what a later kind refers to is there before it."""

_MAX_BODY = 4 * 2**20
_MAX_EVENT = 2**20
_FIRST_DELAY = 0.25
_LAST_DELAY = 30.0
_LONGEST_ORDER = 3600.0
_LAST_CHANCE_DELAY = 0.2
_MAX_SERVER_ERRORS = 20
_COME_BACK = frozenset({0, 408, 429, 502, 503, 504})


@dataclass(frozen=True)
class Batch:
    """One request: the same body and the same key at every attempt."""

    kind: str
    key: str
    count: int
    body: bytes


class Sender:
    """Moves events from the queue to the server; ``run`` is the thread's whole life."""

    def __init__(self, client_id: str, settings: Settings, waiting: MemoryQueue, ledger: Ledger) -> None:
        self._client_id = client_id
        self._settings = settings
        self._queue = waiting
        self._ledger = ledger
        self._encoder = Encoder({kind: settings.common(kind) for kind in KINDS}, ledger.adjust)
        # Each token says "look again"; its put is safe in signal handlers and destructors.
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._transport: HttpTransport | None = None
        self._batches = 0
        self._flush_mark = 0
        self._closing = False
        self._abandoned = False

    def wake(self) -> None:
        """Make the thread look again at what there is to do."""
        self._tokens.put(None)

    def hurry(self, mark: int) -> None:
        """Send what was logged up to the mark without waiting for a full batch."""
        self._flush_mark = max(self._flush_mark, mark)
        self.wake()

    def close(self) -> None:
        """Send what is left, then end the thread."""
        self._closing = True
        self.wake()

    def abandon(self) -> None:
        """Give up what is left."""
        self._abandoned = True
        self.close()

    def run(self) -> None:
        """Send until closed; the thread outlives whatever happens to a chunk."""
        while self._work_is_due():
            events = self._ledger.take(self._queue, self._settings.max_batch)
            try:
                self._send_chunk(events)
            except Exception as error:  # noqa: BLE001
                message = f"events were dropped: {describe(error)}"
                self._ledger.complain(f"sender {type(error).__name__}", message)
            finally:
                self._ledger.finish("shutdown" if self._abandoned else "sender_error")
        if self._transport:
            self._transport.close()

    def _work_is_due(self) -> bool:
        """Block until a batch is due; False once closed and empty."""
        while not len(self._queue):
            if self._closing:
                return False
            self._tokens.get()
        due = time.monotonic() + self._settings.flush_interval
        while len(self._queue) < self._settings.max_batch and not self._closing:
            left = due - time.monotonic()
            if left <= 0 or not self._ledger.taken(self._flush_mark):
                break
            self._pause(left)
        return True

    def _pause(self, seconds: float) -> None:
        with contextlib.suppress(queue.Empty):
            self._tokens.get(timeout=seconds)

    def _send_chunk(self, events: list[Event]) -> None:
        for kind in KINDS:
            for batch in self._batches_of(kind, events):
                if self._abandoned:
                    return
                self._deliver(batch)

    def _batches_of(self, kind: str, events: list[Event]) -> Iterator[Batch]:
        """Encode the events of one kind into as few bodies as the size limit allows."""
        lines: list[bytes] = []
        size = 0
        for line in (self._line(kind, fields) for name, fields, _ in events if name == kind):
            if line is None:
                continue
            if lines and size + len(line) > _MAX_BODY:
                yield self._batch(kind, lines)
                lines, size = [], 0
            lines.append(line)
            size += len(line)
        if lines:
            yield self._batch(kind, lines)

    def _line(self, kind: str, fields: Mapping[str, object]) -> bytes | None:
        try:
            line = self._encoder.line(kind, fields)
        except Exception as error:  # noqa: BLE001  # a host's object may raise anything at all
            message = f"an event was dropped, it cannot be written as JSON: {describe(error)}"
            self._ledger.complain(f"unencodable {type(error).__name__}", message)
            self._ledger.drop("unencodable", 1)
            return None
        if len(line) > _MAX_EVENT:
            message = f"an event of {len(line)} bytes was dropped: log at most {_MAX_EVENT} at once"
            self._ledger.complain("too_large", message)
            self._ledger.drop("too_large", 1)
            return None
        return line

    def _batch(self, kind: str, lines: list[bytes]) -> Batch:
        self._batches += 1
        gzip = zlib.compressobj(1, zlib.DEFLATED, 31)
        body = gzip.compress(b"".join(lines)) + gzip.flush()
        return Batch(kind, f"{self._client_id}-{self._batches}", len(lines), body)

    def _deliver(self, batch: Batch) -> None:
        """Post until the server answers for the batch, refuses it, or there is no more time."""
        if self._transport is None:
            self._transport = HttpTransport(self._settings.url)
        self._ledger.add("sent", batch.count)
        server_errors = attempt = 0
        while True:
            reply = self._transport.post(f"/v1/{batch.kind}", batch.body, self._headers(batch))
            if 200 <= reply.status < 300:
                self._settle(batch, reply)
                return
            text = reply.body[:300].decode("utf-8", "replace")
            server_errors += reply.status >= 500 and reply.status not in _COME_BACK
            if not retryable(reply.status):
                self._drop(batch, "refused", f"{reply.status}: {text}")
                return
            if server_errors >= _MAX_SERVER_ERRORS:
                # Not the server's bad day but this batch: it must not hold up the rest for ever.
                self._drop(batch, "server_error", f"{reply.status}: {text}")
                return
            trouble = f"answers {reply.status}" if reply.status else f"cannot be reached ({text})"
            message = f"{self._settings.url} {trouble}: events are kept and sent again"
            self._ledger.complain(f"retry {reply.status}", message)
            attempt += 1
            self._back_off(delay(attempt, reply.retry_after, random.random()), reply.retry_after)  # noqa: S311
            if self._abandoned:
                return
            self._ledger.add("retries", 1)

    def _headers(self, batch: Batch) -> dict[str, str]:
        sent, dropped = self._ledger.sent_and_dropped()
        headers = {
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
            "Idempotency-Key": batch.key,
            "User-Agent": f"watchkeeper-sdk/{__version__}",
            "Watchkeeper-Client": f"{self._client_id}; sent={sent}; dropped={dropped}",
        }
        if self._settings.api_key:
            headers["Authorization"] = f"Bearer {self._settings.api_key}"
        return headers

    def _settle(self, batch: Batch, reply: Reply) -> None:
        read = read_receipt(reply.body)
        if read is None:
            self._drop(batch, "refused", f"{reply.status} without a receipt: not a Watchkeeper server")
            return
        rejected, duplicates, reasons = read
        for reason in reasons:
            self._ledger.complain(reason, f"the server rejected events of /v1/{batch.kind}: {reason}")
        self._ledger.deliver(batch.count, rejected, duplicates)

    def _drop(self, batch: Batch, reason: str, answer: str) -> None:
        message = f"{self._settings.url} refused {batch.count} {batch.kind}: {answer}"
        self._ledger.complain(f"{reason} {answer}", message)
        self._ledger.drop(reason, batch.count)

    def _back_off(self, seconds: float, ordered: float | None) -> None:
        """Wait before the next attempt; a closing client tries again soon unless told to wait."""
        begun = time.monotonic()
        while not self._abandoned:
            hasty = self._closing and ordered is None
            left = begun + (min(seconds, _LAST_CHANCE_DELAY) if hasty else seconds) - time.monotonic()
            if left <= 0:
                return
            self._pause(left)


def retryable(status: int) -> bool:
    """May the same body be taken later? True without an answer (0) and for 408, 429 and 5xx.

    >>> [status for status in (0, 200, 301, 400, 401, 408, 413, 429, 500, 503) if retryable(status)]
    [0, 408, 429, 500, 503]
    """
    return status in _COME_BACK or status >= 500


def delay(attempt: int, retry_after: float | None, chance: float) -> float:
    """How long to wait before attempt number ``attempt`` + 1, in seconds? ``chance`` is 0 to 1.

    It doubles from 0.25 s to 30 s, each a random 50 to 100 % of that; an order of the server goes first.

    >>> [delay(attempt, None, 1.0) for attempt in (1, 2, 3, 8, 1000)]
    [0.25, 0.5, 1.0, 30.0, 30.0]
    >>> delay(1, None, 0.0), delay(1, 7.0, 0.0)
    (0.125, 7.0)
    """
    if retry_after is not None:
        # A little later than told, so that not all clients come back at the same moment.
        return min(retry_after, _LONGEST_ORDER) * (1 + 0.1 * chance)
    return min(_LAST_DELAY, _FIRST_DELAY * 2 ** min(attempt - 1, 30)) * (0.5 + 0.5 * chance)


def read_receipt(body: bytes) -> tuple[int, int, list[str]] | None:
    """How many events were rejected, how many were there before, and why? None if it is no receipt.

    >>> read_receipt(b'{"accepted": 1, "rejected": 1, "errors": [{"field": "score", "reason": "text"}]}')
    (1, 0, ['score: text'])
    >>> read_receipt(b"<html>log in first</html>") is None
    True
    """
    try:
        raw: object = json.loads(body)
    except ValueError:
        return None
    answer = cast("dict[str, object]", raw) if isinstance(raw, dict) else {}
    rejected, duplicates = answer.get("rejected", 0), answer.get("duplicates", 0)
    if not (isinstance(answer.get("accepted"), int) and isinstance(rejected, int) and isinstance(duplicates, int)):
        return None
    listed = answer.get("errors")
    errors = cast("list[object]", listed) if isinstance(listed, list) else []
    found = [cast("dict[str, object]", error) for error in errors if isinstance(error, dict)]
    reasons = dict.fromkeys(f"{error.get('field') or 'event'}: {error.get('reason')}" for error in found)
    return rejected, duplicates, list(reasons)

"""Posts parcels to one server: one attempt at a time, and how long to wait before the next."""

from __future__ import annotations

import json
import random
import zlib
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from ._ledger import describe
from ._parcel import KINDS
from ._transport import HttpTransport
from ._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._parcel import Parcel, Source

    Receipt = tuple[int, int, list[str]]

_FIRST_DELAY = 0.25
_LAST_DELAY = 30.0
_LONGEST_ORDER = 3600.0
_MAX_SERVER_ERRORS = 20
_COME_BACK = frozenset({0, 408, 429, 502, 503, 504})
_UNUSABLE = frozenset({400, 411, 413, 415, 422})
"""Answers that say of the body that it will never be taken. Any other speaks of the way there: a key that expired, a
login page of some network, a proxy's 404. A person mends that, and the events wait for it as for a server that is away.
"""
_NO_RECEIPT = "without a receipt, so it is no Watchkeeper server"


class Post:
    """What goes to one server, with the trouble that it makes. For one thread."""

    def __init__(self, url: str, api_key: str | None, complain: Callable[[str, str], None]) -> None:
        self.url = url
        self.ordered = False
        """Did the server say itself how long to wait?"""
        self._api_key = api_key
        self._complain = complain
        self._transport: HttpTransport | None = None
        self._attempts = 0

    def attempt(self, parcel: Parcel, source: Source) -> float | None:
        """Post what is left of a parcel; None once that is nothing, else how many seconds to wait."""
        for kind in KINDS:
            if kind in parcel.lines:
                try:
                    wait = self._kind(kind, parcel, source)
                except Exception as error:  # noqa: BLE001  # whatever it is, it must not hold up the rest for ever
                    wait = self._failed(kind, parcel, source, error)
                if wait is not None:
                    return wait
                del parcel.lines[kind]
        return None

    def close(self) -> None:
        """Let the connection go."""
        if self._transport is not None:
            self._transport.close()

    def _kind(self, kind: str, parcel: Parcel, source: Source) -> float | None:
        lines = parcel.lines[kind]
        if self._transport is None:
            self._transport = HttpTransport(self.url)
        gzip = zlib.compressobj(1, zlib.DEFLATED, 31)
        body = gzip.compress(b"\n".join([*lines, b""])) + gzip.flush()
        reply = self._transport.post(f"/v1/{kind}", body, self._headers(kind, parcel, source))
        receipt = read_receipt(reply.body) if 200 <= reply.status < 300 else None
        if receipt is not None:
            self._attempts = 0
            self._settle(kind, parcel, source, receipt)
            return None
        text = reply.body[:300].decode("utf-8", "replace")
        parcel.server_errors += reply.status >= 500 and reply.status not in _COME_BACK
        if reply.status in _UNUSABLE:
            self._give_up(kind, parcel, source, "refused", f"{reply.status}: {text}")
            return None
        if parcel.server_errors >= _MAX_SERVER_ERRORS:
            # Not the server's bad day but this batch: it must not hold up the rest for ever.
            self._give_up(kind, parcel, source, "server_error", f"{reply.status}: {text}")
            return None
        why = _NO_RECEIPT if 200 <= reply.status < 300 else f"({text})"
        trouble = f"answers {reply.status} {why}" if reply.status else f"cannot be reached ({text})"
        self._complain(f"retry {reply.status}", f"{self.url} {trouble}: events are kept and sent again")
        self._attempts += 1
        self.ordered = reply.retry_after is not None
        return delay(self._attempts, reply.retry_after, random.random())  # noqa: S311

    def _failed(self, kind: str, parcel: Parcel, source: Source, error: Exception) -> float | None:
        parcel.server_errors += 1
        if parcel.server_errors >= _MAX_SERVER_ERRORS:
            self._give_up(kind, parcel, source, "sender_error", describe(error))
            return None
        self._complain(f"sender {type(error).__name__}", f"posting failed and is tried again: {describe(error)}")
        return _FIRST_DELAY

    def _headers(self, kind: str, parcel: Parcel, source: Source) -> dict[str, str]:
        headers = {
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
            "Idempotency-Key": f"{parcel.key}-{kind[0]}",
            "User-Agent": f"watchkeeper-sdk/{__version__}",
            "Watchkeeper-Client": told(source),
        }
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        return headers

    def _settle(self, kind: str, parcel: Parcel, source: Source, receipt: Receipt) -> None:
        rejected, duplicates, reasons = receipt
        for reason in reasons:
            self._complain(reason, f"the server rejected events of /v1/{kind}: {reason}")
        source.answered(parcel, len(parcel.lines[kind]), rejected, duplicates)

    def _give_up(self, kind: str, parcel: Parcel, source: Source, reason: str, answer: str) -> None:
        count = len(parcel.lines[kind])
        self._complain(f"{reason} {answer}", f"{self.url} refused {count} {kind}: {answer}")
        source.gave_up(parcel, reason, count)


def told(source: Source) -> str:
    """The header ``Watchkeeper-Client``: who logged, and its book by now; values are percent-encoded."""
    logged, dropped, pending = source.told()
    who = source.author
    named = {"service": who.service, "site": who.site, "version": who.version, "spool": who.spool}
    known = "".join(f"; {name}={quote(value, safe='')}" for name, value in named.items() if value)
    return f"{quote(who.client, safe='')}; logged={logged}; dropped={dropped}; pending={pending}{known}"


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


def read_receipt(body: bytes) -> Receipt | None:
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

"""One POST over one kept connection. Proxies of the environment are not asked.

Everything that a post needs is imported here, on the host's thread: a fork while the sender's thread is
inside an import would leave the child with that import locked for ever.
"""

from __future__ import annotations

import codecs
import contextlib
import http.client
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

codecs.lookup("idna")  # sockets load it for their first host name
_TIMEOUT = 10.0
_MAX_ANSWER = 2**20


@dataclass(frozen=True)
class Reply:
    """What came back; ``status`` 0 says that nothing did, and ``body`` then says why."""

    status: int
    body: bytes
    retry_after: float | None = None


class HttpTransport:
    """Posts bodies to one server and keeps the connection between them. For one thread."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        self._prefix = parts.path
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(host, parts.port, timeout=_TIMEOUT, context=context)
        else:
            self._connection = http.client.HTTPConnection(host, parts.port, timeout=_TIMEOUT)
        self._open = False

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send the body; a connection that the server closed meanwhile is opened again, once."""
        if self._open:
            try:
                return self._exchange(path, body, headers)
            except ConnectionError:
                self.close()
            except (OSError, http.client.HTTPException) as error:
                return self._no_answer(error)
        try:
            return self._exchange(path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            return self._no_answer(error)

    def close(self) -> None:
        """Let the connection go; the next post opens another."""
        self._open = False
        self._connection.close()

    def _exchange(self, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        # A server may refuse a body before it is all there; its answer is then still to be read.
        with contextlib.suppress(BrokenPipeError):
            self._connection.request("POST", self._prefix + path, body, dict(headers))
        response = self._connection.getresponse()
        answer = response.read(_MAX_ANSWER)
        # A longer answer would be read as the start of the next one.
        self._open = response.isclosed() and self._connection.sock is not None
        if not self._open:
            self._connection.close()
        return Reply(response.status, answer, seconds_to_wait(response.headers["Retry-After"]))

    def _no_answer(self, error: Exception) -> Reply:
        self.close()
        return Reply(0, f"{type(error).__name__}: {error}".encode("utf-8", "replace"))


def seconds_to_wait(retry_after: str | None, now: float | None = None) -> float | None:
    """How long does a Retry-After header ask to wait, in seconds? None when it says nothing usable.

    >>> seconds_to_wait("2"), seconds_to_wait("soon"), seconds_to_wait(None)
    (2.0, None, None)
    >>> seconds_to_wait("Thu, 01 Jan 1970 00:01:00 GMT", now=50.0)
    10.0
    """
    if retry_after is None:
        return None
    try:
        if retry_after.strip().isdecimal():
            return float(retry_after)
        moment = parsedate_to_datetime(retry_after).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, moment - (time.time() if now is None else now))

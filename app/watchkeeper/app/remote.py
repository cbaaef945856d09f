"""Talks to a running server, as the command line does."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httpx

from watchkeeper.app.access import client_key
from watchkeeper.app.tls import trusted
from watchkeeper.schemas.errors import InputError, NotAllowed, SettingsError, Unavailable
from watchkeeper.store.clock import wall

TIMEOUT_SECONDS = 30.0
ARROW = "application/vnd.apache.arrow.stream"
RETRY_AFTER_SECONDS = 2.0
"""How long to wait where a server that is busy does not say."""


class Busy(Unavailable):
    """The server asks to come again, after so many seconds."""

    retry_after: float = RETRY_AFTER_SECONDS


class Remote:
    """One server by its address; every failure becomes one sentence that says what to do."""

    def __init__(self, url: str, key_file: str = "", tls_ca: str = "") -> None:
        self.url = url.rstrip("/")
        key = client_key(key_file)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        verify = trusted(self.url, tls_ca)
        try:
            self._client = httpx.Client(
                base_url=self.url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False, verify=verify
            )
        except httpx.InvalidURL as error:
            raise SettingsError(f"{url!r} is no address of a server: {error}") from None

    def close(self) -> None:
        """Let its connections go, where the process lives on without it."""
        self._client.close()

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Read JSON."""
        return self._json(self._request("GET", path, params=dict(parameters or {})))

    def arrow(self, path: str, parameters: Mapping[str, str]) -> bytes:
        """Read the rows of a query as an Arrow IPC stream."""
        response = self._request("GET", path, params=dict(parameters), headers={"Accept": ARROW})
        if response.headers.get("content-type") != ARROW:
            self._json(response)
            raise InputError(f"{self.url}{path} gives no Arrow stream: is the address right?")
        return response.content

    def post(
        self,
        path: str,
        body: Mapping[str, object],
        timeout: float | None = TIMEOUT_SECONDS,
        parameters: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send JSON, read JSON."""
        return self._json(self._request("POST", path, json=body, timeout=timeout, params=dict(parameters or {})))

    def send(self, kind: str, events: bytes, key: str, content_type: str = "application/x-ndjson") -> dict[str, Any]:
        """Send events; the same key again changes nothing."""
        headers = {"Content-Type": content_type, "Content-Encoding": "gzip", "Idempotency-Key": key}
        body = gzip.compress(events, compresslevel=1, mtime=0)
        return self._json(self._request("POST", f"/v1/{kind}", content=body, headers=headers))

    def _request(self, method: str, path: str, **what: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **what)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"no server answers at {self.url} ({error or type(error).__name__}): start one with `watchkeeper serve`"
            ) from None

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        if response.status_code < 400:
            try:
                return cast("dict[str, Any]", response.json())
            except ValueError:
                raise InputError(
                    f"{self.url} answers, but not as a watchkeeper server: is the address right?"
                ) from None
        reason = f"{self.url} answered {response.status_code}: {response.text[:500]}"
        if response.status_code in (401, 403):
            raise NotAllowed(f"{reason}. Set auth.api_key_file or WATCHKEEPER_API_KEY")
        if response.status_code in (429, 503):
            busy = Busy(f"{reason}. Try again in a moment")
            busy.retry_after = _seconds(response.headers.get("retry-after", ""), wall())
            raise busy
        raise InputError(reason)


def _seconds(retry_after: str, now: datetime) -> float:
    """Read Retry-After, seconds or (of proxies) a date; what is neither is the usual wait.

    >>> now = datetime(2026, 10, 21, 7, 27, 30, tzinfo=UTC)
    >>> _seconds("3", now), _seconds("Wed, 21 Oct 2026 07:28:00 GMT", now), _seconds("soon", now)
    (3.0, 30.0, 2.0)
    """
    if retry_after.isascii() and retry_after.isdigit():
        return max(0.1, float(retry_after))
    try:
        said = parsedate_to_datetime(retry_after)
    except ValueError:
        return RETRY_AFTER_SECONDS
    return max(0.1, ((said if said.tzinfo else said.replace(tzinfo=UTC)) - now).total_seconds())

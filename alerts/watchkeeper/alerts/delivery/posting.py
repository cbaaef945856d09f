"""Posts to a receiver over HTTP, and reads from the answer whether another attempt is sensible."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx
import msgspec

from watchkeeper.alerts.delivery.receiver_settings import SecretRef, read_secret, settings_of
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.errors import DeliveryError, SettingsError

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
WHOLE_SECONDS = 20.0
"""All of it, however slowly the answer trickles in: ``TIMEOUT`` begins anew with each byte."""

RETRYABLE = frozenset({408, 425, 429})
UNSURE = frozenset({408, 502, 504})
"""Answers of something in between: what stands behind it may have taken the message."""

REASON_BYTES = 300
ANSWER_BYTES = 64 * 1024


class TargetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """``urlFrom``: the URL where it is a secret; ``authorization``: the value of that header."""

    url_from: SecretRef | None = None
    authorization: SecretRef | None = None


class Target:
    """One URL, which may be a secret, and what opens it."""

    def __init__(self, url: httpx.URL | SecretRef, what: str, authorization: SecretRef | None = None) -> None:
        self._url = url
        self._what = what
        self._authorization = authorization

    def post(self, body: bytes, headers: Mapping[str, str], method: str = "POST") -> bytes:
        """Send it; secrets are read now.

        Raises:
            DeliveryError: it was not taken, or a secret is missing.

        """
        if self._authorization is not None:
            headers = {**headers, "Authorization": read_secret(self._authorization)}
        return post(self._resolved(), body, headers, method)

    def _resolved(self) -> httpx.URL:
        if isinstance(self._url, httpx.URL):
            return self._url
        try:
            return address(read_secret(self._url), self._what)
        except SettingsError:
            raise DeliveryError(f"the secret of this {self._what} receiver holds no URL", retryable=True) from None


def target_of(receiver: Receiver, settings: TargetSettings | None = None) -> Target:
    """Read the address of a receiver that has one URL; ``settings`` where it has more than that, read already.

    Raises:
        SettingsError: there is none, or two, or it cannot be used.

    """
    settings = settings or settings_of(receiver, TargetSettings)
    if settings.url_from is None:
        return Target(address(receiver.url, receiver.type), receiver.type, settings.authorization)
    if receiver.url is not None:
        raise SettingsError(f"a {receiver.type} receiver has a url or settings.urlFrom, not both")
    return Target(settings.url_from, receiver.type, settings.authorization)


def address(text: str | None, what: str) -> httpx.URL:
    """Read the URL that a receiver of type ``what`` needs.

    Raises:
        SettingsError: it is missing, or no http or https URL.

    """
    try:
        url = httpx.URL(text or "")
    except httpx.InvalidURL as error:
        raise SettingsError(f"a {what} receiver needs a url: {error}") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise SettingsError(f"a {what} receiver needs a url that begins with http:// or https://")
    return url


def post(url: httpx.URL, body: bytes, headers: Mapping[str, str], method: str = "POST") -> bytes:
    """Send it and give the answer, of which no more than a little is read.

    Raises:
        DeliveryError: not a 2xx answer, or none at all.

    """
    with _Deadline(WHOLE_SECONDS) as deadline:
        try:
            # No proxy from the environment: the operator declared this very address.
            with (
                httpx.Client(timeout=TIMEOUT, trust_env=False, verify=_trusted()) as client,
                client.stream(
                    method, url, content=body, headers=dict(headers), extensions={"trace": deadline.trace}
                ) as response,
            ):
                if not response.is_success:
                    raise _refusal(response, url.host)
                return _read(response)
        except httpx.RequestError as error:
            # The URL may hold a secret; the host says enough.
            reason = f"no answer within {WHOLE_SECONDS:g} s" if deadline.over else f"{type(error).__name__}: {error}"
            raise DeliveryError(
                f"{url.host}: {reason}",
                retryable=True,
                unsure=not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout),
            ) from error


class _Deadline:
    """Ends a connection that is still open after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn of the connection, as it is made and as it is encrypted."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._socket = info["return_value"].get_extra_info("socket")

    def _end(self) -> None:
        self.over = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _read(response: httpx.Response) -> bytes:
    """Read what a receiver says after it took the message; that it does not say all of it changes nothing."""
    parts = b""
    with contextlib.suppress(httpx.RequestError):
        for part in response.iter_bytes():
            parts += part
            if len(parts) >= ANSWER_BYTES:
                break
    return parts[:ANSWER_BYTES]


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Read whom to trust once: it costs more than all the rest of a message."""
    return httpx.create_ssl_context(trust_env=False)


def _refusal(response: httpx.Response, host: str) -> DeliveryError:
    status = response.status_code
    try:
        reason = next(response.iter_raw(REASON_BYTES), b"").decode("utf-8", "replace")
    except httpx.RequestError:
        reason = ""
    return DeliveryError(
        f"{host} answered {status} {' '.join(reason.split())}".strip(),
        retryable=status >= 500 or status in RETRYABLE,
        retry_after=retry_after(response),
        unsure=status in UNSURE,
    )


def retry_after(response: httpx.Response) -> float | None:
    """Read ``Retry-After``: seconds, or a date that is compared with the receiver's own clock."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        return max(0.0, (until - parsedate_to_datetime(response.headers.get("date", ""))).total_seconds())
    except (ValueError, TypeError):
        return None

"""Who may talk to the server: everyone on loopback, whoever holds the key elsewhere.

The key lives in one file that server, dashboard and command line read. The server makes it where it is missing.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from watchkeeper.schemas.errors import SettingsError

OPEN_PATHS = frozenset({"/health", "/ready"})
MIN_KEY_LENGTH = 16


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def server_key(host: str, key_file: str) -> str | None:
    """Give the key to ask for; refuse to be reached from elsewhere without one."""
    if key_file:
        return _read_or_make(Path(key_file))
    if is_loopback(host):
        return None
    raise SettingsError(
        f"will not listen on {host} without an API key: set auth.api_key_file "
        "(WATCHKEEPER_AUTH_API_KEY_FILE) to a path, a key is made there; or listen on 127.0.0.1"
    )


def client_key(key_file: str) -> str | None:
    """Give the key to send, if one is set; the environment's WATCHKEEPER_API_KEY comes first."""
    given = os.environ.get("WATCHKEEPER_API_KEY")
    if given or not key_file:
        return given
    try:
        return Path(key_file).read_text().strip()
    except OSError as error:
        raise SettingsError(f"cannot read the API key {key_file}: {error.strerror}. Start the server first") from None


def _read_or_make(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = _read(path)
    except OSError as error:
        raise SettingsError(f"cannot make the API key file {path}: {error.strerror}") from None
    else:
        key = secrets.token_urlsafe(32)
        with os.fdopen(descriptor, "w") as file:
            file.write(key + "\n")
    if len(key) < MIN_KEY_LENGTH:
        raise SettingsError(f"the API key in {path} is shorter than {MIN_KEY_LENGTH} characters: delete the file")
    return key


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the API key file {path}: {error}") from None


class KeyRequired:
    """ASGI middleware: every path but health and readiness needs ``Authorization: Bearer KEY``."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._digest = hashlib.sha256(key.encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass; answer 401 to the rest."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not self._allowed(scope):
            body = b'{"error":"NotAllowed","reason":"send Authorization: Bearer KEY with the key of this server"}'
            headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        await self._app(scope, receive, send)

    def _allowed(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                return hmac.compare_digest(hashlib.sha256(value[7:].strip()).digest(), self._digest)
        return False

"""Who may talk to the server: whoever holds a key; everyone, where there are no keys and only loopback is listened on.

The first key may live in one file that server, dashboard and command line read: the server makes it where it is
missing, and it may do everything. The other keys are control data (``watchkeeper keys``).
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from pathlib import Path

from watchkeeper.schemas.errors import SettingsError

OPEN_PATHS = frozenset({"/health", "/ready"})
SIGNED_PATHS = "/respond/"
"""What begins with this carries its own proof: a signed link for one incident."""

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


def client_key(key_file: str) -> str | None:
    """Give the key to send, if one is set; the environment's WATCHKEEPER_API_KEY comes first."""
    given = os.environ.get("WATCHKEEPER_API_KEY")
    if given or not key_file:
        return given
    try:
        return Path(key_file).read_text().strip()
    except OSError as error:
        raise SettingsError(f"cannot read the API key {key_file}: {error.strerror}. Start the server first") from None


def read_or_make(path: Path) -> str:
    """Give the key in a file, which is made, readable by its owner alone, where it is missing."""
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

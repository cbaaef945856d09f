"""Reads what a type of receiver needs out of its declaration; a secret stands in the environment or in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.errors import DeliveryError, SettingsError

T = TypeVar("T")


class SecretRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret stands: a variable of the server's environment, or a file that the server may read."""

    env: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        """Refuse none, and both."""
        if (self.env is None) == (self.file is None):
            raise ValueError("name one of env and file, where the secret stands")


def settings_of(receiver: Receiver, kind: type[T]) -> T:
    """Give the ``settings`` of a receiver as its type wants them.

    Raises:
        SettingsError: one is missing, unknown, or cannot be used.

    """
    try:
        return msgspec.convert(receiver.settings, kind)
    except msgspec.ValidationError as error:
        raise SettingsError(f"settings of a {receiver.type} receiver: {error}") from None


def read_secret(where: SecretRef) -> str:
    """Read a secret when it is needed, so that a new one needs no restart; it is never part of a message or a log.

    Raises:
        DeliveryError: it is not there; the message waits for it.

    """
    if where.env is not None:
        text = os.environ.get(where.env, "")
        if not text:
            raise DeliveryError(f"the server's environment has no {where.env}: set it and restart", retryable=True)
        return text.strip()
    path = Path(where.file or "")
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise DeliveryError(f"the secret file {path} cannot be read: {reason}", retryable=True) from None
    if not text:
        raise DeliveryError(f"the secret file {path} is empty", retryable=True)
    return text

"""Every error that Watchkeeper raises on purpose, as one tree.

    WatchkeeperError
    ├── SettingsError            a setting, declared file or option cannot be used
    ├── InputError               something that was sent in cannot be used
    │   ├── TooLarge             over a stated limit
    │   └── NotDecodable         not the format that it claims to be
    ├── Unavailable              nothing wrong with the request: come back later
    │   ├── Overloaded           a bounded queue is full
    │   └── StoreUnavailable     disk full, file locked, store closed
    ├── NotFound                 the thing asked for is not here
    ├── NotAllowed               a key is missing, wrong, or not enough
    └── DeliveryError            a notifier could not deliver (see ``retryable``)

Each message says what is wrong, where, and what to do next.
"""

from __future__ import annotations


class WatchkeeperError(Exception):
    """What went wrong, where, and what to do next; ``retryable`` says if trying again is sensible."""

    retryable = False
    exit_code = 1


class SettingsError(WatchkeeperError):
    """A setting, a declared file or an option cannot be used."""

    exit_code = 2


class InputError(WatchkeeperError):
    """What was sent in cannot be used as it is."""

    exit_code = 3


class TooLarge(InputError):
    """Over a stated limit; the message names the limit and its setting."""


class NotDecodable(InputError):
    """Not the format that it claims to be."""


class Unavailable(WatchkeeperError):
    """The request is fine, the server cannot take it now."""

    retryable = True
    exit_code = 4


class Overloaded(Unavailable):
    """A bounded queue is full: send again after the Retry-After time."""


class StoreUnavailable(Unavailable):
    """The disk is full, the file is locked, or the store is closed."""


class NotFound(WatchkeeperError):
    """The thing asked for is not here."""

    exit_code = 5


class NotAllowed(WatchkeeperError):
    """A key is missing, wrong, or does not allow this."""

    exit_code = 6


class DeliveryError(WatchkeeperError):
    """A notifier could not deliver.

    ``retryable`` is False where the receiver refused the message itself (a 4xx other than 408 and 429). ``unsure``: it
    may have arrived all the same, as after an answer that never came.
    """

    def __init__(
        self, message: str, *, retryable: bool, retry_after: float | None = None, unsure: bool = False
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after
        self.unsure = unsure

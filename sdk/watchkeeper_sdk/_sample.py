"""Which predictions are sent, if not all? Decided by a hash, so that every process and every call agrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SAMPLED_OUT: Final = "sampled out"
"""Stands where the time of a prediction would, if it was left out on purpose."""


@dataclass(frozen=True)
class Sampling:
    """Keeps a share of all keys, and all errors if asked to."""

    rate: float
    keep_errors: bool = False

    def keeps(self, key: str) -> bool:
        """Is this key in the share?

        >>> sum(Sampling(0.25).keeps(f"id-{n}") for n in range(4000))
        979
        """
        from hashlib import blake2b  # noqa: PLC0415  # who samples has loaded it with the first call

        digest = blake2b(key.encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.rate * 2.0**64

    def weight(self, key: str, *, error: bool) -> float:
        """For how many predictions does this one stand? 0 if it is left out.

        >>> Sampling(0.5).weight("id-1", error=False), Sampling(0.5, keep_errors=True).weight("id-1", error=True)
        (2.0, 1.0)
        """
        if error and self.keep_errors:
            return 1.0
        return 1.0 / self.rate if self.keeps(key) else 0.0


def sampling(rate: float, *, keep_errors: bool) -> Sampling | None:
    """The sampling asked for; None where all is sent."""
    return Sampling(rate, keep_errors) if rate < 1.0 else None

"""Who sends a request, and what that one may do: decided at the door, read by every room behind it.

Roles: ``ingest`` sends events, ``viewer`` reads, ``operator`` also acknowledges, silences and gives feedback,
``admin`` may do everything. A key may be limited to some services.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, cast

from watchkeeper.schemas.errors import NotAllowed

ON_BEHALF_OF = "Watchkeeper-On-Behalf-Of"
"""The header in which a service account names (percent-encoded) the user whom it acts for."""

BY_SERVICE = "by service"
"""The tag of a route that looks itself at what a caller with some services only may read."""

SCOPE_KEY = "watchkeeper.caller"
"""Where the caller stands in an ASGI scope."""


class Role(StrEnum):
    """What a key is for."""

    INGEST = "ingest"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


IMPLIED: dict[Role, frozenset[Role]] = {
    Role.INGEST: frozenset({Role.INGEST}),
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.OPERATOR, Role.VIEWER}),
    Role.ADMIN: frozenset(Role),
}
"""What a role includes."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request. ``services`` None: all of them. ``key`` None: no keys are asked for here."""

    key: str | None
    name: str | None
    roles: frozenset[Role]
    services: frozenset[str] | None = None
    service_account: bool = False
    on_behalf_of: str | None = None

    def for_user(self, user: str | None) -> Caller:
        """Give the caller as it acts for a named user, the first who is named; NotAllowed where it may not."""
        if user is None or user == self.name or self.on_behalf_of is not None:
            return self
        if self.key is not None and not self.service_account:
            raise NotAllowed(f"the key {self.name} may not act on behalf of {user!r}: it is no service account")
        return replace(self, on_behalf_of=user)

    @property
    def actor(self) -> str | None:
        """The name to record: the user that is acted for, else the key's own; None where nobody is named."""
        return self.on_behalf_of or self.name

    @property
    def label(self) -> str | None:
        """The key, as the audit log names it."""
        return None if self.key is None else f"{self.name} ({self.key})"

    def reads(self, service: str | None) -> None:
        """Raise NotAllowed unless this one service may be read (None: all of them)."""
        if self.services is not None and service not in self.services:
            asked = f"service {service!r}" if service else "all services"
            raise NotAllowed(
                f"the key {self.name} may not read {asked}: name one of {', '.join(sorted(self.services))}"
            )


ANYONE = Caller(None, None, IMPLIED[Role.ADMIN])
"""Whoever reaches a server that asks for no keys: it listens on loopback alone."""


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Give the caller of a request from its ASGI scope."""
    return cast("Caller", scope.get(SCOPE_KEY, ANYONE))

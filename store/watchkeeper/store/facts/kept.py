"""How long what is kept: the limits by service, and since when facts are whole.

A limit counts whole days back from today (UTC), so that a day goes as a whole; 0 keeps for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb

from watchkeeper.store.facts.connection import FactStore

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - times are stored without a zone


@dataclass(frozen=True, slots=True)
class Keep:
    """Days that facts, rollups (and changes), rejects and text are kept."""

    facts: int = 0
    rollups: int = 0
    rejects: int = 0
    text: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits of most services, and those of the others by name."""

    default: Keep = Keep()
    services: Mapping[str, Keep] = field(default_factory=dict[str, Keep])

    def of(self, service: str | None) -> Keep:
        """Give the limits of one service."""
        return self.services.get(service, self.default) if service else self.default


@dataclass(frozen=True, slots=True)
class Scope:
    """Some services and the time before which something of theirs goes; ``sql`` selects them in a WHERE clause.

    ``service`` None means all but ``others``, and rows without a service.
    """

    before: datetime
    service: str | None
    others: tuple[str, ...] = ()

    @property
    def sql(self) -> str:
        """Give the condition; its parameters are ``parameters``."""
        return "service = $service" if self.service else "NOT coalesce(list_contains($others, service), false)"

    @property
    def parameters(self) -> dict[str, object]:
        """Give what ``sql`` needs."""
        return {"service": self.service} if self.service else {"others": list(self.others)}

    def covers(self, service: str | None) -> bool:
        """Say whether a service is one of them."""
        return service == self.service if self.service else service not in self.others


def start_of(days: int, now: datetime) -> datetime:
    """Give the first day that is still kept.

    >>> start_of(2, datetime(2026, 1, 5, 17)), start_of(0, datetime(2026, 1, 5))
    (datetime.datetime(2026, 1, 3, 0, 0), datetime.datetime(1970, 1, 1, 0, 0))
    """
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return max(EPOCH, midnight - timedelta(days=days)) if days else EPOCH


def scopes(policy: Policy, what: str, now: datetime) -> list[Scope]:
    """Say of whom what goes before when; ``what`` is a field of ``Keep``. Nobody whose limit is 0."""
    found: list[Scope] = []
    for service, keep in [(None, policy.default), *sorted(policy.services.items())]:
        days = int(getattr(keep, what))
        if days:
            others = tuple(sorted(policy.services)) if service is None else ()
            found.append(Scope(start_of(days, now), service, others))
    return found


class KeptSince:
    """Since when the facts of each service are whole: what is older was let go, or may have been.

    It only ever moves forward, also where a limit is raised later: an event from before may have been counted already,
    and would be counted twice.
    """

    def __init__(self) -> None:
        self._since: dict[str | None, datetime] = {}
        self._generation = -1

    def refresh(self, connection: duckdb.DuckDBPyConnection, generation: int) -> None:
        """Read it again after an aborted transaction, after retention, or for the first time."""
        if generation != self._generation:
            self._generation = generation
            self._since = dict(connection.execute("SELECT service, since FROM facts_kept").fetchall())

    def of(self, service: str | None, policy: Policy, now: datetime) -> datetime:
        """Give the time before which an event of this service is too late."""
        gone = self._since.get(service, self._since.get(None, EPOCH))
        return max(gone, start_of(policy.of(service).facts, now))

    def latest(self, policy: Policy, now: datetime) -> datetime:
        """Give the time from which on no event of any service is too late."""
        return max(self.advanced(policy, now).values())

    def advanced(self, policy: Policy, now: datetime) -> dict[str | None, datetime]:
        """Give where it stands once retention has run under this policy."""
        return {service: self.of(service, policy, now) for service in {None, *self._since, *policy.services}}


def advance(facts: FactStore, policy: Policy, now: datetime) -> KeptSince:
    """Move it to where this policy says, before anything is let go: from then on what is older is turned away."""
    kept = KeptSince()
    with facts.transaction() as connection:
        kept.refresh(connection, 0)
        rows = [(service, since) for service, since in kept.advanced(policy, now).items() if since > EPOCH]
        connection.execute("DELETE FROM facts_kept")
        if rows:
            connection.executemany("INSERT INTO facts_kept VALUES (?, ?)", rows)
        kept.refresh(connection, 1)
    facts.generation += 1
    return kept

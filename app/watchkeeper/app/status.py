"""What became of the events: the numbers of ``/v1/status`` and ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from watchkeeper.collector.inbox import Inbox
from watchkeeper.store.clock import Clock, utc, wall
from watchkeeper.store.facts import held
from watchkeeper.store.facts.connection import FactStore


class Note(msgspec.Struct, frozen=True):
    """Something that every reader of the numbers must know, such as what of a demo is real."""

    title: str
    lines: list[str]


class FactsFile(msgspec.Struct, frozen=True):
    """The size of facts.duckdb: all of it, what of it holds nothing, and whether `watchkeeper compact` is worth it."""

    bytes: int
    free_bytes: int
    compact: bool


class ServiceStatus(msgspec.Struct, frozen=True):
    """What came of the events of one service."""

    loaded: int
    rejected: int
    duplicates: int
    clock_skewed: int
    last_ts: datetime | None


class Status(msgspec.Struct, frozen=True):
    """Accepted: answered with 200, and so durable. Loaded: in the facts. Lag: how long the oldest waiting one waits.

    ``waiting_halves``: requests and responses that came apart and wait for each other; ``halves``: what came of others.

    Of what clients say of themselves: ``logged_by_clients`` in all, ``dropped_by_clients`` were lost there,
    ``waiting_at_clients`` may still come, ``overdue`` waits at clients that were not heard of for 10 minutes,
    ``missing`` had been answered for and is not here. Completeness: the share of what was sent or lost on the way that
    was taken in; rejected, dropped, missing, overdue and too late events are what it lacks. ``complete_to`` is the time
    of the newest event, but never later than now, than what waits anywhere, or than a half that waits for its other.
    ``public_url``: where clients elsewhere reach the server, empty where nobody set one.
    """

    version: str
    public_url: str
    now: datetime
    accepted: int
    durable: int
    loaded: int
    rejected: int
    duplicates: int
    too_late: int
    ignored: int
    repeated_batches: int
    waiting: int
    pending_outcomes: int
    waiting_halves: int
    halves: dict[str, int]
    lag_seconds: float
    complete_to: datetime | None
    evaluated_to: datetime | None
    completeness: float | None
    logged_by_clients: int
    dropped_by_clients: int
    waiting_at_clients: int
    overdue: int
    missing: int
    facts_file: FactsFile
    services: dict[str, ServiceStatus]
    notes: list[Note]


@dataclass(frozen=True, slots=True)
class StatusReader:
    """Gathers the status from the inbox, the facts and the notes."""

    version: str
    inbox: Inbox
    facts: FactStore
    clock: Clock
    evaluated_to: Callable[[], datetime | None]
    notes_file: str
    public_url: str = ""

    def read(self) -> Status:
        """Give the status now."""
        inbox, size = self.inbox.status(), self.facts.size()
        services = self._services()
        pending = int(self.facts.read("SELECT count(*) AS n FROM pending_outcomes")["n"].item())
        newest = max((s.last_ts for s in services.values() if s.last_ts), default=None)
        waiting_since = _moment(inbox.oldest_us)
        groups = self.inbox.clients()
        dropped, missing = sum(one.dropped for one in groups), sum(one.missing for one in groups)
        overdue = sum(one.overdue for one in groups)
        lost = inbox.rejected + dropped + missing + overdue
        since = min((one.waiting_since_us for one in groups if one.waiting_since_us is not None), default=None)
        known = [one for one in (newest, waiting_since, _moment(since), held.oldest(self.facts)) if one is not None]
        now = self.clock()
        too_late = int(self.facts.read("SELECT coalesce(sum(too_late), 0)::BIGINT AS n FROM ingest").item())
        return Status(
            version=self.version,
            public_url=self.public_url,
            now=now,
            accepted=inbox.accepted,
            durable=inbox.accepted,
            loaded=sum(s.loaded for s in services.values()),
            rejected=inbox.rejected,
            duplicates=sum(s.duplicates for s in services.values()),
            too_late=too_late,
            ignored=int(self.facts.read("SELECT coalesce(sum(n), 0)::BIGINT AS n FROM ignored")["n"].item()),
            repeated_batches=inbox.repeated_batches,
            waiting=inbox.backlog_rows,
            pending_outcomes=pending,
            waiting_halves=held.waiting(self.facts),
            halves=held.fates(self.facts),
            lag_seconds=max(0.0, (wall() - waiting_since).total_seconds()) if waiting_since else 0.0,
            complete_to=min([*known, now]) if newest else None,
            evaluated_to=self.evaluated_to(),
            completeness=(inbox.accepted - too_late) / (inbox.accepted + lost) if inbox.accepted + lost else None,
            logged_by_clients=sum(one.logged for one in groups),
            dropped_by_clients=dropped,
            waiting_at_clients=sum(one.pending for one in groups),
            overdue=overdue,
            missing=missing,
            facts_file=FactsFile(size.total, size.free, size.worth_compacting),
            services={name: service for name, service in services.items() if name},
            notes=self._notes(),
        )

    def ignored(self) -> dict[tuple[str, str], int]:
        """Count what was ignored by kind and what it was: the hundred that are most."""
        rows = self.facts.read(
            "SELECT kind, what, sum(n)::BIGINT AS n FROM ignored GROUP BY ALL ORDER BY n DESC, kind, what LIMIT 100"
        )
        return {(row["kind"], row["what"]): row["n"] for row in rows.iter_rows(named=True)}

    def _services(self) -> dict[str, ServiceStatus]:
        """Count by service; what belongs to none (GPU samples, outcomes that name no service) is under ""."""
        rows = self.facts.read(
            """SELECT coalesce(service, '') AS service, sum(loaded)::BIGINT AS loaded,
                      sum(rejected)::BIGINT AS rejected, sum(duplicates)::BIGINT AS duplicates,
                      coalesce(sum(clock_skewed), 0)::BIGINT AS clock_skewed,
                      max(last_ts) FILTER (kind = 'predictions') AS last_ts
               FROM ingest GROUP BY ALL ORDER BY ALL"""
        )
        return {
            row["service"]: ServiceStatus(
                row["loaded"],
                row["rejected"],
                row["duplicates"],
                row["clock_skewed"],
                utc(row["last_ts"]) if row["last_ts"] else None,
            )
            for row in rows.iter_rows(named=True)
        }

    def _notes(self) -> list[Note]:
        if not self.notes_file:
            return []
        try:
            return msgspec.json.decode(Path(self.notes_file).read_bytes(), type=list[Note])
        except (OSError, msgspec.DecodeError) as error:
            return [Note("The notes cannot be read", [f"{self.notes_file}: {error}"])]


def _moment(us: int | None) -> datetime | None:
    return datetime.fromtimestamp(us / 1e6, UTC) if us else None

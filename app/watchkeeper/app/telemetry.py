"""The ledger of telemetry as people read it: who sends, what is missing of it, who is silent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
import polars as pl

from watchkeeper.collector.ledger import OFFLINE_US, Group
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.telemetry import TELEMETRY_COLUMNS

State = Literal["ok", "partial", "offline", "never"]
Arrival = Callable[[str, str | None, Window], datetime | None]
"""When the newest event of a service (and site) came in, within a window of arrival."""
UNDECLARED = timedelta(microseconds=OFFLINE_US)
"""How long who declared nothing may be silent before it is called offline."""
BOOKED = timedelta(days=7)
"""For how long after its last sign of life the book of a client speaks for its service."""
RECENT = timedelta(days=1)
"""For how long after its last loss a group is called partial."""


class GroupReport(msgspec.Struct, frozen=True):
    """The clients of one service, site and version: what they logged (``sent``), and what became of it."""

    service: str
    site: str
    version: str
    state: State
    clients: int
    online: int
    sent: int
    accepted: int
    rejected: int
    durable: int
    dropped: int
    missing: int
    pending: int
    overdue: int
    first_seen: datetime
    last_seen: datetime


class ExpectedReport(msgspec.Struct, frozen=True):
    """One declared expectation: a site of a service, or (site null) the whole service."""

    service: str
    site: str | None
    expect_every_seconds: float
    state: State
    last_seen: datetime | None
    offline_since: datetime | None


class TelemetryReport(msgspec.Struct, frozen=True):
    """Who sends, and whoever is expected to."""

    now: datetime
    groups: list[GroupReport]
    expected: list[ExpectedReport]


@dataclass(frozen=True, slots=True)
class Expectation:
    """A service, or one site of it, that must not be silent for longer than this."""

    service: str
    site: str | None
    silence: timedelta


def expectations(declared: Declarations) -> Iterator[Expectation]:
    """Give what is declared, by service and site."""
    for system in declared.systems:
        silence = system.silence
        if silence is not None:
            for service in system.services:
                for site in system.sites or (None,):
                    yield Expectation(service, site, silence)


def report(groups: Sequence[Group], declared: Declarations, now: datetime, arrival: Arrival) -> TelemetryReport:
    """Judge each group and each expectation as of ``now`` (the wall's: clients are heard of in real time)."""
    wanted = list(expectations(declared))
    limits = {(one.service, one.site): one.silence for one in wanted}
    shown = [_group(one, limits.get((one.service, one.site)) or limits.get((one.service, None)), now) for one in groups]
    return TelemetryReport(now, shown, [_expected(one, groups, now, arrival) for one in wanted])


def _group(group: Group, limit: timedelta | None, now: datetime) -> GroupReport:
    return GroupReport(
        service=group.service,
        site=group.site,
        version=group.version,
        state="offline" if now - _moment(group.seen_us) > (limit or UNDECLARED) else _kept([group], now),
        clients=group.clients,
        online=group.online,
        sent=group.logged,
        accepted=group.accepted,
        rejected=group.rejected,
        durable=group.accepted,
        dropped=group.dropped,
        missing=group.missing,
        pending=group.pending,
        overdue=group.overdue,
        first_seen=_moment(group.first_us),
        last_seen=_moment(group.seen_us),
    )


def _expected(wanted: Expectation, groups: Iterable[Group], now: datetime, arrival: Arrival) -> ExpectedReport:
    own = [one for one in groups if one.service == wanted.service and wanted.site in (None, one.site)]
    seen = max((_moment(one.seen_us) for one in own), default=None)
    if seen is None or now - seen > wanted.silence:
        came = arrival(wanted.service, wanted.site, Window(now - wanted.silence, now))
        seen = max((one for one in (seen, came) if one is not None), default=None)
    offline = seen is None or now - seen > wanted.silence
    state: State = "never" if seen is None else "offline" if offline else _kept(own, now)
    since = seen if offline else None
    return ExpectedReport(wanted.service, wanted.site, wanted.silence.total_seconds(), state, seen, since)


def _kept(groups: Iterable[Group], now: datetime) -> State:
    lost = any(one.missing or one.overdue or now - _moment(one.lost_us) < RECENT for one in groups)
    return "partial" if lost else "ok"


def snapshot(groups: Sequence[Group]) -> pl.DataFrame:
    """Give the groups as the facts keep them."""
    same = ("service", "site", "version", "clients", "logged", "accepted", "rejected", "dropped", "missing")
    columns: dict[str, list[object]] = {
        name: [getattr(group, name) for group in groups] for name in (*same, "pending", "overdue")
    }
    columns["seen_at"] = [stored(_moment(group.seen_us)) for group in groups]
    return pl.DataFrame(columns, schema_overrides={name: TELEMETRY_COLUMNS[name] for name in columns})


def booked(books: pl.DataFrame, now: datetime) -> list[str]:
    """Name the services whose clients keep a book: those of a snapshot that were heard of within a week."""
    return books.filter(pl.col("seen_at") > stored(now - BOOKED))["service"].unique().to_list()


def _moment(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)

"""Does telemetry go missing on its way, or does someone who should send fall silent?

Two statements. *Lost*: of what clients say that they logged in the last day, the share that they dropped, that they
still hold though nobody has heard of them for 10 minutes, or that had been answered for and is not here; the place is
named where it is one site or one version. *Silent*: a site (or service) that is declared with ``expectEvery`` and sent
nothing for longer. Both say nothing about the model: silence is not health, and loss bends every other number.
Misleads where a process ended with events on a disk that nobody will ever send from: they count as lost. Times in which
the server itself was away are not judged. Senders without a book (OTLP) lose unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Settings, Snapshot, settings_for
from watchkeeper.analyzers.rows import TelemetryRow, rows
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import DataState, Evidence, Finding, Json, Severity, Window

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

STAYS = timedelta(minutes=5)
"""How long something must be missing: what is in flight is not."""
UNWATCHED = timedelta(minutes=15)
"""A longer pause between two looks means that nobody was there to hear."""
EVERYWHERE = "everywhere"

Group = tuple[str, str]
"""Site and version."""
Loss = tuple[int, int]
"""Events lost and events arrived."""


def growth(now: TelemetryRow, earlier: TelemetryRow | None, before: TelemetryRow | None) -> Loss:
    """Count what a group lost and what arrived since ``before``; what is missing must have been so ``earlier`` too.

    >>> was = TelemetryRow("s", accepted=100, dropped=5)
    >>> growth(TelemetryRow("s", accepted=190, dropped=7, missing=9), TelemetryRow("s", missing=4), was)
    (6, 90)
    """
    was = before or TelemetryRow(now.service)
    since = earlier or TelemetryRow(now.service)
    stuck = min(now.missing + now.overdue, since.missing + since.overdue) - was.missing - was.overdue
    arrived = now.accepted + now.rejected - was.accepted - was.rejected
    return max(0, stuck) + max(0, now.dropped - was.dropped), max(0, arrived)


def place(losses: Mapping[Group, Loss]) -> str:
    """Name the one site or version that loses, where others do not.

    >>> place({("ams", "1"): (5, 90), ("bru", "1"): (0, 80)}), place({("ams", "1"): (5, 90), ("bru", "1"): (5, 80)})
    ('site:ams', 'everywhere')
    """
    losing = [group for group, (lost, _) in losses.items() if lost]
    for index, word in enumerate(("site", "version")):
        names = {group[index] for group in losing}
        if len(names) == 1 and names != {group[index] for group in losses}:
            return f"{word}:{names.pop() or 'unnamed'}"
    return EVERYWHERE


def watched(looks: Sequence[datetime], window: Window) -> bool:
    """Whether somebody looked all the time."""
    moments = [window.start, *looks, window.end]
    return all(later - earlier <= UNWATCHED for earlier, later in pairwise(moments))


class Telemetry:
    """Share of the logged events that are lost on their way."""

    name = "data.telemetry"
    question = "Does telemetry go missing, or is someone silent who should send?"
    every = timedelta(minutes=5)
    span = timedelta(days=1)
    quiet = timedelta(minutes=30)

    @property
    def params(self) -> dict[str, Param]:
        """The share of a day's events, and how many of them, that are worth a ticket."""
        return {"min_share": 0.001, "min_events": 10}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every service whose clients keep a book, and every declared expectation."""
        now = _groups(facts, as_of)
        earlier, before = _groups(facts, as_of - STAYS), _groups(facts, window.start)
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for service in sorted({row.service for row in now.values()}):
            settings = settings_for(self, declared, service, "")
            own = {key: row for key, row in now.items() if key[0] == service}
            losses = {key[1:]: growth(row, earlier.get(key), before.get(key)) for key, row in own.items()}
            lost, arrived = (sum(column) for column in zip(*losses.values(), strict=True))
            if not settings.enabled or not lost + arrived:
                continue
            judged.add((service, ""))
            share, n = lost / (lost + arrived), lost + arrived
            readings.append(Reading(self.name, "lost_share", service, "", EVERYWHERE, window, as_of, share, n=n))
            if lost >= settings.number("min_events") and share >= settings.number("min_share"):
                findings.append(self._lost(settings, service, losses, window, as_of))
        for service, silent in self._silent(facts, declared, list(now.values()), as_of).items():
            judged.add((service, ""))
            findings += silent
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the share that is lost, or the seconds of silence."""
        if "silent_seconds" in snapshot:
            return cast("float", snapshot["silent_seconds"])
        lost, arrived = cast("int", snapshot["lost"]), cast("int", snapshot["arrived"])
        return lost / (lost + arrived)

    def _lost(
        self, settings: Settings, service: str, losses: Mapping[Group, Loss], window: Window, as_of: datetime
    ) -> Finding:
        ranked = sorted(losses.items(), key=lambda item: (-item[1][0], item[0]))
        groups: list[Json] = [[*group, *loss] for group, loss in ranked]
        lost, arrived = (sum(column) for column in zip(*losses.values(), strict=True))
        snapshot: Snapshot = {"lost": lost, "arrived": arrived, "groups": groups}
        where = place(losses)
        observed = self.recompute(snapshot)
        named = "" if where == EVERYWHERE else f", all of them from {where.replace(':', ' ')}"
        return Finding(
            analyzer=self.name,
            service=service,
            model="",
            metric="lost_share",
            subjects=(where,),
            window=window,
            as_of=as_of,
            observed=observed,
            severity=settings.severity_or(Severity.TICKET),
            summary=phrases.sentence(
                f"{phrases.percent(observed)} of what {service} logged in the last day is lost: {lost} events{named}."
            ),
            evidence=Evidence("book of the clients", lost + arrived, None, "C", snapshot),
            reference=0.0,
            unit="share",
            data_state=DataState.PARTIAL,
        )

    def _silent(
        self, facts: FactReader, declared: Declarations, groups: Sequence[TelemetryRow], as_of: datetime
    ) -> dict[str, list[Finding]]:
        found: dict[str, list[Finding]] = {}
        for system in declared.systems:
            limit = system.silence
            if limit is None:
                continue
            watch = Window(as_of - max(limit, UNWATCHED), as_of)
            services = system.services if watched(facts.telemetry_looks(watch), watch) else []
            for service in services:
                settings = settings_for(self, declared, service, "")
                if settings.enabled:
                    own = [row for row in groups if row.service == service]
                    since = {site: _silent_since(facts, own, service, site, watch) for site in system.sites or [None]}
                    found[service] = self._silences(settings, service, since, limit, as_of)
        return found

    def _silences(
        self,
        settings: Settings,
        service: str,
        since: Mapping[str | None, datetime | None],
        limit: timedelta,
        as_of: datetime,
    ) -> list[Finding]:
        """One finding a silent site; a single one where all of a service is silent."""
        silent = {site: at for site, at in since.items() if at is not None and as_of - at >= limit}
        if len(silent) < len(since):
            return [
                self._silence(settings, service, (f"site:{site}",), at, limit, as_of) for site, at in silent.items()
            ]
        names = (EVERYWHERE, *(f"site:{site}" for site in silent if site is not None))
        return [self._silence(settings, service, names, max(silent.values()), limit, as_of)] if silent else []

    def _silence(
        self,
        settings: Settings,
        service: str,
        subjects: tuple[str, ...],
        since: datetime,
        limit: timedelta,
        as_of: datetime,
    ) -> Finding:
        snapshot: Snapshot = {"silent_seconds": (as_of - since).total_seconds(), "expected": limit.total_seconds()}
        who = service if subjects[0] == EVERYWHERE else f"{subjects[0].replace(':', ' ')} of {service}"
        return Finding(
            analyzer=self.name,
            service=service,
            model="",
            metric="silent_seconds",
            subjects=subjects,
            window=Window(since, as_of),
            as_of=as_of,
            observed=self.recompute(snapshot),
            severity=settings.severity_or(Severity.TICKET),
            summary=phrases.sentence(
                f"{who} is offline since {phrases.day(since)} {since:%H:%M} UTC; it should send every "
                f"{phrases.span_words(limit)}."
            ),
            evidence=Evidence("time of the last arrival", 1, None, "C", snapshot),
            reference=limit.total_seconds(),
            unit="s",
            since=since,
            data_state=DataState.ABSENT,
        )


def _groups(facts: FactReader, as_of: datetime) -> dict[tuple[str, str, str], TelemetryRow]:
    return {(row.service, row.site, row.version): row for row in rows(facts.telemetry(as_of), TelemetryRow)}


def _silent_since(
    facts: FactReader, groups: Sequence[TelemetryRow], service: str, site: str | None, watch: Window
) -> datetime | None:
    """Give when it was heard of last (the start of the watch for one that never was), None where it is not silent."""
    heard = [row.seen_at.replace(tzinfo=UTC) for row in groups if row.seen_at and site in (None, row.site)]
    last = max(heard, default=watch.start)
    if last > watch.start or facts.last_arrival(service, site, watch) is not None:
        return None
    return last


ANALYZER = Telemetry()

"""Does telemetry go missing on its way?

Of what clients say that they logged in the last day, the share that they dropped, that they still hold though nobody
has heard of them for 10 minutes, or that had been answered for and is not here; the place is named where it is one site
or one version. It says nothing about the model, but bends every other number. Misleads where a process ended with
events on a disk that nobody will ever send from: they count as lost. Senders without a book (OTLP) lose unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
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


def source(losses: Mapping[Group, Loss]) -> str:
    """Say from which site and client version the lost events are; the worst of several.

    >>> source({("ams", "1"): (5, 90), ("bru", "1"): (0, 80)}), source({("", ""): (5, 90)})
    (', all of them from site ams, client version 1', '')
    >>> source({("ams", "1"): (5, 90), ("bru", "1"): (4, 80)})
    ', 5 of them from site ams, client version 1'
    """
    worst = max(losses, key=lambda group: losses[group][0])
    named = [f"{word} {name}" for word, name in zip(("site", "client version"), worst, strict=True) if name]
    share = losses[worst][0]
    many = "all" if share == sum(lost for lost, _ in losses.values()) else str(share)
    return f", {many} of them from {', '.join(named)}" if named else ""


class Telemetry:
    """Share of the logged events that are lost on their way."""

    name = "data.telemetry"
    question = "Does telemetry go missing on its way?"
    every = timedelta(minutes=5)
    span = timedelta(days=1)
    quiet = timedelta(minutes=30)

    @property
    def params(self) -> dict[str, Param]:
        """The share of a day's events, and how many of them, that are worth a ticket."""
        return {"min_share": 0.001, "min_events": 10}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every service whose clients keep a book."""
        now = groups(facts, as_of)
        earlier, before = groups(facts, as_of - STAYS), groups(facts, window.start)
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
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the share that is lost."""
        lost, arrived = cast("int", snapshot["lost"]), cast("int", snapshot["arrived"])
        return lost / (lost + arrived)

    def _lost(
        self, settings: Settings, service: str, losses: Mapping[Group, Loss], window: Window, as_of: datetime
    ) -> Finding:
        ranked = sorted(losses.items(), key=lambda item: (-item[1][0], item[0]))
        groups: list[Json] = [[*group, *loss] for group, loss in ranked]
        lost, arrived = (sum(column) for column in zip(*losses.values(), strict=True))
        snapshot: Snapshot = {"lost": lost, "arrived": arrived, "groups": groups}
        observed = self.recompute(snapshot)
        return Finding(
            analyzer=self.name,
            service=service,
            model="",
            metric="lost_share",
            subjects=(place(losses),),
            window=window,
            as_of=as_of,
            observed=observed,
            severity=settings.severity_or(Severity.TICKET),
            summary=phrases.sentence(
                f"{phrases.percent(observed)} of what {service} logged in the last day is lost: "
                f"{lost} events{source(losses)}."
            ),
            evidence=Evidence("book of the clients", lost + arrived, None, "C", snapshot),
            reference=0.0,
            unit="share",
            data_state=DataState.PARTIAL,
        )


def groups(facts: FactReader, as_of: datetime) -> dict[tuple[str, str, str], TelemetryRow]:
    """Give how the clients' books stood, by service, site and version."""
    books = (row for row in rows(facts.telemetry(as_of), TelemetryRow) if row.clients)
    return {(row.service, row.site, row.version): row for row in books}


ANALYZER = Telemetry()

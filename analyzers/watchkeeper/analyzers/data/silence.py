"""Is someone silent who should send?

A site (or service) that is declared with ``expectEvery`` is offline once nothing came for longer. Of who declares
nothing, the limit follows from its own gaps in the last 28 days, those that began within an hour of the same time of
day on the same kind of day: the gap that, by their tail, comes once in 100 years (Hill's estimator on the longest 20),
and never less than half as much again as the longest. It is used only where traffic is so dense that this is at most
an hour; who sends seldom or in wild bursts must be declared. Silence says nothing about the model: it is not health.

Time in which the server itself was away is not counted. Misleads on the first holiday of a service that is otherwise
busy at that hour, and of who declares nothing and moves to another name on purpose. What is learned is learned from the
books of clients, and of senders without one (OTLP exporters) from when their predictions came in, a service at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.data.telemetry import EVERYWHERE
from watchkeeper.analyzers.evaluation import Evaluation, Param, Settings, Snapshot, settings_for
from watchkeeper.analyzers.rows import TelemetryRow, rows
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import DataState, Evidence, Finding, Severity, Window

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

FRESH = timedelta(minutes=3)
"""Without a look that is younger than this nobody knows who is silent."""
LEARNED = timedelta(days=28)
"""So far back gaps are learned from."""
BACK = timedelta(minutes=1)
"""So long clients may take to find a server again that was away."""
GONE = timedelta(days=7)
"""Who declares nothing and is silent for so long is not expected any more."""
MIN_GAPS, MIN_DAYS, TAIL = 200, 5, 20
LONGEST = timedelta(hours=1)
ONCE_IN_YEARS = 100.0


@dataclass(frozen=True, slots=True)
class Limit:
    """How long someone may be silent, and what it rests on: so many gaps of its own, or 0 where it is declared."""

    span: timedelta
    gaps: int = 0
    longest: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Silence:
    """Since when someone is silent, and for how long it may be; ``heard`` is False where it never sent."""

    since: datetime
    lasted: timedelta
    limit: Limit
    heard: bool = True


def learned(longest: Sequence[float], n: int, days: int, floor: float) -> Limit | None:
    """Give how long one may be silent by its longest gaps (s) of so many; None where that cannot be told or is long.

    >>> learned([62.0] * 5 + [61.0] * 16, 3000, 20, 120.0).span
    datetime.timedelta(seconds=120)
    >>> learned([900.0 - 30 * rank for rank in range(21)], 600, 20, 120.0) is None
    True
    """
    ranked = sorted(longest, reverse=True)
    if n < MIN_GAPS or days < MIN_DAYS or len(ranked) <= TAIL or ranked[TAIL] <= 0:
        return None
    start = ranked[TAIL]
    tail = sum(math.log(gap / start) for gap in ranked[:TAIL]) / TAIL
    a_year = n * timedelta(days=365) / LEARNED
    # Logarithms: a heavy tail gives a limit that no number holds.
    far = math.log(start) + tail * math.log(max(1.0, TAIL / n * a_year * ONCE_IN_YEARS))
    if far > math.log(LONGEST.total_seconds()):
        return None
    limit = max(floor, math.exp(far), 1.5 * ranked[0])
    if limit > LONGEST.total_seconds():
        return None
    return Limit(timedelta(seconds=limit), n, timedelta(seconds=ranked[0]))


class SilenceOfSenders:
    """Seconds since someone who should send was heard of."""

    name = "data.silence"
    question = "Is someone silent who should send?"
    every = timedelta(minutes=1)
    span = timedelta(days=1)
    quiet = timedelta(minutes=5)

    @property
    def params(self) -> dict[str, Param]:
        """The least silence, in minutes, that is told of someone who declares nothing."""
        return {"floor_minutes": 2.0}

    def evaluate(
        self,
        facts: FactReader,
        declared: Declarations,
        window: Window,  # noqa: ARG002  # silence has no window: it began when it began
        as_of: datetime,
    ) -> Evaluation:
        """Judge everyone who is declared or whose clients keep a book, as of the newest look."""
        look = facts.newest_look(Window(as_of - FRESH, as_of))
        if look is None:
            return Evaluation()
        heard = _heard(facts, look[0])
        expected = _declared(declared)
        findings: list[Finding] = []
        judged: set[tuple[str, str]] = set()
        for service in sorted({service for service, _ in (*heard, *expected)}):
            settings = settings_for(self, declared, service, "")
            if not settings.enabled:
                continue
            wanted = {site: limit for (of, site), limit in expected.items() if of == service}
            if wanted:
                silent = _declared_silences(facts, service, wanted, heard, look)
            else:
                floor = settings.number("floor_minutes") * 60
                silent = _learned_silences(facts, service, heard, look, floor)
            if silent is not None:
                judged.add((service, ""))
                findings += self._findings(settings, service, silent, as_of)
        return Evaluation(tuple(findings), (), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the seconds of silence."""
        return cast("float", snapshot["silent_seconds"])

    def _findings(
        self, settings: Settings, service: str, found: Mapping[str | None, Silence | None], as_of: datetime
    ) -> list[Finding]:
        """One finding a silent site; a single one where all of a service is silent."""
        silent = {site: one for site, one in found.items() if one is not None}
        if len(silent) < len(found):
            return [self._finding(settings, service, (f"site:{site}",), one, as_of) for site, one in silent.items()]
        if not silent:
            return []
        last = max(silent.values(), key=lambda one: one.since)
        names = (EVERYWHERE, *(f"site:{site}" for site in silent if site))
        return [self._finding(settings, service, names, last, as_of)]

    def _finding(
        self, settings: Settings, service: str, subjects: tuple[str, ...], silence: Silence, as_of: datetime
    ) -> Finding:
        limit, since = silence.limit, silence.since
        expected, lasted = limit.span.total_seconds(), silence.lasted.total_seconds()
        snapshot: Snapshot = {"silent_seconds": lasted, "expected": expected}
        who = service if subjects[0] == EVERYWHERE else f"{subjects[0].replace(':', ' ')} of {service}"
        what = (
            f"{who} is offline since {phrases.day(since)} {since:%H:%M} UTC" if silence.heard else f"{who} never sent"
        )
        if limit.gaps:
            why = f"at this hour it was never silent for longer than {_rounded(limit.longest)}"
        else:
            why = f"it should send every {phrases.span_words(limit.span)}"
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
            summary=phrases.sentence(f"{what}; {why}."),
            evidence=Evidence(
                "tail of its own gaps" if limit.gaps else "time of the last arrival",
                limit.gaps or 1,
                None,
                "B" if limit.gaps else "C",
                snapshot,
            ),
            reference=expected,
            unit="s",
            since=since,
            data_state=DataState.ABSENT,
        )


def _rounded(span: timedelta) -> str:
    return phrases.span_words(timedelta(minutes=math.ceil(span / timedelta(minutes=1))))


class Heard(NamedTuple):
    """When someone was last heard of, and whether a book of its own says so."""

    at: datetime
    booked: bool


def _heard(facts: FactReader, at: datetime) -> dict[tuple[str, str], Heard]:
    """Give when each service was last heard of at each site, by the books of its clients; by what came in where these
    are older or there are none.
    """
    heard: dict[tuple[str, str], Heard] = {}
    bare: dict[str, Heard] = {}
    for row in rows(facts.telemetry(at), TelemetryRow):
        if row.seen_at is not None:
            seen, key = Heard(row.seen_at.replace(tzinfo=UTC), row.clients > 0), (row.service, row.site)
            if seen.booked:
                heard[key] = max(seen, heard.get(key, seen))
            else:
                bare[row.service] = seen
    for service, seen in bare.items():
        if all(seen.at > one.at for (of, _), one in heard.items() if of == service):
            heard[service, ""] = seen
    return heard


def _declared(declared: Declarations) -> dict[tuple[str, str | None], timedelta]:
    return {
        (service, site): system.silence
        for system in declared.systems
        if system.silence is not None
        for service in system.services
        for site in system.sites or (None,)
    }


def _declared_silences(
    facts: FactReader,
    service: str,
    wanted: Mapping[str | None, timedelta],
    heard: Mapping[tuple[str, str], Heard],
    look: tuple[datetime, datetime],
) -> dict[str | None, Silence | None] | None:
    """Give who is silent; None where that is not known yet, since events that have arrived wait to be loaded."""
    at, loaded_to = look
    found: dict[str | None, Silence | None] = {}
    for site, limit in wanted.items():
        own = [seen.at for (of, where), seen in heard.items() if of == service and site in (None, where)]
        last = max(own, default=None)
        found[site] = None
        if last is not None and at - last < limit:
            continue
        came = facts.last_arrival(service, site, Window(at - limit, at))
        if came is None and at - loaded_to > limit / 2:
            return None
        last = max((one for one in (last, came) if one is not None), default=None)
        since = at - 2 * limit if last is None else last
        if _watched_for(facts, Window(since, at), limit):
            found[site] = Silence(last or at - limit, at - last if last else limit, Limit(limit), last is not None)
    return found


def _learned_silences(
    facts: FactReader,
    service: str,
    heard: Mapping[tuple[str, str], Heard],
    look: tuple[datetime, datetime],
    floor: float,
) -> dict[str | None, Silence | None]:
    """Give who is silent. A book is as new as the look; what came in without one is known as far as it is loaded."""
    at, loaded_to = look
    recent = {site: seen for (of, site), seen in heard.items() if of == service and at - seen.at < GONE}
    found: dict[str | None, Silence | None] = dict.fromkeys(recent)
    lasted = {site: (at if seen.booked else loaded_to) - seen.at for site, seen in recent.items()}
    silent = tuple((service, site, recent[site].at) for site, span in lasted.items() if span.total_seconds() >= floor)
    if not silent:
        return found
    for gaps in facts.arrival_gaps(silent, Window(at - LEARNED, at), TAIL + 1):
        limit, since, span = learned(gaps.longest, gaps.n, gaps.days, floor), recent[gaps.site].at, lasted[gaps.site]
        if limit is not None and span >= limit.span and _watched_for(facts, Window(since, since + span), limit.span):
            found[gaps.site] = Silence(since, span, limit)
    return found


def _watched_for(facts: FactReader, silence: Window, limit: timedelta) -> bool:
    """Say whether somebody listened for so long, and a little longer where the server was away in between."""
    watched = facts.watched(silence)
    away = silence.end - silence.start - watched > FRESH
    return watched >= (limit + BACK if away else limit)


ANALYZER = SilenceOfSenders()

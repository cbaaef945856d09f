"""When each analyzer looks: every window end after its watermark once, in the order of time.

Once by the clock: one that was set back comes by the same window ends again, and they are looked at again.

The same schedule serves a live server, a replay and the backtest: an evaluation at time t reads only what is before t
and hands over everything of t at once, with the watermarks that it reaches. So it may be repeated without harm.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from watchkeeper.analyzers.emptiness import EmptyStretch
from watchkeeper.analyzers.evaluation import Analyzer, Evaluation, Reading, settings_for
from watchkeeper.analyzers.memo import remembering
from watchkeeper.analyzers.phrases import sentence
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import Unavailable
from watchkeeper.schemas.findings import DataState, Evidence, Finding, Severity, Window

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

log = logging.getLogger(__name__)

Sink = Callable[[Sequence[Evaluation], Mapping[str, datetime]], None]
"""Stores everything of one ``as_of`` and the watermarks that it reaches, in one transaction."""

EPOCH = datetime.fromtimestamp(0, UTC)
FAR_BEHIND = timedelta(days=1)
DAY = timedelta(days=1)
COARSE = timedelta(hours=1)
SEARCHED = timedelta(days=30)
OWN_SERVICE = "watchkeeper"
"""The service name of findings about the analyzers themselves."""
FAILURES_FOR_TICKET = 3
CLOCK_WENT_BACK = timedelta(minutes=1)
BETWEEN = timedelta(seconds=5)
"""So often at most does who is urgent look between two window ends."""
BLIND_EVERY = timedelta(days=1)
"""How often it is said of an open finding that nobody can see whether it goes on."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one analyzer came to at one time, and how often it has now failed in a row."""

    name: str
    evaluation: Evaluation
    failures: int


class Schedule:
    """Evaluates what is due.

    ``declared`` gives what is declared now; ``clock`` the time; ``sink`` takes each evaluation; ``watermarks`` holds
    the last window end of each analyzer; ``maintain`` is called before each time (it makes references that are due).
    ``min_every`` keeps a replay from evaluating more often than that. What is more than a day behind is caught up
    at most hourly: nobody is helped by a page about a minute of last week. ``open_findings`` are those that were
    active when the process last stopped. Stretches in which there is nothing to read are jumped over. Who is named in
    ``without_events`` looks also where no event ever came. Who is ``urgent`` looks at each call also between two window
    ends, and says then what is new or has become a page: people need not wait for the end of a minute.
    """

    def __init__(
        self,
        registry: Mapping[str, Analyzer],
        facts: FactReader,
        declared: Callable[[], Declarations],
        clock: Callable[[], datetime],
        sink: Sink,
        watermarks: Mapping[str, datetime],
        *,
        maintain: Callable[[datetime], object] = lambda _: None,
        min_every: timedelta = timedelta(0),
        open_findings: Iterable[Finding] = (),
        without_events: Collection[str] = (),
        urgent: Collection[str] = (),
    ) -> None:
        self._registry = registry
        self._facts = facts
        self._declared = declared
        self._clock = clock
        self._sink = sink
        self._maintain = maintain
        self._min_every = min_every
        self._watermarks = dict(watermarks)
        self._open = {finding.fingerprint: finding for finding in open_findings if finding.active}
        self._without_events = without_events
        self._urgent = urgent
        self._looked_at = EPOCH
        self._failures: dict[str, int] = {}
        self._running = threading.Lock()

    @property
    def watermarks(self) -> Mapping[str, datetime]:
        """The last window end that each analyzer was evaluated at."""
        return dict(self._watermarks)

    @property
    def evaluated_to(self) -> datetime | None:
        """The time up to which all has been looked at; who looks but once a week is not waited for before its week.

        None while only those have looked who need no events.
        """
        known = self._registry.keys() - self._without_events
        marks = [(at, self._registry[name].every) for name, at in self._watermarks.items() if name in known]
        settled = min((at for at, every in marks if every <= DAY), default=None)
        if settled is None:
            return None
        return min((at for at, every in marks if every > DAY and at + every <= settled), default=settled)

    @property
    def open_findings(self) -> tuple[Finding, ...]:
        """The findings that are active now."""
        return tuple(self._open.values())

    def run_due(self, now: datetime | None = None) -> int:
        """Evaluate every window that has ended and was not evaluated yet; give how many evaluations that took.

        Raises ``Unavailable`` (and what the sink raises) without moving a watermark: run it again later.
        """
        with self._running:
            until = now or self._clock()
            last, reader = self._starting_points(until), remembering(self._facts)
            empty = EmptyStretch(self._registry, self._facts)
            done = 0
            while True:
                ends = {
                    name: end for name, start in last.items() if (end := self._next_end(name, start, until)) <= until
                }
                if not ends:
                    return done + self._look_between(until.replace(microsecond=0), reader)
                at = min(ends.values())
                due = [name for name in self._registry if ends.get(name) == at]
                empty.note(due, silent=self._evaluate(at, due, reader) and not self._open)
                last.update(dict.fromkeys(due, at))
                done += len(due)
                back = empty.until(at, until - FAR_BEHIND)
                if back is not None:
                    last = {name: max(end, self._end_before(name, back, until)) for name, end in last.items()}

    def _look_between(self, at: datetime, reader: FactReader) -> int:
        """Let those look that are urgent and have looked at all that has ended; what is not new is said at its time."""
        if timedelta(0) <= at - self._looked_at < BETWEEN:
            return 0
        self._looked_at = at
        names = [
            name for name in self._urgent if (last := self._watermarks.get(name)) and last < at < last + FAR_BEHIND
        ]
        declared = self._declared() if names else Declarations()
        found: dict[str, Evaluation] = {}
        for name in names:
            outcome = self._one(name, reader, declared, at)
            news = tuple(finding for finding in outcome.evaluation.findings if self._is_news(finding))
            if news and not outcome.failures:
                found[name] = Evaluation(news)
        if found:
            self._sink([*found.values()], dict.fromkeys(found, at))
            self._watermarks.update(dict.fromkeys(found, at))
            self._open |= {finding.fingerprint: finding for one in found.values() for finding in one.findings}
        return len(names)

    def _is_news(self, finding: Finding) -> bool:
        known = self._open.get(finding.fingerprint)
        louder = known is None or (finding.severity is Severity.PAGE and known.severity is not Severity.PAGE)
        return finding.active and finding.severity.alerts and louder

    def _next_end(self, name: str, after: datetime, until: datetime) -> datetime:
        return after - (after - EPOCH) % self._step(name, after, until) + self._step(name, after, until)

    def _end_before(self, name: str, moment: datetime, until: datetime) -> datetime:
        """Give the last window end before a moment, as it would have been come to step by step."""
        before = moment - timedelta(microseconds=1)
        return before - (before - EPOCH) % self._step(name, before, until)

    def _step(self, name: str, after: datetime, until: datetime) -> timedelta:
        step = max(self._registry[name].every, self._min_every)
        return max(step, COARSE) if until - after > FAR_BEHIND else step

    def _starting_points(self, until: datetime) -> dict[str, datetime]:
        """Give where each analyzer goes on: its watermark, but never before the first event that there is."""
        # One ahead of the clock says that this went back: those windows were judged before their data could come.
        ahead = [name for name, at in self._watermarks.items() if at > until + CLOCK_WENT_BACK]
        self._watermarks.update(dict.fromkeys(ahead, until))
        points = {name: at for name in self._registry if (at := self._watermarks.get(name)) is not None}
        if len(points) == len(self._registry) and all(until - at <= FAR_BEHIND for at in points.values()):
            return points
        first = self._first_event(until)
        if first is None:
            # Nothing is caught up: without events there is only how things stand now.
            latest = {name: until - self._registry[name].every for name in self._without_events}
            return {name: max(points.get(name, at), at) for name, at in latest.items()}
        return {name: max(points.get(name, first), first) for name in self._registry}

    def _first_event(self, until: datetime) -> datetime | None:
        models = self._facts.models(until)
        if models:
            return min(info.first_ts for info in models)
        sampled = self._facts.gpus(Window(until - SEARCHED, until))["first_ts"].to_list()
        return min(sampled).replace(tzinfo=UTC) if sampled else None

    def _evaluate(self, at: datetime, due: Sequence[str], reader: FactReader) -> bool:
        """Evaluate these analyzers at one time, hand everything over, and only then remember it.

        Gives whether none of them had anything to say.
        """
        self._maintain(at)
        declared = self._declared()
        outcomes = [self._one(name, reader, declared, at) for name in due]
        evaluations = [self._with_endings(outcome, at, reader, declared) for outcome in outcomes]
        self._sink(evaluations, dict.fromkeys(due, at))
        self._watermarks.update(dict.fromkeys(due, at))
        self._failures.update({outcome.name: outcome.failures for outcome in outcomes})
        for evaluation in evaluations:
            for finding in evaluation.findings:
                if finding.active:
                    self._open[finding.fingerprint] = finding
                elif finding.data_state is DataState.ABSENT and finding.fingerprint in self._open:
                    held = replace(self._open[finding.fingerprint], as_of=finding.as_of)
                    self._open[finding.fingerprint] = held
                else:
                    self._open.pop(finding.fingerprint, None)
        return not any(evaluation.findings or evaluation.readings for evaluation in evaluations)

    def _one(self, name: str, facts: FactReader, declared: Declarations, at: datetime) -> _Outcome:
        analyzer = self._registry[name]
        window = Window(at - analyzer.span, at)
        try:
            return _Outcome(name, analyzer.evaluate(facts, declared, window, at), 0)
        except Unavailable:
            raise
        except Exception as error:  # one broken analyzer must not stop the others
            log.exception("analyzer %s failed on the window that ends at %s", name, at.isoformat())
            failures = self._failures.get(name, 0) + 1
            return _Outcome(name, Evaluation((_failure(name, window, at, failures, error),)), failures)

    def _with_endings(self, outcome: _Outcome, at: datetime, reader: FactReader, declared: Declarations) -> Evaluation:
        """Add an inactive finding for every open one that was judged again and not repeated for long.

        One whose service and model sent nothing is not judged, and not over: once a day it is said to be out of
        sight, which keeps its incident open.
        """
        analyzer = self._registry[outcome.name]
        said = {finding.fingerprint for finding in outcome.evaluation.findings}
        judged = set(outcome.evaluation.judged)
        if not outcome.failures:
            judged.add((OWN_SERVICE, outcome.name))
        ended = [
            finding
            for finding in self._open.values()
            if finding.analyzer == outcome.name
            and (finding.service, finding.model) in judged
            and finding.fingerprint not in said
            and _is_over(finding, at - finding.as_of, analyzer, outcome.evaluation.readings)
        ]
        window = Window(at - analyzer.span, at)
        endings = [_ending(finding, window, at, outcome.evaluation.readings) for finding in ended]
        day = Window(at - max(analyzer.span, BLIND_EVERY), at)
        unseen = [
            _out_of_sight(finding, window, at)
            for finding in self._open.values()
            if finding.analyzer == outcome.name
            and (finding.service, finding.model) not in judged
            and finding.fingerprint not in said
            and at - finding.as_of >= BLIND_EVERY
            and settings_for(analyzer, declared, finding.service, finding.model).enabled
            and reader.traffic(day, service=finding.service, model=finding.model or None).height == 0
        ]
        return replace(outcome.evaluation, findings=(*outcome.evaluation.findings, *endings, *unseen))


def _failure(name: str, window: Window, at: datetime, failures: int, error: Exception) -> Finding:
    """Say that an analyzer failed; a ticket once it fails again and again."""
    text = f"{type(error).__name__}: {error}"
    return Finding(
        analyzer=name,
        service=OWN_SERVICE,
        model=name,
        metric="evaluator_error",
        subjects=(name,),
        window=window,
        as_of=at,
        observed=float(failures),
        severity=Severity.TICKET if failures >= FAILURES_FOR_TICKET else Severity.NOTICE,
        summary=sentence(f"{name} failed {failures} times in a row, so what it watches is not watched: {text}"),
        evidence=Evidence("exception", failures, snapshot={"failures": failures, "error": text}),
        data_state=DataState.EVALUATOR_ERROR,
    )


def _is_over(finding: Finding, silence: timedelta, analyzer: Analyzer, readings: Sequence[Reading]) -> bool:
    """Whether it was silent for long enough, or for a whole window and its reading is surely back.

    Surely: at or below the reference, with an interval that ends nearer to the reference than to what was told.
    """
    if silence >= analyzer.quiet or finding.service == OWN_SERVICE:
        return True
    newest = _newest(finding, readings)
    if silence < analyzer.span or newest is None or newest.reference is None or newest.upper is None:
        return False
    return newest.value <= newest.reference and newest.upper < (newest.reference + finding.observed) / 2


def _newest(finding: Finding, readings: Sequence[Reading]) -> Reading | None:
    same = (finding.metric, finding.service, finding.model, finding.subject)
    return next((r for r in readings if (r.metric, r.service, r.model, r.subject) == same), None)


def _ending(finding: Finding, window: Window, at: datetime, readings: Sequence[Reading]) -> Finding:
    """Say that a finding no longer holds; ``observed`` is the newest reading where there is one."""
    newest = _newest(finding, readings)
    observed = finding.observed if newest is None else newest.value
    return replace(
        finding,
        window=window,
        as_of=at,
        observed=observed,
        interval=None,
        effect=None,
        impact=None,
        data_state=DataState.OK,
        active=False,
        summary=sentence(f"No longer: {finding.summary}"),
        evidence=Evidence("not repeated", 0, snapshot={"observed": observed}),
    )


def _out_of_sight(finding: Finding, window: Window, at: datetime) -> Finding:
    """Say that no data came, so that nobody can tell whether a finding still holds."""
    return replace(
        finding,
        window=window,
        as_of=at,
        interval=None,
        effect=None,
        impact=None,
        data_state=DataState.ABSENT,
        active=False,
        summary=sentence(f"No data, so nobody can see whether it goes on: {finding.summary}"),
        evidence=Evidence("no data", 0, snapshot={"observed": finding.observed}),
    )

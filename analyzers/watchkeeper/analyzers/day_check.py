"""The core of the checks of what arrives: is a share of a day's events above what days before had, and does it last?

The judgement is that of the checks of features (``share_check``): days are compared, never rows. A large share of what
was clean needs one day, a smaller one two, and a rise over what was never clean a run of days that days alike would
hardly ever give: a permutation test over days, times all that is tested beside it. Where some of it is usual a surge is
told on its first day: ``at_once`` more than the mean, and farther out than days differ by (Student's t for a new day).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Settings, Snapshot, settings_for
from watchkeeper.analyzers.intervals import Count, day_shares, day_wilson, grade, student_tail
from watchkeeper.analyzers.share_check import Limits, Told, Verdict, judge, limits_of
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Json, Window

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

DAY = timedelta(days=1)
WINDOWS = 7
USUAL = 28
FEWEST = 10
"""Days with enough events that the usual must have."""


@dataclass(frozen=True, slots=True)
class Look:
    """What an evaluation may read, of which day, and what is declared."""

    facts: FactReader
    declared: Declarations
    window: Window
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Case:
    """One share: by day, the newest first, and on the usual days."""

    service: str
    model: str
    subject: str
    windows: tuple[Count, ...]
    usual: tuple[Count, ...]
    kind: str = ""

    @property
    def now(self) -> Count:
        """The evaluated day."""
        return self.windows[0]


@dataclass(frozen=True, slots=True)
class Rise:
    """A case that holds; ``span`` is the run of days that it has lasted."""

    case: Case
    verdict: Verdict
    span: Window
    facts: FactReader

    @property
    def usual(self) -> str:
        """The usual share, in words."""
        return phrases.percent(self.verdict.reference.mean)


def split(days: dict[datetime, Count], end: datetime) -> tuple[tuple[Count, ...], tuple[Count, ...]]:
    """Give the last seven days before ``end``, the newest first, and the 28 before those."""
    newest = tuple(days.get(end - (place + 1) * DAY, Count(0, 0)) for place in range(WINDOWS))
    before = (days.get(end - (WINDOWS + place + 1) * DAY) for place in range(USUAL))
    return newest, tuple(day for day in before if day is not None)


def surge(now: Count, usual: Sequence[Count], tests: int, limits: Limits) -> float:
    """Give how likely one more day like the usual ones is so high; 1 where it is no ``at_once`` above their mean.

    >>> usual = [Count(20 + place % 5, 1000) for place in range(28)]
    >>> [surge(Count(hits, 1000), usual, 1, Limits(at_once=0.2)) < 1e-6 for hits in (100, 400)]
    [False, True]
    """
    days = [day for day in usual if day.rows]
    mean = day_shares(days).mean
    if now.share < mean + limits.at_once or now.affected < limits.min_affected or len(days) < FEWEST:
        return 1.0
    between = math.fsum((day.share - mean) ** 2 for day in days) / (len(days) - 1)
    spread = math.sqrt(between * (1 + 1 / len(days)) + mean * (1 - mean) / max(now.rows, 1) + 1 / max(now.rows, 1) ** 2)
    return min(1.0, student_tail((now.share - mean) / spread, len(days) - 1) * tests)


def judge_days(windows: Sequence[Count], usual: Sequence[Count], tests: int, limits: Limits) -> Verdict:
    """Judge the newest day, with those before it, against the usual ones."""
    verdict = judge(windows, usual, tests, limits)
    if verdict.holds:
        return verdict
    p_value = surge(windows[0], usual, tests, limits)
    return replace(verdict, holds=True, p_value=p_value) if p_value < limits.alpha else verdict


class DayCheck(ABC):
    """What is counted and how it is said is the subclass's; once a day all are judged."""

    name: str
    question: str
    metric: str
    limits = Limits(min_rows=50, alpha=0.0001, in_two=0.05, at_once=0.2)
    every = DAY
    span = DAY
    quiet = timedelta(days=3)

    @abstractmethod
    def cases(self, look: Look) -> Iterator[Case]:
        """Count everything that is judged."""

    @abstractmethod
    def tell(self, rise: Rise) -> Told:
        """Say what, since when, where, and what to do next."""

    @property
    def params(self) -> dict[str, Param]:
        """The limits, by name."""
        return asdict(self.limits)

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge the last day of every share that has usual days."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        look = Look(facts, declared, window, as_of)
        for case, settings, tests in self._tested(look):
            limits = limits_of(settings)
            usual = day_shares(case.usual)
            bounds = day_wilson(case.now, usual.likeness)
            about = (self.name, self.metric, case.service, case.model, case.subject, window, as_of)
            readings.append(Reading(*about, case.now.share, *bounds, case.now.rows, reference=usual.mean))
            judged.add((case.service, case.model))
            verdict = judge_days(case.windows, case.usual, tests, limits)
            if verdict.holds:
                findings.append(self._finding(look, case, settings, verdict))
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the share of the newest day."""
        windows = cast("list[list[int]]", snapshot["windows"])
        return Count(windows[0][0], windows[0][1]).share

    def _tested(self, look: Look) -> list[tuple[Case, Settings, int]]:
        """Give what has enough events on the day and on the usual days, and how much is tested of the same service."""
        found: list[tuple[Case, Settings]] = []
        for case in self.cases(look):
            settings = settings_for(self, look.declared, case.service, case.model)
            least = settings.number("min_rows")
            enough = case.now.rows >= least and sum(day.rows >= least for day in case.usual) >= FEWEST
            if settings.enabled and enough:
                found.append((case, settings))
        services = [case.service for case, _ in found]
        return [(case, settings, services.count(case.service)) for case, settings in found]

    def _finding(self, look: Look, case: Case, settings: Settings, verdict: Verdict) -> Finding:
        window = look.window
        span = Window(window.end - max(verdict.run, 1) * DAY, window.end)
        told = self.tell(Rise(case, verdict, span, look.facts))
        snapshot: Snapshot = {"windows": _json(case.windows), "reference": _json(case.usual), **(told.more or {})}
        observed = self.recompute(snapshot)
        return Finding(
            analyzer=self.name,
            service=case.service,
            model=case.model,
            metric=self.metric,
            subjects=(case.subject,),
            window=window,
            as_of=look.as_of,
            observed=observed,
            severity=settings.severity_or(told.severity),
            summary=phrases.sentence(told.summary),
            evidence=Evidence(
                "days against days", case.now.rows, verdict.p_value, grade(verdict.p_value, case.now.rows), snapshot
            ),
            interval=day_wilson(case.now, verdict.reference.likeness),
            reference=verdict.reference.mean,
            effect=observed - verdict.reference.mean,
            unit="share",
            since=span.start,
            examples=told.examples,
        )


def _json(days: Sequence[Count]) -> list[Json]:
    return [[int(day.affected), day.rows] for day in days]

"""The core of every check of the data: is a share of rows above what the reference's days had, and does it last?

The smaller the share, the longer it must last before anybody is told:

- ``at_once``: so much of a feature that was clean needs one window,
- ``in_two``: so much needs two windows in a row,
- ``min_share`` above the reference's mean needs a run of windows (up to seven) so long that days like the reference's
  would hardly ever give it: a permutation test over days, times the number of features.

Days are what is compared, never rows: a thousand rows of one bad day are one bad day. Clean is a feature whose worst
day in the reference was below ``min_share``. Source: exact permutation test of the least share of the run, that is
the chance that ``run`` of ``days + run`` exchangeable days are all among the highest.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Settings, Snapshot, scopes
from watchkeeper.analyzers.feature_days import HISTORY, FeatureDays, aware, feature_days, history
from watchkeeper.analyzers.impact.value import estimate
from watchkeeper.analyzers.intervals import Count, DayShares, day_shares, day_wilson, grade
from watchkeeper.analyzers.memo import once
from watchkeeper.analyzers.rows import FeatureRow
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import DataState, Evidence, Finding, Json, Severity, Window

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

MANY = 3
"""From this many features on, one finding speaks for them together: they have one cause."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a share is too high; ``min_affected`` rows at least make a share large."""

    min_rows: float = 30
    min_share: float = 0.01
    alpha: float = 0.001
    in_two: float = 0.05
    at_once: float = 0.05
    min_affected: float = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: whether the condition holds, how many windows in a row break the limits, how likely that is."""

    holds: bool
    run: int
    p_value: float
    reference: DayShares


def judge(windows: Sequence[Count], days: Sequence[Count], tests: int, limits: Limits) -> Verdict:
    """Judge disjoint windows, the newest first, against the reference's days.

    >>> clean, calm, high = [Count(0, 400)] * 28, Count(0, 400), Count(8, 400)
    >>> [judge([high] * run + [calm], clean, tests=10, limits=Limits()).holds for run in (1, 2, 3, 4)]
    [False, False, False, True]
    >>> judge([Count(60, 400), calm], clean, tests=10, limits=Limits()).holds
    True
    """
    reference = day_shares(days)
    run = 0
    while run < len(windows) and _breaks(windows[run], reference, limits):
        run += 1
    if run == 0 or reference.days == 0:
        return Verdict(False, 0, 1.0, reference)
    chances = [run_probability(windows[:length], days) for length in range(1, run + 1)]
    p_value = min(1.0, min(chances) * max(tests, 1))
    clean = reference.worst < limits.min_share
    large = clean and (
        _is_large(windows[:1], limits.at_once, limits) or (run > 1 and _is_large(windows[:2], limits.in_two, limits))
    )
    return Verdict(large or p_value < limits.alpha, run, p_value, reference)


def _breaks(window: Count, reference: DayShares, limits: Limits) -> bool:
    return window.rows >= limits.min_rows and window.share >= reference.mean + limits.min_share


def _is_large(windows: Sequence[Count], share: float, limits: Limits) -> bool:
    return all(window.share >= share and window.affected >= limits.min_affected for window in windows)


def run_probability(run: Sequence[Count], days: Sequence[Count]) -> float:
    """How likely as many further days like the reference's would all be as high as the lowest of the run.

    >>> round(1 / run_probability([Count(8, 400)] * 4, [Count(0, 400)] * 28))
    35960
    """
    lowest = min(window.share for window in run)
    usual = [day for day in days if day.rows]
    as_high = sum(day.share >= lowest for day in usual)
    return math.comb(len(run) + as_high, len(run)) / math.comb(len(usual) + len(run), len(run))


@dataclass(frozen=True, slots=True)
class Case:
    """One feature whose condition holds."""

    days: FeatureDays
    windows: tuple[Count, ...]
    reference: tuple[Count, ...]
    verdict: Verdict
    tests: int
    since: datetime
    end: datetime

    @property
    def now(self) -> Count:
        """The evaluated window."""
        return self.windows[0]

    @property
    def when(self) -> str:
        """Since when, in words; what has lasted for all that is looked back on began before."""
        days = self.end - self.since
        return f"for over {HISTORY.days} days" if days >= HISTORY else f"since {phrases.day(self.since)}"

    def snapshot(self) -> Snapshot:
        """Everything that ``observed`` and the verdict were calculated from."""
        return {
            "windows": [[count.affected, count.rows] for count in self.windows],
            "reference": [[count.affected, count.rows] for count in self.reference],
            "tests": self.tests,
        }


@dataclass(frozen=True, slots=True)
class Told:
    """What a check says of one case: a sentence, how loud, and what the sentence rests on besides the counts."""

    summary: str
    severity: Severity = Severity.TICKET
    more: Mapping[str, Json] | None = None
    examples: tuple[str, ...] = ()


class ShareCheck(ABC):
    """A check of the data: what it counts and how it says so is the subclass's, all else is common."""

    name: str
    question: str
    metric: str
    together: str
    """The verb phrase when many features are affected at once, as in "are missing in"."""
    limits = Limits()
    every = timedelta(hours=1)
    span = timedelta(days=1)
    quiet = timedelta(days=7)

    @abstractmethod
    def affected(self, row: FeatureRow) -> int:
        """Count the rows that the check is about."""

    @abstractmethod
    def tell(self, scope: Scope, case: Case) -> Told | None:
        """Say it, or None where a second look shows that there is nothing to say."""

    @property
    def params(self) -> dict[str, Param]:
        """The limits, by name."""
        return asdict(self.limits)

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Check every feature of every model that has a reference."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            if scope.reference is None:
                continue
            limits = limits_of(scope.settings)
            days = feature_days(scope)
            usual = self._usual(scope, days)
            readings += [reading for one in days if (reading := self._reading(scope, one, usual)) is not None]
            if max((one.now.rows for one in days), default=0) >= limits.min_rows:
                judged.add(scope.pair)
                findings += self._findings(scope, days, limits)
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the share of the newest window."""
        windows = cast("list[list[int]]", snapshot["windows"])
        return Count(windows[0][0], windows[0][1]).share

    def _count(self, row: FeatureRow) -> Count:
        return Count(self.affected(row), row.rows)

    def _usual(self, scope: Scope, days: Sequence[FeatureDays]) -> dict[str, DayShares]:
        """Sum up the reference's days of each feature: once for all windows that are evaluated together."""
        key = ("usual shares", self.name, scope.pair, scope.info.reference)
        return once(
            scope.facts,
            key,
            lambda: {one.feature: day_shares([self._count(row) for row in one.reference]) for one in days},
        )

    def _reading(self, scope: Scope, days: FeatureDays, usual: Mapping[str, DayShares]) -> Reading | None:
        now = self._count(days.now)
        if now.rows == 0:
            return None
        reference = usual.get(days.feature) or day_shares([])
        lower, upper = day_wilson(now, reference.likeness)
        return Reading(
            self.name,
            self.metric,
            scope.service,
            scope.model,
            days.feature,
            scope.window,
            scope.as_of,
            now.share,
            lower,
            upper,
            now.rows,
            reference=reference.mean,
        )

    def _findings(self, scope: Scope, days: Sequence[FeatureDays], limits: Limits) -> list[Finding]:
        held: list[tuple[FeatureDays, tuple[Count, ...], tuple[Count, ...], Verdict]] = []
        for one in days:
            if self.affected(one.now):
                windows = tuple(self._count(row) for row in one.windows)
                reference = tuple(self._count(row) for row in one.reference)
                verdict = judge(windows, reference, len(days), limits)
                if verdict.holds:
                    held.append((one, windows, reference, verdict))
        if not held:
            return []
        past = history(scope)
        cases = [
            Case(
                one,
                windows,
                reference,
                verdict,
                len(days),
                self._since(scope, past.get(one.feature, ()), verdict, limits),
                scope.window.end,
            )
            for one, windows, reference, verdict in held
        ]
        told = [(case, words) for case in cases if (words := self.tell(scope, case)) is not None]
        told.sort(key=lambda pair: (-pair[0].now.share, pair[0].days.feature))
        findings: list[Finding] = []
        for severity in Severity:
            alike = [(case, words) for case, words in told if words.severity is severity]
            if len(alike) >= MANY:
                findings.append(self._together(scope, alike, severity))
            else:
                findings += [self._finding(scope, case, words, (case.days.feature,)) for case, words in alike]
        return findings

    def _since(self, scope: Scope, past: Sequence[FeatureRow], verdict: Verdict, limits: Limits) -> datetime:
        """Find the first of the unbroken run of days that lie above the limit."""
        since = scope.window.start
        for row in reversed(past):
            count = self._count(row)
            if count.rows and count.share < verdict.reference.mean + limits.min_share:
                break
            since = min(aware(row.bucket) or since, since)
        return since

    def _together(self, scope: Scope, told: Sequence[tuple[Case, Told]], severity: Severity) -> Finding:
        """Say once what happened to many features at the same time."""
        worst = max((case for case, _ in told), key=lambda case: case.now.share)
        names = [case.days.feature for case, _ in told]
        words = Told(
            f"{len(names)} of {worst.tests} features of {scope.service} {self.together} up to "
            f"{phrases.percent(worst.now.share)} of the rows {worst.when}: {', '.join(names)}",
            severity,
            {"features": list[Json](names)},
            next(said.examples for case, said in told if case is worst),
        )
        return self._finding(scope, worst, words, ("features", *names))

    def _finding(self, scope: Scope, case: Case, words: Told, subjects: tuple[str, ...]) -> Finding:
        snapshot = case.snapshot() | dict(words.more or {})
        observed = self.recompute(snapshot)
        p_value = case.verdict.p_value
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric=self.metric,
            subjects=subjects,
            window=scope.window,
            as_of=scope.as_of,
            observed=observed,
            severity=scope.settings.severity_or(words.severity),
            summary=phrases.sentence(words.summary),
            evidence=Evidence(
                "beta-binomial over days", case.now.rows, p_value, grade(p_value, case.now.rows), snapshot
            ),
            interval=day_wilson(case.now, case.verdict.reference.likeness),
            reference=case.verdict.reference.mean,
            effect=observed - case.verdict.reference.mean,
            unit="share",
            impact=estimate(scope, Window(case.since, scope.window.end)),
            since=case.since,
            data_state=DataState.ABSENT if self.metric == "missing_share" and observed == 1.0 else DataState.OK,
            examples=words.examples,
        )


def limits_of(settings: Settings) -> Limits:
    """Read the limits from the parameters in force."""
    return Limits(**{field.name: settings.number(field.name) for field in fields(Limits)})

"""The core of every check of the data: is a share of rows above what the reference's days had, and does it last?

A share breaks a window when it is above the reference's mean by at least ``min_share``, above the reference's worst
day, and a day like the reference's would have it with a probability below ``alpha`` (beta-binomial over days, times
the number of features looked at). A condition holds when it breaks ``windows`` disjoint windows in a row, or when it
is massive: at least ``massive`` of the rows of a feature whose worst reference day was below ``min_share``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Settings, Snapshot, scopes
from watchkeeper.analyzers.feature_days import FeatureDays, aware, feature_days, history
from watchkeeper.analyzers.impact.value import estimate
from watchkeeper.analyzers.intervals import Count, DayShares, day_shares, day_wilson, excess_probability, grade
from watchkeeper.analyzers.rows import FeatureRow
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import DataState, Evidence, Finding, Json, Severity, Window

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

MANY = 3
"""From this many features on, and at least half of all, one finding speaks for them together."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a share is too high."""

    min_rows: float = 50
    min_share: float = 0.01
    alpha: float = 0.001
    windows: float = 2
    massive: float = 0.05


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: whether the condition holds, and the corrected probability of the newest window."""

    holds: bool
    p_value: float
    reference: DayShares


def judge(windows: Sequence[Count], days: Sequence[Count], tests: int, limits: Limits) -> Verdict:
    """Judge disjoint windows, the newest first, against the reference's days.

    >>> clean = [Count(0, 400)] * 28
    >>> judge([Count(8, 400), Count(7, 400)], clean, tests=10, limits=Limits()).holds
    True
    >>> judge([Count(8, 400), Count(0, 400)], clean, tests=10, limits=Limits()).holds  # one bad day
    False
    >>> judge([Count(60, 400), Count(0, 400)], clean, tests=10, limits=Limits()).holds  # massive
    True
    """
    reference = day_shares(days)
    chances = [_breaking(window, reference, tests, limits) for window in windows]
    newest = chances[0]
    if newest is None:
        return Verdict(False, 1.0, reference)
    formerly_clean = reference.worst < limits.min_share
    massive = formerly_clean and windows[0].share >= limits.massive
    return Verdict(massive or all(chance is not None for chance in chances), newest, reference)


def _breaking(window: Count, reference: DayShares, tests: int, limits: Limits) -> float | None:
    """Give the corrected probability of a window that breaks the limits, None of one that does not."""
    if window.rows < limits.min_rows or reference.days == 0:
        return None
    if window.share < reference.mean + limits.min_share or window.share <= reference.worst:
        return None
    chance = min(1.0, excess_probability(window, reference) * max(tests, 1))
    return chance if chance < limits.alpha else None


@dataclass(frozen=True, slots=True)
class Case:
    """One feature whose condition holds."""

    days: FeatureDays
    windows: tuple[Count, ...]
    reference: tuple[Count, ...]
    verdict: Verdict
    tests: int
    since: datetime

    @property
    def now(self) -> Count:
        """The evaluated window."""
        return self.windows[0]

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


class ShareCheck:
    """A check of the data: what it counts and how it says so is the subclass's, all else is common."""

    name: str
    question: str
    metric: str
    together: str
    """The verb phrase when many features are affected at once, as in "are missing in"."""
    limits = Limits()
    every = timedelta(hours=1)
    span = timedelta(days=1)
    quiet = timedelta(days=3)

    def affected(self, row: FeatureRow) -> int:
        """Count the rows that the check is about."""
        raise NotImplementedError

    def tell(self, scope: Scope, case: Case) -> Told | None:
        """Say it, or None where a second look shows that there is nothing to say."""
        raise NotImplementedError

    @property
    def params(self) -> dict[str, Param]:
        """The limits, by name."""
        limits = self.limits
        return {
            "min_rows": limits.min_rows,
            "min_share": limits.min_share,
            "alpha": limits.alpha,
            "windows": limits.windows,
            "massive": limits.massive,
        }

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Check every feature of every model that has a reference."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            if scope.reference is None:
                continue
            limits = limits_of(scope.settings)
            days = feature_days(scope, int(limits.windows))
            readings += [reading for one in days if (reading := self._reading(scope, one)) is not None]
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

    def _reading(self, scope: Scope, days: FeatureDays) -> Reading | None:
        now = self._count(days.now)
        if now.rows == 0:
            return None
        reference = day_shares([self._count(row) for row in days.reference])
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
            windows = tuple(self._count(row) for row in one.windows)
            reference = tuple(self._count(row) for row in one.reference)
            if windows[0].affected:
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
            )
            for one, windows, reference, verdict in held
        ]
        told = [(case, words) for case in cases if (words := self.tell(scope, case)) is not None]
        told.sort(key=lambda pair: (-pair[0].now.share, pair[0].days.feature))
        if len(told) >= MANY and 2 * len(told) >= len(days):
            return [self._together(scope, told)]
        return [self._finding(scope, case, words, (case.days.feature,)) for case, words in told]

    def _since(self, scope: Scope, past: Sequence[FeatureRow], verdict: Verdict, limits: Limits) -> datetime:
        """Find the first of the unbroken run of days that lie above the limit."""
        since = scope.window.start
        for row in reversed(past):
            count = self._count(row)
            if count.rows and count.share < verdict.reference.mean + limits.min_share:
                break
            since = min(aware(row.bucket) or since, since)
        return since

    def _together(self, scope: Scope, told: Sequence[tuple[Case, Told]]) -> Finding:
        """Say once what happened to many features at the same time."""
        worst = max((case for case, _ in told), key=lambda case: case.now.share)
        names = [case.days.feature for case, _ in told]
        words = Told(
            f"{len(names)} of {worst.tests} features of {scope.service} {self.together} up to "
            f"{phrases.percent(worst.now.share)} of the rows since {phrases.day(worst.since)}: {', '.join(names)}",
            max((words.severity for _, words in told), key=_loudness),
            {"features": list[Json](names)},
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
        )


def limits_of(settings: Settings) -> Limits:
    """Read the limits from the parameters in force."""
    return Limits(*(settings.number(name) for name in ("min_rows", "min_share", "alpha", "windows", "massive")))


def _loudness(severity: Severity) -> int:
    return (Severity.NOTICE, Severity.TICKET, Severity.PAGE).index(severity)

"""What has changed for the worse, or in what comes in, and since when? One verdict over all that a model gives.

Every feature, the scores, matured outcomes, segments and operations are watched by day against the kept reference, with
one budget of false alerts for all of them together. One incident a model: it speaks for a new subject or a much
larger one; what is only better proven is a finding that nobody is told. What was said is a finding again every third
day while it holds, and told once. A loss (errors, calibration, segments, latency, failures, cost) is a page; a change
of the inputs alone is a ticket, and says whether any loss moves with it. Misleads where the reference is not like the
rest of the year: a season is a change too, told once. ``alerts_per_month`` is an upper bound; on real days that change
nothing about two fifths of it are spent.
Sources stand in the files of ``verdict/core``; the design is measured in docs/detection.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary, ref

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.course import DAY, LEAST_DAYS, Course
from watchkeeper.analyzers.course_told import WEEK, Spoken, days_of, mean, spoken
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.intervals import grade
from watchkeeper.analyzers.memo import once
from watchkeeper.analyzers.verdict.core import effect, movement, operations
from watchkeeper.analyzers.verdict.core.channels import Channel, Family
from watchkeeper.analyzers.verdict.core.incident import Alert
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import STRONGER, SURER, Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.examples import Requests, Showing, WithAnyValue, WithValue, Wrong

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

_ANY = Requests("cost")
_OF_OPERATIONS = {
    "latency": Requests("latency", 0.0),
    operations.TAIL: Requests("latency", 0.0),
    "ok": Requests("errors"),
    "attempts": Requests("retries"),
}
Key = tuple[str, str, datetime, float]


class Change:
    """Keeps the course of every model of every store that it was asked about."""

    name = "verdict.change"
    question = "What has changed for the worse, or in what comes in, within one budget of false alerts?"
    metric = "strength"
    every = DAY
    span = DAY
    quiet = timedelta(days=28)

    def __init__(self) -> None:
        self._courses: WeakKeyDictionary[FactStore, dict[Key, tuple[int, Course]]] = WeakKeyDictionary()

    @property
    def params(self) -> dict[str, Param]:
        """The budget: false alerts of one model in 30 days, at most."""
        return {"alerts_per_month": 0.1}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge the last whole day of every model that has a reference of two weeks or more."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            reference = scope.reference
            if reference is None or reference.length < LEAST_DAYS * DAY:
                continue
            day = (as_of - reference.start) // DAY - 1
            course = self._course(scope, reference)
            if day < course.length:
                continue
            course.grow(day + 1, (scope.info.last_ts - reference.start) // DAY, once(facts, self.name, object))
            if course.blind:
                continue
            if course.rows_of(day):
                judged.add(scope.pair)
                readings += self._readings(scope, course, day)
            today, earlier = spoken(course, day)
            going_on = [replace(said, alert=replace(said.alert, day=day)) for said in earlier]
            findings += [self._finding(scope, course, said) for said in (*today, *going_on)]
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the mean of the days that are shown, each weighed by its rows."""
        return mean(cast("list[list[float]]", snapshot["days"]))

    def _course(self, scope: Scope, reference: Window) -> Course:
        store = scope.facts.store()
        budget = scope.settings.number("alerts_per_month")
        courses = self._courses.setdefault(store, {})
        key = (*scope.pair, reference.end, budget)
        generation, course = courses.get(key, (-1, None))
        if course is None or generation != store.generation:  # what is kept may have been changed
            course = Course(ref(store), scope.pair, reference, budget)
            courses[key] = store.generation, course
        return course

    def _readings(self, scope: Scope, course: Course, day: int) -> list[Reading]:
        """Read how strong each subject is; 1 is where it counts."""
        strongest: dict[str, float] = {}
        for channel, value in zip(course.channels, course.strengths[:, day - course.length].tolist(), strict=True):
            strongest[channel.subject] = max(strongest.get(channel.subject, 0.0), value)
        span, n = course.window(day), int(course.rows_of(day))
        return [
            Reading(self.name, self.metric, *scope.pair, subject, span, scope.as_of, value, n=n, reference=1.0)
            for subject, value in sorted(strongest.items())
        ]

    def _finding(self, scope: Scope, course: Course, told: Spoken) -> Finding:
        alert, first = told.alert, told.alert.subjects[0]
        channel = course.channels[first.channel]
        day, shown, usual = _shown(course, channel, alert.day)
        window = course.window(day)
        snapshot: Snapshot = {"channel": channel.name, "days": _json(shown), "reference": _json(usual)}
        observed, reference = mean(shown), mean(usual)
        chance = course.log_chances[first.channel, alert.day - course.length] + math.log(len(course.channels))
        p_value, n = min(1.0, math.exp(min(float(chance), 0.0))), int(sum(rows for _, rows in shown))
        names = alert.names
        losses = effect.losses(course.channels, course.strengths[:, alert.day - course.length])
        snapshot["losses"] = dict[str, Json](losses)
        slight = alert.page and _is_slight(course, alert)
        said = _summary(scope, course, told, observed, reference)
        if slight:
            said += f" By less than {phrases.percent(movement.SLIGHT)}, so that it is no page."
        elif not alert.page:
            said += f" {effect.words(course.channels, losses)}"
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric=self._metric(told),
            subjects=names,
            window=window,
            as_of=scope.as_of,
            observed=observed,
            severity=scope.settings.severity_or(Severity.PAGE if alert.page and not slight else Severity.TICKET),
            summary=phrases.sentence(said),
            evidence=Evidence("steps and ramps over several clocks", n, p_value, grade(p_value, n), snapshot),
            reference=reference,
            effect=observed - reference,
            unit="share" if channel.share else "",
            examples=_examples(scope, channel, observed > reference, window),
        )

    def _metric(self, told: Spoken) -> str:
        """Name it; what was told before by a name of its own, as incidents tell it again by that."""
        if told.first and told.news:
            return self.metric
        return f"{self.metric}{STRONGER if told.news else SURER} ({told.alert.time})"


def _is_slight(course: Course, alert: Alert) -> bool:
    """Whether nothing of it wakes anybody. A tail that stands behind the whole moves with it."""

    def of(channel: Channel) -> bool:
        _, shown, usual = _shown(course, channel, alert.day)
        return movement.is_slight(channel, mean(shown), mean(usual))

    first, *others = (course.channels[subject.channel] for subject in alert.subjects)
    return of(first) and all(of(one) or one.subject == operations.TAIL for one in others)


def _shown(course: Course, channel: Channel, told: int) -> tuple[int, list[list[float]], list[list[float]]]:
    """Give the day that a channel's newest rows are of, the last days up to it, and those of the reference."""
    day = told - (course.delay or 0 if channel.late else 0)
    shown = days_of(course, channel, max(day - WEEK + 1, course.length), day + 1)
    return day, shown, days_of(course, channel, 0, course.length)


def _json(days: Sequence[Sequence[float]]) -> list[Json]:
    return [list[Json](day) for day in days]


def _summary(scope: Scope, course: Course, told: Spoken, observed: float, reference: float) -> str:
    alert = told.alert
    names, channel = alert.names, course.channels[alert.subjects[0].channel]
    what = "is worse" if channel.family.harm else "has changed"
    again = " as before" if not told.larger else "" if told.first else " still" if channel.family.harm else " further"
    others = f"; also {', '.join(names[1:3])}" if len(names) > 1 else ""
    when = movement.LAST_WEEK
    if channel.late and course.delay:
        when = f"in the week to {phrases.day(course.window(alert.day - course.delay).start)}"
    of_numbers = any(one.name == "error" and not one.share for one in course.channels)
    moved = movement.words(channel, observed, reference, when, of_numbers=of_numbers)
    surer = "" if told.news else " The evidence has grown, the size has not."
    return f"{channel.subject} of {scope.service} {what}{again}: {moved}{others}.{surer}"


def _examples(scope: Scope, channel: Channel, risen: bool, window: Window) -> tuple[str, ...]:
    return scope.examples(_showing(scope, channel, risen, window), window) or scope.examples(_ANY, window)


def _showing(scope: Scope, channel: Channel, risen: bool, window: Window) -> Showing:
    if channel.late:
        return Wrong(scope.as_of)
    if channel.subject in _OF_OPERATIONS or channel.family in (Family.OPERATION, Family.SEGMENT):
        return _OF_OPERATIONS.get(channel.subject, _ANY)
    if channel.name.endswith(" missing"):
        return WithValue(channel.subject, None)
    name, _, value = channel.name.removesuffix(" share").partition("=")
    if channel.share and value and risen:
        return WithValue(name, value)
    return _instead(scope, channel.subject, window) if channel.share else WithAnyValue(channel.subject)


def _instead(scope: Scope, feature: str, window: Window) -> Showing:
    """Show what came where a value went: the one that the reference never held, if there is one."""
    unseen = scope.facts.unseen_values(*scope.pair, window).filter(feature=feature)["value"].to_list()
    return WithValue(feature, unseen[0]) if unseen else WithAnyValue(feature)


ANALYZER = Change()

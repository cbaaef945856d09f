"""Is what speaks again larger than it was when people were told, or only better proven?

The core speaks again once the evidence of a subject is two and a half times as strong, and evidence also grows while a
fault stays as it is. So the size is asked too: that of the newest days beside that of the days from when it was told,
of the same channel, in its own unit, over as many days of both (a week at most). Half as much again is larger; so is
what went the other way, or has no such days to compare. What is not larger is said as ``surer``: it stands among the
findings, and nobody is told once more. Misleads where a measure cannot grow (a percentile near its end, a share near
one) while the fault behind it does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from watchkeeper.analyzers.course import Course
from watchkeeper.analyzers.verdict.core.channels import Channel
from watchkeeper.analyzers.verdict.core.incident import Alert, Subject

WEEK = 7
LARGER = 1.5
SAID_AGAIN = 3
"""Days after which what still holds is a finding again."""
OVER_AFTER = 7
"""Days after which an incident of which nothing is heard is over."""

Day = list[float]
"""What was measured of a day, and its rows."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One alert of a day beside what people know: how it is to be said.

    ``first`` is True where its first subject never led before. ``larger`` says that this subject's size has grown,
    ``news`` that there is something in the alert that people do not know.
    """

    alert: Alert
    first: bool = True
    larger: bool = True
    news: bool = True


def spoken(course: Course, day: int) -> tuple[list[Spoken], list[Spoken]]:
    """Give the alerts of a day, and those of earlier days of the same incident that go on."""
    place = day - course.length
    opened = next((one + 1 for one in range(place - 1, -1, -1) if not course.states[one].open), 0)
    told_at: dict[str, int] = {}
    leading: dict[str, Spoken] = {}
    today: list[Spoken] = []
    for alert in (alert for alerts in course.alerts[opened : place + 1] for alert in alerts):
        said = _said(course, alert, told_at, leading.get(alert.subjects[0].name))
        if said.news or said.first:
            leading[alert.subjects[0].name] = said
            told_at |= {one.name: alert.day for one in alert.subjects}
        for other in alert.others:
            told_at.setdefault(other.name, alert.day)
        if alert.day == day:
            today.append(said)
    earlier = [said for said in leading.values() if said.alert.day < day]
    return today, [one for one in earlier if still_said(one.alert.day, day, _holding(course, one.alert))]


def _said(course: Course, alert: Alert, told_at: dict[str, int], before: Spoken | None) -> Spoken:
    def larger(one: Subject) -> bool:
        return one.name not in told_at or is_larger(course, course.channels[one.channel], told_at[one.name], alert.day)

    grown = [larger(one) for one in alert.subjects]
    if before is None:
        return Spoken(alert, larger=grown[0], news=any(grown))
    over = not _heard_lately(before.alert.day, alert.day, _holding(course, before.alert))
    return Spoken(alert, first=False, larger=grown[0], news=any(grown) or over)


def is_larger(course: Course, channel: Channel, told: int, now: int) -> bool:
    """Whether a channel lies farther from the reference than from the day on when people were told of it."""
    late = course.delay or 0 if channel.late else 0
    count = min(WEEK, max(1, (now - told + 1) // 2))
    start = max(told - late, course.length)
    then = days_of(course, channel, start, start + count)
    newest = days_of(course, channel, now - late - count + 1, now - late + 1)
    if not then or not newest or start > now - late:
        return True
    usual = mean(days_of(course, channel, 0, course.length))
    return larger(mean(then) - usual, mean(newest) - usual)


def larger(then: float, now: float) -> bool:
    """Whether a change of ``now`` is news to those who know of ``then``.

    >>> larger(-0.16, -0.16), larger(0.02, 0.05), larger(0.02, -0.02)
    (False, True, True)
    """
    return abs(now) >= LARGER * abs(then) or then * now < 0


def still_said(first: int, day: int, holds: Callable[[int], bool]) -> bool:
    """Whether what was said on a day is a finding on a later one too: every third day while it holds.

    Who has not been heard of for a week is over, and comes back by a new alert only: what hovers about its threshold
    would else be told as new each time.

    >>> def said(*held):
    ...     return [day for day in range(1, 31) if still_said(0, day, held.__contains__)]
    >>> said(3, 4, 6, 12), said(3, 12, 15)
    ([3, 6, 12], [3])
    """
    if (day - first) % SAID_AGAIN:
        return False
    last = first
    for one in range(first + SAID_AGAIN, day + 1, SAID_AGAIN):
        if holds(one):
            if one - last >= OVER_AFTER:
                return False
            last = one
    return last == day


def days_of(course: Course, channel: Channel, start: int, end: int) -> list[Day]:
    """Give what a channel measured on some days; those without rows are left out."""
    measured = course.table[channel.name]
    pairs = zip(measured.values[start:end].tolist(), measured.rows[start:end].tolist(), strict=True)
    return [[value, rows] for value, rows in pairs if rows > 0 and math.isfinite(value)]


def mean(days: Sequence[Sequence[float]]) -> float:
    """Give the mean of some days, each weighed by its rows; 0 of none."""
    rows = math.fsum(day[1] for day in days)
    return math.fsum(day[0] * day[1] for day in days) / rows if rows else 0.0


def _heard_lately(first: int, day: int, holds: Callable[[int], bool]) -> bool:
    """Whether what was said on a day has been a finding in the week up to another."""
    lately = range(max(first, day - OVER_AFTER + 1), day + 1)
    return any(one == first or still_said(first, one, holds) for one in lately)


def _holding(course: Course, alert: Alert) -> Callable[[int], bool]:
    name = alert.subjects[0].name
    channels = [place for place, channel in enumerate(course.channels) if channel.subject == name]
    return lambda day: bool((course.strengths[channels, day - course.length] > 1).any())

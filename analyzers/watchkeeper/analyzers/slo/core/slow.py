"""Is the share of bad events creeping up, slower than any burn rate sees?

A one-sided cumulative sum of daily surprises against a frozen baseline. What a day may differ by is learned from the
baseline itself: its weekly cycle (shrunk towards none where few weeks prove little), how much more than by chance its
days differ (over-dispersion), and whether bad days follow each other. The allowance is wider where the baseline is
short, because its own mean is then uncertain.
Misleads where the baseline was not healthy, or where the cycle of the year is longer than it: then a season looks like
a slow burn. A rise that is less than about half a day's usual deviation is never seen.
Source: Page, Continuous Inspection Schemes, Biometrika 1954 (CUSUM); method of moments for the dispersion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

Z95 = 1.959963984540054
ALLOWANCE = 0.5
"""What a day may be worse than expected, in its usual deviations, before it counts."""
UNSURE = 1.0
"""How many deviations of the baseline's own mean are added to the allowance."""
LIMIT = 9.0
"""The sum of surprises from which a rise is told."""
LEAST_DAYS = 28
LEAST_BAD = 20
STEPS_MOST = 4.0
"""The most that a single day adds: one terrible day is for the burn rate, not for the slow burn."""


@dataclass(frozen=True, slots=True)
class DayCount:
    """Bad and all events of one day.

    ``design`` is how much more they vary than as many whole events: over 1 where they stand for rows of a sample.
    """

    day: date
    bad: float
    total: float
    design: float = 1.0

    @property
    def worth(self) -> float:
        """How many whole events would say the share as exactly."""
        return self.total / self.design

    @property
    def share(self) -> float:
        """Bad over all; 0 of none."""
        return self.bad / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was usual: the share, its weekly cycle (Monday first, around 1), and how much its days differ.

    ``dispersion`` is the variance between days over that of independent events; ``days`` how many it rests on, and
    ``total`` how many whole events would know the share as exactly.
    """

    share: float
    weekdays: tuple[float, ...]
    dispersion: float
    days: int
    total: float

    def expected(self, day: DayCount) -> float:
        """Give the bad events that the day would have had."""
        return day.total * min(self.share * self.weekdays[day.day.weekday()], 1.0)

    def deviation(self, day: DayCount) -> float:
        """Give by how many events such a day usually differs."""
        expected = self.expected(day)
        return math.sqrt(max(expected * (1 - expected / day.total), 1e-9) * self.dispersion * day.design)

    @property
    def allowance(self) -> float:
        """Give the daily surprise that is not counted."""
        return ALLOWANCE + UNSURE / math.sqrt(self.days)


@dataclass(frozen=True, slots=True)
class Rise:
    """A slow burn: when its sum passed the limit, since when it grows, and by how much.

    ``slope`` is the change of the share a day; ``change`` the share since ``since`` minus the baseline's, cycle taken
    out, with its 95 % interval.
    """

    since: date
    found: date
    score: float
    slope: float
    change: float
    interval: tuple[float, float]
    share: float
    bad: float
    expected: float
    total: float
    worth: float


def learn(days: Sequence[DayCount]) -> Baseline | None:
    """Learn what is usual; None where the days are too few or hold too few bad events to say.

    >>> first = date(2026, 1, 5)
    >>> quiet = [DayCount(first + timedelta(days=n), 20 + n % 3, 1000) for n in range(56)]
    >>> base = learn(quiet)
    >>> base is not None and round(base.share, 3), learn(quiet[:20])
    (0.021, None)
    """
    used = [day for day in days if day.total > 0]
    bad, total = sum(day.bad for day in used), sum(day.total for day in used)
    seen = sum(day.bad / day.design for day in used)
    if len(used) < LEAST_DAYS or seen < LEAST_BAD or bad >= total:
        return None
    share = bad / total
    within, factors = _cycle(used, share)
    worth = sum(day.worth for day in used)
    flat = Baseline(share, factors, 1.0, len(used), worth)
    freedom = max(len(used) - 1 - sum(abs(factor - 1) > 0 for factor in factors), 1)
    surprises = [(day.bad - flat.expected(day)) / flat.deviation(day) for day in used]
    dispersion = max(sum(one * one for one in surprises) / freedom, within if freedom < 7 else 0.0, 1.0)
    return Baseline(share, factors, dispersion * _following(surprises), len(used), worth)


def _cycle(days: Sequence[DayCount], share: float) -> tuple[float, tuple[float, ...]]:
    """Give the dispersion within weekdays and the weekly cycle, shrunk by what it may owe to chance."""
    groups = [[day for day in days if day.day.weekday() == number] for number in range(7)]
    if any(len(group) < 3 for group in groups):
        return 1.0, (1.0,) * 7
    totals = [sum(day.total for day in group) for group in groups]
    raw = [sum(day.bad for day in group) / total for group, total in zip(groups, totals, strict=True)]
    spread = 0.0
    for group, mean in zip(groups, raw, strict=True):
        rate = min(max(mean, share / 10), 1 - 1e-9)
        spread += sum((day.bad - day.total * mean) ** 2 / (day.total * day.design * rate * (1 - rate)) for day in group)
    within = max(spread / max(len(days) - 7, 1), 1.0)
    worths = [sum(day.worth for day in group) for group in groups]
    chance = sum(within * share * (1 - share) / worth for worth in worths) / 7
    between = sum((mean - share) ** 2 for mean in raw) / 6
    trust = max(1 - chance / between, 0.0) if between > 0 else 0.0
    return within, tuple(1 + trust * (mean / share - 1) for mean in raw)


def _following(surprises: Sequence[float]) -> float:
    """Give the factor by which sums of days vary more because bad days follow each other; 1 where they do not."""
    square = sum(one * one for one in surprises)
    if square <= 0:
        return 1.0
    likeness = sum(one * after for one, after in pairwise(surprises)) / square
    if likeness <= 2 / math.sqrt(len(surprises)):
        return 1.0
    likeness = min(likeness, 0.8)
    return (1 + likeness) / (1 - likeness)


def sums(baseline: Baseline, days: Sequence[DayCount]) -> list[float]:
    """Give the sum of surprises after each day (days without events change nothing).

    >>> first = date(2026, 1, 5)
    >>> base = Baseline(0.02, (1.0,) * 7, 1.0, 56, 56_000)
    >>> usual, worse = DayCount(first, 20, 1000), DayCount(first, 30, 1000)
    >>> [round(one, 1) for one in sums(base, [usual, worse, worse])]
    [0.0, 1.6, 3.3]
    """
    course: list[float] = []
    score = 0.0
    for day in days:
        if day.total > 0:
            surprise = min((day.bad - baseline.expected(day)) / baseline.deviation(day), STEPS_MOST)
            score = max(0.0, score + surprise - baseline.allowance)
        course.append(score)
    return course


def rise(baseline: Baseline, days: Sequence[DayCount]) -> Rise | None:
    """Judge the days after the baseline, in order; None while their sum is under the limit on the last of them."""
    course = sums(baseline, days)
    if not course or course[-1] < LIMIT:
        return None
    found = len(course) - 1
    while found > 0 and course[found - 1] >= LIMIT:
        found -= 1
    begun = max((place for place in range(found) if course[place] == 0.0), default=-1) + 1
    rising = [day for day in days[begun:] if day.total > 0]
    change, half = _change(baseline, rising)
    slope = _slope(baseline, rising)
    now = baseline.share + max(change, change + slope * (len(rising) - 1) / 2)
    return Rise(
        days[begun].day,
        days[found].day,
        course[-1],
        slope,
        change,
        (change - half, change + half),
        now,
        sum(day.bad for day in rising),
        sum(baseline.expected(day) for day in rising),
        sum(day.total for day in rising),
        sum(day.worth for day in rising),
    )


def _change(baseline: Baseline, days: Sequence[DayCount]) -> tuple[float, float]:
    """Give by how much the share is over the baseline's, and half of the 95 % interval (both means are uncertain)."""
    total = sum(day.total for day in days)
    change = sum(day.bad - baseline.expected(day) for day in days) / total
    share = min(max(baseline.share + change, 1e-9), 1.0)
    worth = sum(day.worth for day in days)
    spread = share * (1 - share) / worth + baseline.share * (1 - baseline.share) / baseline.total
    return change, Z95 * math.sqrt(baseline.dispersion * spread)


def _slope(baseline: Baseline, days: Sequence[DayCount]) -> float:
    """Fit a line to the excess share by least squares, days weighted by their events: change of the share a day."""
    weights = [day.total for day in days]
    total = sum(weights)
    places = [(day.day - days[0].day) / timedelta(days=1) for day in days]
    excess = [(day.bad - baseline.expected(day)) / day.total for day in days]
    middle = sum(w * x for w, x in zip(weights, places, strict=True)) / total
    mean = sum(w * y for w, y in zip(weights, excess, strict=True)) / total
    spread = sum(w * (x - middle) ** 2 for w, x in zip(weights, places, strict=True))
    if spread <= 0:
        return 0.0
    joint = sum(w * (x - middle) * (y - mean) for w, x, y in zip(weights, places, excess, strict=True))
    return joint / spread


def breach(found: Rise, today: date, budget: float, within: timedelta = timedelta(days=730)) -> date | None:
    """Forecast the day on which the share reaches the budget if it goes on like this; None if not foreseeable.

    >>> one = Rise(date(2026, 1, 1), date(2026, 2, 1), 9.0, 0.0001, 0.005, (0.003, 0.007), 0.03, 30, 25, 999, 999)
    >>> breach(one, date(2026, 2, 1), 0.05).isoformat()
    '2026-08-20'
    """
    if found.share >= budget:
        return today
    if found.slope <= 0:
        return None
    left = timedelta(days=math.ceil((budget - found.share) / found.slope - 1e-9))
    return today + left if left <= within else None

"""Is more sent twice than before?

Of the predictions, outcomes and reviews of a service that came in a day, the share whose like was stored already: the
same id, or the same outcome of the same prediction. They change no number, for each counts once. But ids that repeat by
mistake hide what is new, and a sender in a loop costs. Compared with the 28 days of arrival before the last week: so it
does not see what rises more slowly than that. Misleads after an outage: a sender whose answers were lost sends again.
A replay sees nothing of it, for what it loads came at one time.

>>> from watchkeeper.analyzers.day_check import judge_days
>>> judge_days([Count(300, 1000)], [Count(2, 1000)] * 28, 3, ANALYZER.limits).holds
True
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.day_check import DAY, USUAL, WINDOWS, Case, DayCheck, Look, Rise, split
from watchkeeper.analyzers.feature_days import aware
from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.share_check import Told
from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts import arrivals


class Duplicates(DayCheck):
    """Share of what came in a day that had come before."""

    name = "data.duplicates"
    question = "Is more sent twice than before?"
    metric = "duplicate_share"

    def cases(self, look: Look) -> Iterator[Case]:
        """Count every kind of every service by the day of its arrival."""
        end = look.window.end
        came = arrivals.duplicates(look.facts.store(), Window(end - (WINDOWS + USUAL) * DAY, end))
        counted: dict[tuple[str, str], dict[datetime, Count]] = {}
        for service, kind, day, n, hits in came.iter_rows():
            counted.setdefault((service, kind), {})[aware(day) or day] = Count(hits, n)
        for (service, kind), days in counted.items():
            yield Case(service, "", f"duplicates:{kind}", *split(days, end), kind)

    def tell(self, rise: Rise) -> Told:
        """Say how many, since when, and where to look."""
        case = rise.case
        return Told(
            f"{phrases.percent(case.now.share)} of the {case.now.rows:,} {case.kind} that {case.service} sent since "
            f"{phrases.day(rise.span.start)} had come before, usually {rise.usual}: look for "
            f"a sender that repeats itself, or ids used twice."
        )


ANALYZER = Duplicates()

"""Do more outcomes than before belong to no prediction?

Of the outcomes of a service that became known in a day, the share whose prediction is not here. Then quality is judged
by the others alone, or by nobody: an id that changed its form on one side looks just like labels that stopped coming.
Says where most of them come from, and shows an id of each side. Compared with the 28 days before the last week.
Misleads where predictions come later than their outcomes (a spool that is still away), and where only a sample of the
predictions is sent: then the usual share is high, and only a rise over it is told. A replay of a file sees nothing of
it: there each outcome stands beside its prediction.

>>> from watchkeeper.analyzers.day_check import judge_days
>>> judge_days([Count(400, 1000)], [Count(3, 1000)] * 28, 1, ANALYZER.limits).holds
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

ID_LENGTH = 24


class Orphans(DayCheck):
    """Share of a day's outcomes that match no prediction."""

    name = "data.orphans"
    question = "Do more outcomes than before belong to no prediction?"
    metric = "orphan_share"

    def cases(self, look: Look) -> Iterator[Case]:
        """Count the outcomes of every service by the day on which they became known."""
        end = look.window.end
        known = arrivals.orphans(look.facts.store(), Window(end - (WINDOWS + USUAL) * DAY, end))
        counted: dict[str, dict[datetime, Count]] = {}
        for service, day, n, hits in known.iter_rows():
            counted.setdefault(service, {})[aware(day) or day] = Count(hits, n)
        for service, days in counted.items():
            yield Case(service, "", "orphans", *split(days, end))

    def tell(self, rise: Rise) -> Told:
        """Say how many, from where, and what the two sides' ids look like."""
        case = rise.case
        found = arrivals.lost(rise.facts.store(), case.service, rise.span)
        source = f", most from {phrases.quoted(found.source)}" if found and found.source else ""
        ids = f" Compare ids: outcome {_id(found.orphan_id)}, prediction {_id(found.prediction_id)}." if found else ""
        return Told(
            f"{phrases.percent(case.now.share)} of the outcomes of {case.service} match no prediction since "
            f"{phrases.day(rise.span.start)} (usually {rise.usual}){source}.{ids}",
            more={"source": found.source, "orphan_id": found.orphan_id} if found else None,
        )


def _id(value: str | None) -> str:
    if value is None:
        return "none"
    return f"'{value if len(value) <= ID_LENGTH else value[: ID_LENGTH - 1] + '…'}'"


ANALYZER = Orphans()

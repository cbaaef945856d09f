"""Do more answers fail their checks than in the reference?

Of the answers of a model that carry checks (guards, policies, tests), the share of which at least one did not pass, by
day, against the reference's days; names the check that fails most. Misleads in both ways: a check that was made
stricter fails more without a worse answer, and one that passes everything hides all. Whether checks are right says
``quality.agreement``.

>>> from watchkeeper.analyzers.day_check import judge_days
>>> judge_days([Count(250, 1000)], [Count(4, 1000)] * 28, 1, ANALYZER.limits).holds
True
>>> [judge_days([Count(90, 1000)] * run, [Count(40, 1000)] * 28, 1, ANALYZER.limits).holds for run in (2, 3, 4)]
[False, False, True]
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.day_check import DAY, WINDOWS, Case, DayCheck, Look, Rise
from watchkeeper.analyzers.evaluation import scopes
from watchkeeper.analyzers.feature_days import aware
from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.memo import once
from watchkeeper.analyzers.share_check import Limits, Told
from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts import arrivals
from watchkeeper.store.facts.examples import Requests

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader


class Checks(DayCheck):
    """Share of the checked answers that failed a check."""

    name = "data.checks"
    question = "Do more answers fail their checks than in the reference?"
    metric = "failed_check_share"
    limits = Limits(min_rows=50, min_share=0.02, alpha=0.0001, in_two=0.05, at_once=0.2)

    def cases(self, look: Look) -> Iterator[Case]:
        """Count the checked answers of every model that has a reference."""
        window = look.window
        for scope in scopes(self, look.facts, look.declared, window, look.as_of):
            reference = scope.reference
            if reference is None:
                continue
            days = _days(scope.facts, scope.pair, Window(window.end - WINDOWS * DAY, window.end))
            newest = tuple(days.get(window.end - (place + 1) * DAY, Count(0, 0)) for place in range(WINDOWS))
            if newest[0].rows == 0:
                continue
            key = ("checks of the reference", scope.pair, reference)
            usual = once(
                scope.facts, key, lambda scope=scope, reference=reference: _days(scope.facts, scope.pair, reference)
            )
            yield Case(*scope.pair, "checks", newest, tuple(day for day in usual.values() if day.rows))

    def tell(self, rise: Rise) -> Told:
        """Say how many, since when, and which check."""
        case, facts, span = rise.case, rise.facts, rise.span
        pair = (case.service, case.model)
        name, n, hits = arrivals.failing(facts.store(), pair, span).row(0)
        return Told(
            f"{phrases.percent(case.now.share)} of the checked answers of {case.model} of {case.service} fail since "
            f"{phrases.day(span.start)}, {rise.usual} in the reference; most by "
            f"{phrases.quoted(name)} ({hits:,} of {n:,}).",
            more={"check": name},
            examples=facts.example_ids(*pair, Window(span.end - DAY, span.end), Requests("check_failures")),
        )


def _days(facts: FactReader, pair: tuple[str, str], window: Window) -> dict[datetime, Count]:
    frame = facts.traffic(window, service=pair[0], model=pair[1], step=DAY)
    summed = frame.group_by("bucket").agg(pl.col("check_failures", "checked").sum()).sort("bucket")
    return {aware(day) or day: Count(failed, int(n)) for day, failed, n in summed.iter_rows()}


ANALYZER = Checks()

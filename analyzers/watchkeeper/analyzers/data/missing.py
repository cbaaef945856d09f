"""Is a feature missing more often than it used to be?

Counts rows in which the value is null, NaN or infinite. Misleads where values go missing in bursts that the reference
did not hold (a weather station that is down for a day): so one bad day is not enough unless it takes half the rows.
"""

from __future__ import annotations

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Scope
from watchkeeper.analyzers.rows import FeatureRow
from watchkeeper.analyzers.share_check import Case, Limits, ShareCheck, Told
from watchkeeper.store.facts.examples import WithValue


class Missing(ShareCheck):
    """Share of rows without a usable value.

    >>> ANALYZER.affected(FeatureRow("temp", "numeric", rows=400, missing=30, nan=2))
    32
    """

    name = "data.missing"
    question = "Is a feature missing more often than in the reference?"
    metric = "missing_share"
    together = "are missing in"
    limits = Limits(in_two=0.1, at_once=0.5)

    def affected(self, row: FeatureRow) -> int:
        """Count null, NaN and infinite values."""
        return row.missing + row.nan + row.infinite

    def tell(self, scope: Scope, case: Case) -> Told | None:
        """Say how often, since when, and how often it used to be."""
        share = "all rows" if case.now.share == 1.0 else f"{phrases.percent(case.now.share)} of the rows"
        return Told(
            f"{case.days.feature} of {scope.service} is missing in {share} {case.when}; "
            f"in the reference it was {phrases.percent(case.verdict.reference.mean)}.",
            examples=scope.examples(WithValue(case.days.feature, None)),
        )


ANALYZER = Missing()

"""Do values lie outside the range that the reference had?

A ticket only where the extreme value lies far out, by more than ``far`` widths of the reference's range (a changed
unit, a broken sensor); values just outside are a notice, for seasons and storms do that: with 28 days in the reference
every 29th day is a record. Misleads for features that grow by nature (an account's age): declare the check off, or
``far`` higher, for their model.
"""

from __future__ import annotations

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Param, Scope
from watchkeeper.analyzers.feature_days import FeatureDays
from watchkeeper.analyzers.rows import FeatureRow
from watchkeeper.analyzers.share_check import Case, Limits, ShareCheck, Told
from watchkeeper.schemas.findings import Severity
from watchkeeper.store.facts.examples import Outside


class OutOfRange(ShareCheck):
    """Share of rows below the reference's least or above its greatest value.

    >>> ANALYZER.affected(FeatureRow("distance", "numeric", rows=400, below=1, above=8))
    9
    """

    name = "data.out_of_range"
    question = "Do values lie outside the range of the reference?"
    metric = "out_of_range_share"
    together = "lie outside the reference's range in"
    limits = Limits(in_two=0.1, at_once=0.5)

    @property
    def params(self) -> dict[str, Param]:
        """The limits, and how many range widths are far."""
        return super().params | {"far": 5.0}

    def affected(self, row: FeatureRow) -> int:
        """Count values on either side."""
        return row.below + row.above

    def tell(self, scope: Scope, case: Case) -> Told | None:
        """Say where the reference ended and how far the values go."""
        low, high = reference_range(case.days)
        extreme, widths = farthest(case.days, low, high)
        severity = Severity.TICKET if widths > scope.settings.number("far") else Severity.NOTICE
        said = f"{case.days.feature} of {scope.service}: {phrases.percent(case.now.share)} of the rows {case.when} lie "
        if case.days.feature in scope.declared.protected_of(scope.service):  # each end is the value of one row
            return Told(f"{said}outside the range of the reference.", severity)
        return Told(
            f"{said}outside {phrases.amount(low)} to {phrases.amount(high)}, the range of the reference; "
            f"the farthest is {phrases.amount(extreme)}.",
            severity,
            {"low": low, "high": high, "extreme": extreme},
            scope.examples(Outside(case.days.feature, low, high)),
        )


def reference_range(days: FeatureDays) -> tuple[float, float]:
    """Give the least and the greatest value of the reference."""
    lows = [row.min for row in days.reference if row.min is not None]
    highs = [row.max for row in days.reference if row.max is not None]
    return min(lows, default=0.0), max(highs, default=0.0)


def farthest(days: FeatureDays, low: float, high: float) -> tuple[float, float]:
    """Give the value farthest outside the range, and its distance in widths of the range.

    A range without width counts as wide as its value is large.

    >>> row = FeatureRow("d", "numeric", rows=9, min=50.0, max=5000.0)
    >>> farthest(FeatureDays("d", (row,), ()), 0.0, 100.0)
    (5000.0, 49.0)
    """
    width = (high - low) or abs(high) or 1.0
    below = low - days.now.min if days.now.min is not None else 0.0
    above = days.now.max - high if days.now.max is not None else 0.0
    if above >= below:
        return high + above, above / width
    return low - below, below / width


ANALYZER = OutOfRange()

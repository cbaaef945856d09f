"""Does a feature come in the wrong type, such as text where numbers used to be?

Misleads where the first batch already had the wrong type: it decides what right is.
"""

from __future__ import annotations

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Scope
from watchkeeper.analyzers.rows import FeatureRow
from watchkeeper.analyzers.share_check import Case, ShareCheck, Told
from watchkeeper.store.facts.examples import WithValue


class Mismatch(ShareCheck):
    """Share of rows whose value is not of the feature's type.

    >>> ANALYZER.affected(FeatureRow("temp", "numeric", rows=400, mismatched=7))
    7
    """

    name = "data.mismatch"
    question = "Does a feature come in another type than before?"
    metric = "mismatched_share"
    together = "have the wrong type in"

    def affected(self, row: FeatureRow) -> int:
        """Count values of the wrong type."""
        return row.mismatched

    def tell(self, scope: Scope, case: Case) -> Told | None:
        """Say what came, and what used to come."""
        numeric = case.days.now.kind == "numeric"
        came, usual = ("text", "a number") if numeric else ("something else", "text")
        return Told(
            f"{case.days.feature} of {scope.service} is {came} instead of {usual} in "
            f"{phrases.percent(case.now.share)} of the rows {case.when}.",
            examples=scope.examples(WithValue(case.days.feature, None)),
        )


ANALYZER = Mismatch()

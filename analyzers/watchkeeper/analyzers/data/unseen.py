"""Does a category hold values that the reference never had?

Names the new value, and the vanished value that it probably replaces: one whose share in the reference is within a
factor of two of the new one's. Misleads for categories with a long tail (airports, product numbers), where something
new comes every day: so one single new value must make up ``min_share`` of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Scope
from watchkeeper.analyzers.rows import FeatureRow, ValueRow, rows
from watchkeeper.analyzers.share_check import Case, ShareCheck, Told
from watchkeeper.store.facts.examples import WithValue


class Unseen(ShareCheck):
    """Share of rows with a value that is new.

    >>> ANALYZER.affected(FeatureRow("carrier", "category", rows=400, unseen=64))
    64
    """

    name = "data.unseen"
    question = "Does a category hold values that were never seen in the reference?"
    metric = "unseen_share"
    together = "hold values never seen before in"

    def affected(self, row: FeatureRow) -> int:
        """Count values that are in no category of the reference."""
        return row.unseen

    def tell(self, scope: Scope, case: Case) -> Told | None:
        """Name the new value and the one that it probably replaces."""
        feature = case.days.feature
        new = next((row for row in _of(feature, scope.facts.unseen_values(*scope.pair, scope.window))), None)
        if new is None or new.n < scope.settings.number("min_share") * case.now.rows:
            return None
        gone = replaced(new.n / case.now.rows, _of(feature, scope.facts.vanished_values(*scope.pair, scope.window)))
        share = phrases.percent(new.n / case.now.rows)
        vanished = f"; {_was(gone)} has vanished" if gone else ""
        return Told(
            f"{feature} of {scope.service}: {phrases.quoted(new.value)} makes {share} of the rows "
            f"{case.when} and was never seen in the reference{vanished}.",
            more={"value": new.value, "value_rows": new.n, "vanished": gone.value if gone else None},
            examples=scope.examples(WithValue(feature, new.value)),
        )


def _was(value: ValueRow) -> str:
    return f"{phrases.quoted(value.value)} ({phrases.percent(value.reference_share)} in the reference)"


def _of(feature: str, frame: pl.DataFrame) -> list[ValueRow]:
    return [row for row in rows(frame, ValueRow) if row.feature == feature]


def replaced(share: float, vanished: Sequence[ValueRow]) -> ValueRow | None:
    """Find the vanished value whose share was nearest to the new one's, within a factor of two.

    >>> gone = [ValueRow("carrier", "B6", reference_share=0.16), ValueRow("carrier", "OO", reference_share=0.0001)]
    >>> replaced(0.17, gone).value, replaced(0.01, gone)
    ('B6', None)
    """
    near = [row for row in vanished if share / 2 <= row.reference_share <= share * 2]
    return min(near, key=lambda row: abs(row.reference_share - share), default=None)


ANALYZER = Unseen()

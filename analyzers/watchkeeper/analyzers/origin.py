"""Where a drop of quality comes from, as a finding tells it: the split by segments, its words and its subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Scope, Snapshot
from watchkeeper.analyzers.impact.value import model_of
from watchkeeper.schemas.findings import Json, Window
from watchkeeper.store.facts.splits import error_splits, rows_of, value_splits, without_few
from watchkeeper.store.split import Split, ranked


@dataclass(frozen=True, slots=True)
class Origin:
    """The splits of the error and (where values are declared) of the worth of a decision, by every segment column."""

    metric: str
    splits: tuple[Split, ...]
    value: tuple[Split, ...] = ()
    protected: frozenset[str] = frozenset()
    """Attributes of whose small groups nothing is kept."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """Name the segment that most stands out, if one does."""
        return tuple(f"segment:{one.value}" for _, one in ranked(self.splits)[:1] if one.cause)

    @property
    def words(self) -> str:
        """Say it in a sentence that begins with a space; empty without segments."""
        return words(self.splits, self.metric == "error_rate")

    @property
    def snapshot(self) -> Snapshot:
        """Give the rows of the query ``split``, to keep them as they were; those of the worth are of the same form."""
        kept: Snapshot = {"split": self._json(self.metric, self.splits)}
        if self.value:
            kept["value_split"] = self._json("value_per_decision", self.value)
        return kept

    def _json(self, metric: str, splits: Sequence[Split]) -> list[Json]:
        rows = without_few(rows_of(metric, splits), self.protected)
        return [dict[str, Json](row) for row in rows.to_dicts()]


def origin(scope: Scope, reference: Window, window: Window) -> Origin:
    """Split what is known at the time of the evaluation."""
    metric, splits = error_splits(scope.facts.store(), scope.pair, reference, window, scope.as_of)
    model, protected = model_of(scope), scope.declared.protected_of(scope.service)
    if model is None:
        return Origin(metric, tuple(splits), protected=protected)
    values = {str(kind): value for kind, value in model.values.items()}
    worth = value_splits(scope.facts.store(), scope.pair, (reference, window), scope.as_of, values)
    return Origin(metric, tuple(splits), tuple(worth), protected)


def words(splits: Sequence[Split], share: bool) -> str:
    """Say how much came from a shifted mix, and how much from the segment that most stands out.

    >>> from watchkeeper.store.split import Sums, split
    >>> before, after = (Sums.of_errors([800, 200], [80, wrong]) for wrong in (40, 100))
    >>> words([split("carrier", ["AA", "B6"], before, after)], True)
    ' Of 6.0 points more, 6.0 came from carrier=B6 itself, 0.0 from a shifted mix of carrier.'
    """
    if not splits:
        return ""
    column, first = ranked(splits)[0]
    if first.cause is None:
        return " No segment stands out."
    whole = next(one for one in splits if one.column == column)
    total, mix = _amount(abs(whole.total), share), _amount(whole.mix, share)
    begin = f" Of {total} {'points ' if share else ''}{'more' if whole.total >= 0 else 'less'},"
    if first.cause == "inside":
        own = _amount(first.inside.points, share)
        return f"{begin} {own} came from {column}={first.value} itself, {mix} from a shifted mix of {column}."
    return f"{begin} {mix} came from a shifted mix of {column} ({first.value} above all)."


def _amount(value: float, share: bool) -> str:
    return f"{100 * value + 0.0:.1f}" if share else phrases.amount(value)

"""What is normal for one model: everything that is learned from the reference, and the channels that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

from watchkeeper.analyzers.verdict.core import features, operations, outcomes, scores, segments, together
from watchkeeper.analyzers.verdict.core.channels import Channel, Days, Rows, Table
from watchkeeper.analyzers.verdict.core.features import Category, Number
from watchkeeper.analyzers.verdict.core.operations import Operations
from watchkeeper.analyzers.verdict.core.outcomes import Errors, Outcomes
from watchkeeper.analyzers.verdict.core.scores import Score
from watchkeeper.analyzers.verdict.core.together import Together


@dataclass(frozen=True, slots=True)
class Profile:
    """What a model's rows were like in the reference, known as soon as it is over."""

    inputs: tuple[Number | Category, ...]
    score: Score | None
    operations: Operations | None
    segments: tuple[segments.Segment, ...]
    together: Together | None

    def measure(self, rows: Rows, count: int, *, reference: bool = False) -> Table:
        """Measure ``count`` days from day 0 on; ``reference``: the very days that this was learned from."""
        days = Days.of(rows, count)
        table: Table = {}
        for part in self.inputs:
            table |= part.measure(rows, days, reference=reference)
        if self.operations:
            table |= self.operations.measure(rows, days)
        if self.together:
            table |= self.together.measure(rows, days, reference=reference)
        return table | (self.score.measure(rows, days, reference=reference) if self.score else {})

    def channels(self) -> list[Channel]:
        """Name the channels."""
        parts = (*self.inputs, self.together, self.score, self.operations)
        return [channel for part in parts if part is not None for channel in part.channels()]


def learn(rows: Rows) -> Profile:
    """Learn from the reference's rows."""
    inputs = tuple(features.learn(rows))
    kinds = tuple(one for one in inputs if isinstance(one, Category))
    parts = segments.learn(rows)
    return Profile(
        inputs, scores.learn(rows, inputs), operations.learn(rows, kinds, parts), parts, together.learn(rows, inputs)
    )


def learn_outcomes(rows: Rows, profile: Profile) -> Outcomes | Errors | None:
    """Learn what the outcomes of the reference were like, once they are known."""
    return outcomes.learn(rows, profile.segments)

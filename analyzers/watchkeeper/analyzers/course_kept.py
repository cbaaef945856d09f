"""A course as it is kept: what was learned from the reference as one text, and the channels as rows.

Learned things are small: quantiles, values of categories, weights of a fit. Whoever changes what a channel measures
raises FORM, so that numbers of two kinds are never joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct

from watchkeeper.analyzers.verdict.core.channels import Floats, Measured, Table
from watchkeeper.analyzers.verdict.core.features import Category, Number
from watchkeeper.analyzers.verdict.core.operations import Operations
from watchkeeper.analyzers.verdict.core.outcomes import Errors, Outcomes
from watchkeeper.analyzers.verdict.core.profile import Profile
from watchkeeper.analyzers.verdict.core.scores import Score
from watchkeeper.analyzers.verdict.core.segments import Segment
from watchkeeper.analyzers.verdict.core.together import Together
from watchkeeper.store.facts.measured import DAYS

FORM = 5
REQUESTS = ""
"""The name under which the requests of each day are kept."""


class Learned(Struct, frozen=True):
    """Everything that was learned from the reference."""

    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]
    score: Score | None
    operations: Operations | None
    segments: tuple[Segment, ...]
    together: Together | None
    columns: tuple[tuple[str, str], ...]
    within: dict[str, float]
    skew: dict[str, float] = {}
    delay: int | None = None
    outcomes: Outcomes | None = None
    errors: Errors | None = None

    @classmethod
    def of(
        cls,
        profile: Profile,
        outcomes: Outcomes | Errors | None,
        delay: int | None,
        columns: Sequence[tuple[str, str]],
        table: Table,
    ) -> Learned:
        """Gather it."""
        return cls(
            tuple(one for one in profile.inputs if isinstance(one, Number)),
            tuple(one for one in profile.inputs if isinstance(one, Category)),
            profile.score,
            profile.operations,
            profile.segments,
            profile.together,
            tuple(columns),
            {name: one.within for name, one in sorted(table.items())},
            {name: one.skew for name, one in sorted(table.items()) if one.skew},
            delay,
            outcomes if isinstance(outcomes, Outcomes) else None,
            outcomes if isinstance(outcomes, Errors) else None,
        )

    @property
    def profile(self) -> Profile:
        """Give the profile again."""
        inputs = (*self.numbers, *self.categories)
        return Profile(inputs, self.score, self.operations, self.segments, self.together)

    def text(self) -> str:
        """Write it."""
        return msgspec.json.encode(self, enc_hook=_plain).decode()


def read(text: str) -> Learned:
    """Read it.

    >>> number = Number("x", "f_x", 0.0, 1.0, (0.0, 1.0), np.array([0.0, 1.0]), np.array([0.5, 0.7]))
    >>> learned = Learned((number,), (), None, None, (), None, (("feature", "x"),), {"x mean": 0.1})
    >>> again = read(learned.text())
    >>> again.numbers[0].knots.tolist(), again.text() == learned.text()
    ([0.0, 1.0], True)
    """
    return msgspec.json.decode(text, type=Learned, dec_hook=_array)


def rows(table: Table, names: Sequence[str], start: int, end: int, *, late: bool) -> pl.DataFrame:
    """Give the days of some channels as rows."""
    days = np.arange(start, end, dtype=np.int32)
    parts = [
        pl.DataFrame(
            {
                "late": pl.Series([late]).new_from_index(0, len(days)),
                "day": days,
                "channel": pl.Series([name]).new_from_index(0, len(days)),
                "value": table[name].values[start:end],
                "rows": table[name].rows[start:end],
            },
            schema=DAYS,
        )
        for name in names
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=DAYS)


def table_of(frame: pl.DataFrame, learned: Learned) -> Table:
    """Put kept rows together again, a channel each."""
    table: Table = {}
    for part in frame.partition_by("channel", maintain_order=True):
        name = str(part["channel"][0])
        values = part["value"].fill_null(float("nan")).to_numpy()
        table[name] = Measured(
            values, part["rows"].to_numpy(), learned.within.get(name, 0.0), learned.skew.get(name, 0.0)
        )
    return table


def _plain(value: object) -> object:
    return cast("Floats", value).tolist()


def _array(_type: type, value: object) -> Floats:
    return np.asarray(value, dtype=np.float64)

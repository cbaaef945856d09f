"""Which parts of the traffic are watched on their own: values of a segment column with enough rows.

A segment below 1.5 % of the reference is not watched, and at most twelve are: thinner ones would cost every other
channel a share of the false-alarm budget and could hardly ever speak.
"""

from __future__ import annotations

from dataclasses import dataclass

from watchkeeper.analyzers.verdict.core.channels import Bools, Rows

MIN_SHARE = 0.015
MOST = 12


@dataclass(frozen=True, slots=True)
class Segment:
    """One value of one segment column."""

    column: str
    value: str

    @property
    def subject(self) -> str:
        """What people know it by."""
        return f"segment:{self.value}"

    def mask(self, rows: Rows) -> Bools:
        """Say which rows are in it."""
        return (rows.frame[self.column] == self.value).fill_null(False).to_numpy()


def learn(rows: Rows) -> tuple[Segment, ...]:
    """Choose the segments of the reference, the largest first.

    >>> import polars as pl
    >>> frame = pl.DataFrame({"s": ["a"] * 90 + ["b"] * 9 + ["c"]})
    >>> [one.value for one in learn(Rows(frame, {}, {}, {"s": "s"}))]
    ['a', 'b']
    """
    found: list[tuple[int, Segment]] = []
    for column in rows.segment.values():
        counted = rows.frame[column].drop_nulls().value_counts(name="n")
        for value, n in counted.iter_rows():
            if MIN_SHARE * rows.frame.height <= n < rows.frame.height:
                found.append((int(n), Segment(column, str(value))))
    found.sort(key=lambda pair: (-pair[0], pair[1].value))
    return tuple(segment for _, segment in found[:MOST])

"""What every distance looks at: a feature's rows on the same bins, in the window and in the reference.

``Bins`` are coarse: numbers are merged from the store's fine bins (at most 100) to ten bins with equal shares of the
reference; null, NaN, infinite, unseen and other values keep bins of their own. ``Steps`` are the fine bins of a number
in their order, each at one place on its axis, for the measures that ask how far values have travelled.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from watchkeeper.analyzers.evaluation import Scope, Snapshot
from watchkeeper.analyzers.memo import once
from watchkeeper.analyzers.rows import BinRow, rows

TENTHS = 10


@dataclass(frozen=True, slots=True)
class Bins:
    """Rows a bin, of the window and of the reference."""

    now: tuple[int, ...]
    reference: tuple[int, ...]

    @property
    def noise(self) -> float:
        """How much the two samples vary by chance: 1/n + 1/m."""
        return 1 / max(sum(self.now), 1) + 1 / max(sum(self.reference), 1)

    def snapshot(self) -> Snapshot:
        """The counts, to recompute from."""
        return {"now": list(self.now), "reference": list(self.reference)}


@dataclass(frozen=True, slots=True)
class Steps:
    """The finite values of a number: where its fine bins lie, in ascending order, and the rows in each.

    A bin lies at its middle. The two beyond the reference's range lie at its ends, so that one huge value moves
    nothing; ``data.out_of_range`` counts them.
    """

    places: tuple[float, ...]
    bins: Bins

    def shares(self) -> Iterator[tuple[float, float]]:
        """Give the share of rows up to each bin, of the window and of the reference; the last are 1."""
        n, m = sum(self.bins.now), sum(self.bins.reference)
        for now, reference in zip(accumulate(self.bins.now), accumulate(self.bins.reference), strict=True):
            yield now / n, reference / m


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature's histograms; ``steps`` only of a number."""

    bins: Bins
    steps: Steps | None


def merged(bins: Sequence[BinRow]) -> Bins:
    """Merge a feature's fine bins: value bins of a number to ten of (nearly) equal reference shares, in order.

    No row is lost. A value bin that alone holds more than a tenth of the reference stays whole.

    >>> fine = [BinRow("x", "numeric", i, n=i, reference_n=10) for i in range(40)]
    >>> coarse = merged([*fine, BinRow("x", "numeric", -1, n=5, reference_n=0)])
    >>> len(coarse.now), sum(coarse.now), coarse.reference
    (11, 785, (0, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40))
    """
    ordered = sorted(bins, key=lambda row: row.bin)
    total = sum(row.reference_n for row in ordered if row.bin >= 0)
    groups: dict[tuple[bool, int], tuple[int, int]] = {}
    below = 0
    for row in ordered:
        key = (False, row.bin)
        if row.bin >= 0:
            middle = below + row.reference_n / 2
            below += row.reference_n
            if row.kind == "numeric":
                key = (True, min(int(TENTHS * middle / total), TENTHS - 1) if total else 0)
            else:
                key = (True, row.bin)
        n, reference_n = groups.get(key, (0, 0))
        groups[key] = (n + row.n, reference_n + row.reference_n)
    counts = [groups[key] for key in sorted(groups)]
    return Bins(tuple(n for n, _ in counts), tuple(reference_n for _, reference_n in counts))


def steps(bins: Sequence[BinRow]) -> Steps | None:
    """Put a number's value bins in order; None where the window or the reference holds no finite number.

    >>> steps([BinRow("x", "numeric", 1, 3, 9, lower=0.0, upper=4.0), BinRow("x", "numeric", 2, 5, 0, lower=4.0)])
    Steps(places=(2.0, 4.0), bins=Bins(now=(3, 5), reference=(9, 0)))
    """
    ordered = [(row, place) for row in sorted(bins, key=lambda row: row.bin) if (place := _place(row)) is not None]
    counts = Bins(tuple(row.n for row, _ in ordered), tuple(row.reference_n for row, _ in ordered))
    if not (any(counts.now) and any(counts.reference)):
        return None
    return Steps(tuple(place for _, place in ordered), counts)


def _place(row: BinRow) -> float | None:
    ends = [end for end in (row.lower, row.upper) if end is not None]
    if row.kind != "numeric" or row.bin < 0 or not ends:
        return None
    return min(sum(end / len(ends) for end in ends), sys.float_info.max)  # above the largest double lies infinity


def features(scope: Scope) -> dict[str, Feature]:
    """Read every feature's bins; all distances share the read and the merging."""

    def read() -> dict[str, Feature]:
        fine: dict[str, list[BinRow]] = {}
        for row in rows(scope.facts.histogram(*scope.pair, scope.window, scope.declared_reference), BinRow):
            fine.setdefault(row.feature, []).append(row)
        return {feature: Feature(merged(bins), steps(bins)) for feature, bins in fine.items()}

    return once(scope.facts, ("drift features", scope.pair, scope.window, scope.declared_reference), read)

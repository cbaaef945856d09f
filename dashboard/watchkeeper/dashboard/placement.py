"""Where labels go so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence


def spread(targets: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels apart as little as possible: at least ``gap`` between any two, all within ``low`` and ``high``.

    The order of the targets is kept, equal ones in the order given. The result has the least sum of squared moves
    (isotonic regression of ``target - rank * gap``, then clipped). Where there is no room for the gap, the labels
    share the room evenly.

    >>> spread([10, 12, 80], gap=14, low=0, high=100)
    [4.0, 18.0, 80.0]
    >>> spread([95, 95, 95], gap=10, low=0, high=100)
    [80.0, 90.0, 100.0]
    """
    if not targets:
        return []
    many = len(targets)
    if (many - 1) * gap > high - low:
        gap = (high - low) / (many - 1)
    order = sorted(range(many), key=lambda place: targets[place])
    top = high - (many - 1) * gap
    placed = [0.0] * many
    for rank, value in enumerate(_isotonic([targets[place] - rank * gap for rank, place in enumerate(order)])):
        placed[order[rank]] = float(min(max(value, low), top) + rank * gap)
    return placed


def _isotonic(values: Sequence[float]) -> list[float]:
    """Give the closest sequence that never falls (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        total, size = float(value), 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / size:
            earlier, many = blocks.pop()
            total, size = total + earlier, size + many
        blocks.append((total, size))
    return [total / size for total, size in blocks for _ in range(size)]

"""How strong is the evidence of each channel on each day? One logarithm of a chance, whatever the channel counts.

Means and shares go through clocks and the simulated null, rare shares through counts. A late channel (one that needs
outcomes) speaks ``delay`` days after its rows. Misleads as its parts do; see ``evidence``, ``counts`` and ``null``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from watchkeeper.analyzers.verdict.core import counts, evidence, null
from watchkeeper.analyzers.verdict.core.channels import Channel, Floats, Measured, Table
from watchkeeper.analyzers.verdict.core.standard import Scale, scale

HALF = float(np.log(2))
LEAST_INPUT, LEAST_LOSS = 0.05, 0.02
"""The spread between days counts as at least so many standard deviations of a row: smaller changes need years."""

LEAST_SHIFT = 0.03
"""An input counts only while its last days lie so many standard deviations of a row from the reference."""
RECENT = (3, 7)


@dataclass(frozen=True, slots=True)
class Watched:
    """A channel and how it is judged: by its scale, or (None) by counting."""

    channel: Channel
    scale: Scale | None


def watch(channels: Sequence[Channel], table: Table, reference: int) -> list[Watched]:
    """Choose how each channel is judged, by the reference's days; leave out what cannot be."""
    found: list[Watched] = []
    for channel in channels:
        measured = table[channel.name]
        values, rows = measured.values[:reference], measured.rows[:reference]
        if rows.sum() < reference:
            continue
        least = LEAST_LOSS if channel.family.harm else LEAST_INPUT
        learned = scale(values, rows, measured.within, share=channel.share, least=least, row_skew=measured.skew)
        rare = channel.share and float(np.nansum(values * rows)) < channel.rare * reference
        if rare and channel.family.harm and channel.side == 0:
            continue
        if rare or learned is not None:
            found.append(Watched(channel, None if rare else learned))
    return found


def log_chances(watched: Sequence[Watched], table: Table, reference: int, first: int) -> Floats:
    """Give the logarithm of each channel's corrected chance, by day from ``first`` on: ``[channel, day]``.

    >>> rng = np.random.default_rng(2)
    >>> values = rng.normal(10, 1, 60) + 4.0 * (np.arange(60) >= 50)
    >>> table = {"x": Measured(values, np.full(60, 100.0))}
    >>> from watchkeeper.analyzers.verdict.core.channels import Family
    >>> chosen = watch([Channel("x", "x", Family.INPUT)], table, 28)
    >>> (log_chances(chosen, table, 28, 49)[0, [0, -1]] < -5).tolist()
    [False, True]
    """
    if not watched:
        return np.zeros((0, 0))
    days = len(table[watched[0].channel.name].values)
    found = np.zeros((len(watched), max(days - first, 0)))
    scaled = [place for place, one in enumerate(watched) if one.scale is not None]
    if scaled and found.shape[1]:
        found[scaled] = _by_clocks([watched[place] for place in scaled], table, reference, first)
    for place, one in enumerate(watched):
        if one.scale is None and found.shape[1]:
            measured = table[one.channel.name]
            events = np.nan_to_num(measured.values * measured.rows)
            found[place] = counts.log_chance(events, measured.rows, reference, first)
    return found


def _by_clocks(watched: Sequence[Watched], table: Table, reference: int, first: int) -> Floats:
    parts: list[tuple[Floats, Floats]] = []
    floors: list[float] = []
    for one in watched:
        measured: Measured = table[one.channel.name]
        if one.scale is not None:
            parts.append(one.scale.apply(measured.values, measured.rows, 0))
            floors.append(0.0 if one.channel.family.harm else LEAST_SHIFT * one.scale.row / one.scale.spread)
    z, weight = np.stack([part[0] for part in parts]), np.stack([part[1] for part in parts])
    t = evidence.clocks(z, weight, reference, first).t
    one_sided = np.array([one.channel.side > 0 for one in watched])
    t[one_sided] = np.maximum(t[one_sided], 0)
    law = null.for_reference(reference)
    chance = law.log_chance(evidence.mixture(t, law.bounds))
    chance[one_sided] -= HALF
    return np.where(_shift(z, weight)[:, first:] >= np.array(floors)[:, None], chance, 0.0)


def _shift(z: Floats, weight: Floats) -> Floats:
    """Give how far each day's last days lie from the reference, in spreads: the larger of two windows."""
    largest = np.zeros_like(z)
    for days in RECENT:
        total, held = (np.cumsum(part, axis=1) for part in (weight * z, weight))
        total[:, days:], held[:, days:] = total[:, days:] - total[:, :-days], held[:, days:] - held[:, :-days]
        largest = np.maximum(largest, np.abs(total) / np.maximum(held, 1e-9))
    return largest

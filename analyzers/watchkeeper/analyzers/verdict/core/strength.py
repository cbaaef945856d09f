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

FEW_EVENTS = 1.5
"""A day: below that a share that may move either way is counted."""

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
        rare = _is_rare(channel, np.nan_to_num(values * rows)[rows > 0])
        if rare and channel.family.harm and channel.side == 0:
            continue
        if rare or learned is not None:
            found.append(Watched(channel, None if rare else learned))
    return found


def _is_rare(channel: Channel, events: Floats) -> bool:
    """Whether a share is counted. What may only rise is, while most days of the reference have none of it.

    One outage there would make a spread that hides all that comes later; and where most days have events, days with
    them cannot become more.

    >>> from watchkeeper.analyzers.verdict.core.channels import Family
    >>> missing = Channel("x missing", "x", Family.BREAK, side=1, share=True)
    >>> outage, steady = np.repeat([0.0, 400.0], [27, 1]), np.full(28, 2.0)
    >>> [_is_rare(missing, events) for events in (outage, steady)]
    [True, False]
    """
    if not channel.share:
        return False
    return float(np.median(events)) == 0 if channel.side > 0 else float(events.mean()) < FEW_EVENTS


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

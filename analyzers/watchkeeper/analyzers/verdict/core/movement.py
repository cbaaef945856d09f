"""How far has a channel moved? Its number of the last week beside the reference's, in words that a person can use.

What is measured on a logarithmic scale is said as a percentage, what is a place among the reference's values as a
percentile, and what is left over beyond a score's promise as points.
"""

from __future__ import annotations

import math

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.verdict.core.channels import Channel

_LOGARITHMIC = ("latency", "latency for the work", "cost")
_NOTHING = 1e-9


def words(channel: Channel, observed: float, reference: float) -> str:
    """Say it.

    >>> from watchkeeper.analyzers.verdict.core.channels import Family
    >>> def of(name, subject, **more):
    ...     return Channel(name, subject, Family.INPUT, **more)
    >>> words(of("segment:mail latency", "segment:mail"), 0.0616, 5.1e-15)
    'segment:mail latency 6.4 % above the reference over the last week'
    >>> words(of("outcome residual", "calibration"), -0.155, -5e-17)
    'outcomes 15.5 points below what their scores promise over the last week, 0 points in the reference'
    >>> words(of("segment:JFK residual", "segment:JFK"), 0.0615, 0.0)
    'outcomes of segment:JFK 6.15 points above the rest by their scores over the last week, 0 points in the reference'
    >>> words(of("temp spread", "temp"), 0.182, 0.0811)
    'temp 1.5 times as widely spread as in the reference over the last week'
    >>> words(of("slow excess", "latency_p99"), 0.0406, 0.0184)
    'slow requests 2.2 times as far beyond the usual slowest tenth as in the reference, over the last week'
    >>> words(of("amount rank", "amount"), 0.644, 0.5)
    'amount at percentile 64 of the reference over the last week, 50 is usual'
    >>> words(of("failures", "ok", share=True), 0.05, 0.01), words(of("x mean", "x"), 6.9, 9.6)
    ('failures 5.0 % over the last week, 1.0 % in the reference', 'x mean 6.9 over the last week, 9.6 in the reference')
    """
    name = channel.name
    what = name.removeprefix(f"{channel.subject} ")
    if channel.share:
        return _beside(name, phrases.percent(observed), phrases.percent(reference))
    if what in _LOGARITHMIC or name in _LOGARITHMIC:
        share = math.expm1(observed - reference)
        side = "above" if share > 0 else "below"
        return f"{name} {phrases.percent(abs(share))} {side} the reference over the last week"
    if what.endswith("residual"):
        usual = _points(reference).removesuffix(" above")
        segment = what == "residual"  # of a segment, less what its whole day has
        who, beside = (f"outcomes of {channel.subject}", "the rest by") if segment else ("outcomes", "what")
        return _beside(who, f"{_points(observed)} {beside} their scores{'' if segment else ' promise'}", usual)
    if what in ("spread", "slow excess") and reference > 0:
        return _times(channel, what, observed / reference)
    if what == "rank":
        place, usual = f"{100 * observed:.0f}", f"{100 * reference:.0f}"
        return f"{channel.subject} at percentile {place} of the reference over the last week, {usual} is usual"
    return _beside(name, phrases.amount(_tidy(observed)), phrases.amount(_tidy(reference)))


def _beside(name: str, observed: str, reference: str) -> str:
    return f"{name} {observed} over the last week, {reference} in the reference"


def _times(channel: Channel, what: str, ratio: float) -> str:
    if what == "spread":
        return f"{channel.subject} {math.sqrt(ratio):.2g} times as widely spread as in the reference over the last week"
    return (
        f"slow requests {ratio:.2g} times as far beyond the usual slowest tenth as in the reference, over the last week"
    )


def _points(difference: float) -> str:
    difference = _tidy(difference)
    return f"{100 * abs(difference):.3g} points {'below' if difference < 0 else 'above'}"


def _tidy(value: float) -> float:
    """Give 0 for what is nothing but rounding."""
    return 0.0 if abs(value) < _NOTHING else value

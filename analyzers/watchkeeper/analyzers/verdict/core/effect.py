"""Does a change of the inputs do any harm so far? What the losses of the same day say, in words.

Losses are errors, calibration, segments, latency, failures and cost. Misleads while outcomes are late: an error that
the change causes today is known when its outcomes are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from watchkeeper.analyzers.verdict.core.channels import Channel, Family, Floats
from watchkeeper.analyzers.verdict.core.incident import NEAR

NAMED = 2
_WORDS = (("errors", Family.QUALITY, ""), ("latency", Family.OPERATION, "latency"), ("cost", Family.OPERATION, "cost"))


def losses(channels: Sequence[Channel], strength: Floats) -> dict[str, float]:
    """Give how strong each loss is on a day (1 is its threshold), the strongest first."""
    found: dict[str, float] = {}
    for channel, value in zip(channels, strength.tolist(), strict=True):
        if channel.family.harm:
            found[channel.subject] = max(found.get(channel.subject, 0.0), float(value))
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def words(channels: Sequence[Channel], found: Mapping[str, float]) -> str:
    """Say it in one sentence.

    >>> watched = [Channel("error", "error", Family.QUALITY), Channel("cost", "cost", Family.OPERATION)]
    >>> words(watched, {"error": 0.2, "cost": 0.1})
    'No effect on errors or cost so far.'
    >>> words(watched, {"error": 0.9, "cost": 0.1})
    'It may come with a loss: error.'
    >>> words([], {})
    'No outcomes, latency or cost tell whether it does harm.'
    """
    near = [name for name, value in found.items() if value > NEAR]
    if near:
        return f"It may come with a loss: {', '.join(near[:NAMED])}."
    known = [word for word, family, subject in _WORDS if any(_is(one, family, subject) for one in channels)]
    if not known:
        return "No outcomes, latency or cost tell whether it does harm."
    return f"No effect on {' or '.join([', '.join(known[:-1]), known[-1]] if len(known) > 1 else known)} so far."


def _is(channel: Channel, family: Family, subject: str) -> bool:
    return channel.family is family and subject in ("", channel.subject)

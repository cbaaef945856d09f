"""What would make an analyzer that cries wolf quieter: a change that a person may take, never one that is made.

Precision is the share of judged alerts that were acted on; where even the upper end of its interval is below a half,
something is proposed. ``noise`` (nothing was wrong) asks for less chance: half the budget of false alerts, or a tenth
of the significance level. ``wrong_threshold`` (true, but too small) asks for a larger least effect. Misleads where only
annoyed people answer: the answers, and how many nobody gave, stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchkeeper.alerts.incidents.feedback import Quality

LEAST_ANSWERS = 8
LOW = 0.5
Z95 = 1.959963984540054

Parameters = Callable[[str], Mapping[str, object]]
"""Gives the parameters of an analyzer as they are in force for every service; none of one that is not known."""

CHANCE: Mapping[str, float] = {"alerts_per_month": 0.5, "alpha": 0.1}
EFFECT: Mapping[str, float] = {
    "min_rise": 1.5,
    "min_widening": 1.5,
    "min_shift": 1.5,
    "min_gap": 1.5,
    "min_share": 1.5,
    "threshold": 1.5,
    "min_bad": 2.0,
    "min_requests": 2.0,
    "min_events": 2.0,
    "min_rows": 2.0,
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """One parameter, as it is and as it might be; without one, to tell nobody of what this analyzer finds."""

    parameter: str | None
    now: float | None
    proposed: float | None
    why: str
    monitor: str


def interval(acted_on: int, judged: int) -> tuple[float, float]:
    """Give Wilson's 95 % interval of the precision.

    >>> tuple(round(end, 2) for end in interval(1, 10))
    (0.02, 0.4)
    """
    share, scale = acted_on / judged, 1 + Z95**2 / judged
    centre = (share + Z95**2 / (2 * judged)) / scale
    half = Z95 * math.sqrt(share * (1 - share) / judged + Z95**2 / (4 * judged**2)) / scale
    return max(centre - half, 0.0), min(centre + half, 1.0)


def propose(quality: Quality, parameters: Mapping[str, object]) -> Proposal | None:
    """Propose a change where precision is surely low; None where it is not, or few have answered.

    >>> from watchkeeper.alerts.incidents.feedback import Quality
    >>> noisy = Quality("data.missing", fired=14, acted_on=1, known=1, noise=8, wrong_threshold=1)
    >>> propose(noisy, {"alpha": 0.001, "min_share": 0.01}).monitor.splitlines()[3]
    'spec: {analyzer: data.missing, params: {alpha: 0.0001}}'
    """
    judged = quality.acted_on + quality.noise + quality.wrong_threshold
    if judged < LEAST_ANSWERS or interval(quality.acted_on, judged)[1] >= LOW:
        return None
    small = quality.wrong_threshold > quality.noise
    ways = {**EFFECT, **CHANCE} if small else {**CHANCE, **EFFECT}
    why = (
        f"{quality.acted_on} of {judged} judged alerts were acted on; {quality.noise} were noise, "
        f"{quality.wrong_threshold} too small to be told"
    )
    for name, factor in ways.items():
        now = parameters.get(name)
        if isinstance(now, int | float) and not isinstance(now, bool):
            proposed = float(f"{now * factor:.3g}")
            words = _monitor(quality.analyzer, f"params: {{{name}: {_plain(proposed)}}}")
            return Proposal(name, float(now), proposed, why, words)
    return Proposal(None, None, None, why, _monitor(quality.analyzer, "severity: notice"))


def _plain(value: float) -> str:
    """Write a number as YAML reads one: 1e-05 would be a text there.

    >>> _plain(0.00001), _plain(60.0)
    ('0.00001', '60')
    """
    return f"{value:.12f}".rstrip("0").rstrip(".")


def _monitor(analyzer: str, change: str) -> str:
    """Write the Monitor that a person may put among the declared files."""
    name = f"quieter-{analyzer.replace('.', '-').replace('_', '-')}"
    return (
        f"apiVersion: watchkeeper/v1\nkind: Monitor\nmetadata: {{name: {name}}}\n"
        f"spec: {{analyzer: {analyzer}, {change}}}\n"
    )

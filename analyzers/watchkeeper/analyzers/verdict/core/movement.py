"""How far has a channel moved? Its number of the last week beside the reference's, in words that a person can use.

What is measured on a logarithmic scale is said as a percentage, what is a place among the reference's values as a
percentile, and what is left over beyond a score's promise as points. Outcomes are of the week whose outcomes are known
by now: ``when`` names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.verdict.core.channels import Channel

_LOGARITHMIC = ("latency", "latency for the work", "cost")
_NOTHING = 1e-9
_BESIDE = 0.005
"""What is so much smaller than the number beside it is said to be 0."""
LAST_WEEK = "over the last week"
SLIGHT = 0.05
"""A latency or a cost that is nearer to its reference wakes nobody."""


def words(
    channel: Channel, observed: float, reference: float, when: str = LAST_WEEK, *, of_numbers: bool = False
) -> str:
    """Say it. ``of_numbers``: an error is how far a number is off, not whether an answer is wrong.

    >>> from watchkeeper.analyzers.verdict.core.channels import Family
    >>> def of(name, subject, **more):
    ...     return Channel(name, subject, Family.INPUT, **more)
    >>> words(of("segment:mail latency", "segment:mail"), 0.0616, 5.1e-15)
    'segment:mail latency 6.4 % above the reference over the last week'
    >>> words(of("outcome residual", "calibration"), -0.155, -5e-17)
    'outcomes 15.5 points below what their scores promise over the last week, 0 points in the reference'
    >>> words(of("segment:JFK residual", "segment:JFK"), 0.0615, 0.0)
    'outcomes of segment:JFK 6.15 points above the rest by their scores over the last week, 0 points in the reference'
    >>> words(of("segment:US residual", "segment:US"), -0.128, 0.0132).partition(" last week, ")[2]
    '1.32 points above in the reference'
    >>> words(of("temp spread", "temp"), 0.182, 0.0811)
    'temp 1.5 times as widely spread as in the reference over the last week'
    >>> words(of("slow excess", "latency_p99"), 0.0406, 0.0184)
    'slow requests 2.2 times as far beyond the usual slowest tenth as in the reference, over the last week'
    >>> words(of("amount rank", "amount"), 0.644, 0.5)
    'amount at percentile 64 of the reference over the last week, 50 is usual'
    >>> words(of("failures", "ok", share=True), 0.05, 0.01), words(of("x mean", "x"), 6.9, 9.6)
    ('failures 5.0 % over the last week, 1.0 % in the reference', 'x mean 6.9 over the last week, 9.6 in the reference')
    >>> words(of("loss above its promise", "error"), 0.0682, -5.7e-05, "in the week to 7 Apr")
    'log loss 0.0682 above what the scores promise in the week to 7 Apr, 0 in the reference'
    >>> words(of("calibration slope", "calibration"), -0.109, -1e-05)
    'scores surer than they should be over the last week: calibration slope -0.109, 0 in the reference'
    >>> words(of("outcomes turned round", "outcome"), 0.262, -0.0042)
    '26.2 % of the outcomes the other way round over the last week, 0 % in the reference'
    >>> words(of("segment:A outcomes turned round", "segment:A"), 0.262, -0.0042)
    '26.2 % of the outcomes of segment:A the other way round over the last week, 0 % in the reference'
    >>> words(of("outcomes turned round", "outcome"), -0.0023, -0.0279, "in the week to 16 Nov")
    'outcomes the other way round 2.56 points more often in the week to 16 Nov than in the reference'
    >>> words(of("segment:hen error", "segment:hen"), 0.204, 0.0014)
    'segment:hen wrong 20.4 points more often than all over the last week, 0.14 points in the reference'
    >>> words(of("segment:N error", "segment:N"), -1.2, 3.4, of_numbers=True)
    'segment:N off by 1.2 less than all over the last week, 3.4 more in the reference'
    >>> words(of("error", "error"), 16.4, 11.4, of_numbers=True)
    'mean absolute error 16.4 over the last week, 11.4 in the reference'
    >>> words(of("kind unseen", "kind", share=True), 0.046, 0.0)
    '4.6 % of the rows over the last week hold values that the reference never had'
    >>> words(of("zip unseen", "zip", share=True), 0.246, 0.021)
    '24.6 % of the rows over the last week hold values that the reference never had, 2.1 % were new to its own days'
    >>> words(of("x beyond the range", "x", share=True), 0.046, 0.0)
    '4.6 % of the rows over the last week lie far outside the range of the reference'
    >>> words(of("x missing", "x", share=True), 0.046, 0.01)
    'missing in 4.6 % of the rows over the last week, 1.0 % in the reference'
    >>> words(of("kind=a=b share", "kind", share=True), 0.32, 0.5)
    "'a=b' in 32.0 % of the rows over the last week, 50.0 % in the reference"
    >>> words(of("x for the other inputs", "x"), -0.05, 0.0)
    'x 5 percentiles below what the other inputs suggest over the last week'
    >>> words(of("latency for the work", "latency"), 5.1, 5.0)
    'latency for the work 10.5 % above the reference over the last week'
    >>> words(of("score high end", "score"), 0.0225, 0.0943)
    'scores at the high end 0.24 times as often as in the reference over the last week'
    >>> words(of("score slope on the inputs", "score"), 0.982, 1.07)
    'scores follow the inputs 0.92 times as strongly as in the reference over the last week'
    >>> words(of("score for the inputs", "score"), -0.31, 0.001)
    'scores 0.311 lower in log odds than the inputs suggest, over the last week'
    >>> words(of("score logit", "score"), -1.5, -1.1)
    'log odds of the scores -1.5 over the last week, -1.1 in the reference'
    >>> words(of("score width", "score"), 0.1, 0.3)
    'log odds of the scores 0.82 times as widely spread as in the reference over the last week'
    """
    what = channel.name.removeprefix(f"{channel.subject} ")
    if what in ("residual", "outcome residual"):
        before = _tidy(reference, observed)
        usual = _points(before) if before else "0 points"
        segment = what == "residual"  # of a segment, less what its whole day has
        who, beside = (f"outcomes of {channel.subject}", "the rest by") if segment else ("outcomes", "what")
        said = f"{who} {_points(observed)} {beside} their scores{'' if segment else ' promise'}"
        return f"{said} {when}, {usual} in the reference"
    if what == "error" and not channel.share:
        return _error(channel, observed, reference, when, of_numbers=of_numbers)
    if channel.share:
        return _share(channel, what, observed, reference, when)
    if _is_logarithmic(channel):
        return f"{channel.name} {_percent_above(observed - reference)} the reference {when}"
    told = _OWN.get(what)
    if told is not None and (reference > 0 or what not in _RATIOS):
        return told(channel, observed, reference, when)
    return (
        f"{channel.name} {phrases.amount(_tidy(observed, 0.0))} {when}, {_usual(reference, observed)} in the reference"
    )


def is_slight(channel: Channel, observed: float, reference: float) -> bool:
    """Whether it is a loss of hardly any size: certain, for many rows tell it, and worth no night's sleep.

    >>> from watchkeeper.analyzers.verdict.core.channels import Family
    >>> latency = Channel("latency for the work", "latency", Family.OPERATION)
    >>> is_slight(latency, 5.018, 5.0), is_slight(latency, 5.2, 5.0)
    (True, False)
    """
    return _is_logarithmic(channel) and abs(observed - reference) < math.log1p(SLIGHT)


def _is_logarithmic(channel: Channel) -> bool:
    return channel.name.removeprefix(f"{channel.subject} ") in _LOGARITHMIC or channel.name in _LOGARITHMIC


def _error(channel: Channel, observed: float, reference: float, when: str, *, of_numbers: bool) -> str:
    """Say how far off it is; of a segment, beside all of its day."""
    if channel.name == channel.subject:
        return f"mean absolute error {phrases.amount(observed)} {when}, {_usual(reference, observed)} in the reference"

    def beside(difference: float) -> tuple[str, str]:
        size = phrases.amount(abs(difference) if of_numbers else 100 * abs(difference))
        return size if of_numbers else f"{size} points", "less" if difference < 0 else "more"

    now, more = beside(_tidy(observed, reference))
    usual, than = beside(_tidy(reference, observed))
    changed = f" {than}" if than != more else ""
    often = "off by {} {} than all" if of_numbers else "wrong {} {} often than all"
    return f"{channel.subject} {often.format(now, more)} {when}, {usual}{changed} in the reference"


def _share(channel: Channel, what: str, observed: float, reference: float, when: str) -> str:
    now, usual = phrases.percent(observed), phrases.percent(reference)
    if what == "unseen":
        of_its_own = f", {usual} were new to its own days" if reference else ""
        return f"{now} of the rows {when} hold values that the reference never had{of_its_own}"
    if what == "beyond the range":
        return f"{now} of the rows {when} lie far outside the range of the reference"
    if what == "missing":
        return f"missing in {now} of the rows {when}, {usual} in the reference"
    value = channel.name.removeprefix(f"{channel.subject}=").removesuffix(" share")
    if len(value) < len(channel.name) - len(channel.subject):
        return f"{phrases.quoted(value)} in {now} of the rows {when}, {usual} in the reference"
    return f"{channel.name} {now} {when}, {usual} in the reference"


def _spread(channel: Channel, observed: float, reference: float, when: str) -> str:
    times = math.sqrt(observed / reference)
    return f"{channel.subject} {times:.2g} times as widely spread as in the reference {when}"


def _width(_channel: Channel, observed: float, reference: float, when: str) -> str:
    times = math.exp(observed - reference)
    return f"log odds of the scores {times:.2g} times as widely spread as in the reference {when}"


def _end(channel: Channel, observed: float, reference: float, when: str) -> str:
    end = channel.name.removeprefix("score ")
    return f"scores at the {end} {observed / reference:.2g} times as often as in the reference {when}"


def _follow(_channel: Channel, observed: float, reference: float, when: str) -> str:
    return f"scores follow the inputs {observed / reference:.2g} times as strongly as in the reference {when}"


def _unexplained(channel: Channel, observed: float, reference: float, when: str) -> str:
    off = observed - reference
    side = "lower" if off < 0 else "higher"
    return f"{channel.subject}s {phrases.amount(abs(off))} {side} in log odds than the inputs suggest, {when}"


def _odds(_channel: Channel, observed: float, reference: float, when: str) -> str:
    now, usual = phrases.amount(observed), _usual(reference, observed)
    return f"log odds of the scores {now} {when}, {usual} in the reference"


def _excess(_channel: Channel, observed: float, reference: float, when: str) -> str:
    far = f"{observed / reference:.2g} times as far beyond the usual slowest tenth as in the reference"
    return f"slow requests {far}, {when}"


def _rank(channel: Channel, observed: float, reference: float, when: str) -> str:
    place, usual = f"{100 * observed:.0f}", f"{100 * reference:.0f}"
    return f"{channel.subject} at percentile {place} of the reference {when}, {usual} is usual"


def _rest(channel: Channel, observed: float, reference: float, when: str) -> str:
    off = 100 * (observed - reference)
    side = "below" if off < 0 else "above"
    return f"{channel.subject} {phrases.amount(abs(off))} percentiles {side} what the other inputs suggest {when}"


def _loss(_channel: Channel, observed: float, reference: float, when: str) -> str:
    said = f"log loss {phrases.amount(observed)} above what the scores promise"
    return f"{said} {when}, {_usual(reference, observed)} in the reference"


def _slope(_channel: Channel, observed: float, reference: float, when: str) -> str:
    how = "surer" if observed < reference else "less sure"
    slope = f"calibration slope {_usual(observed, reference)}, {_usual(reference, observed)} in the reference"
    return f"scores {how} than they should be {when}: {slope}"


def _turned(channel: Channel, observed: float, reference: float, when: str) -> str:
    now, usual = (phrases.percent(min(max(share, 0.0), 1.0)) for share in (observed, reference))
    of = "" if channel.subject == "outcome" else f" of {channel.subject}"
    if now == usual:  # what is estimated lies below 0 on calm days: only the difference is news
        more = observed - reference
        often = f"{phrases.amount(abs(100 * more))} points {'more' if more > 0 else 'less'} often"
        return f"outcomes{of} the other way round {often} {when} than in the reference"
    return f"{now} of the outcomes{of} the other way round {when}, {usual} in the reference"


_OWN: Mapping[str, Callable[[Channel, float, float, str], str]] = {
    "spread": _spread,
    "width": _width,
    "logit": _odds,
    "low end": _end,
    "high end": _end,
    "for the inputs": _unexplained,
    "slope on the inputs": _follow,
    "slow excess": _excess,
    "rank": _rank,
    "for the other inputs": _rest,
    "loss above its promise": _loss,
    "slope": _slope,
    "outcomes turned round": _turned,
    "outcomes turned round within the day": _turned,
}
"""What is said in a way of its own, by what is measured."""
_RATIOS = ("spread", "low end", "high end", "slope on the inputs", "slow excess")


def _percent_above(difference: float) -> str:
    share = math.expm1(difference)
    return f"{phrases.percent(abs(share))} {'above' if share > 0 else 'below'}"


def _points(difference: float) -> str:
    difference = _tidy(difference, 0.0)
    return f"{100 * abs(difference):.3g} points {'below' if difference < 0 else 'above'}"


def _usual(value: float, beside: float) -> str:
    return phrases.amount(_tidy(value, beside))


def _tidy(value: float, beside: float) -> float:
    """Give 0 for what is nothing but rounding, or nothing beside the other number."""
    return 0.0 if abs(value) < max(_NOTHING, _BESIDE * abs(beside)) else value

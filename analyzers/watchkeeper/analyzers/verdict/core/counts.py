"""Are rare events more frequent than before? For shares with hardly an event a day, where a mean has no meaning.

Windows of 3 to 56 days are compared with all days before, twice: the number of events (gamma-Poisson, over-dispersed by
day) and the number of days with an event (beta-binomial). The weaker of the two decides, so that a burst on one day
never passes; at least three events on three days. No day counts for more than three events: else one outage in the
reference would make every day look alike. The chance is multiplied by the looks that the horizon allows.
Misleads where most days have events: days cannot become more then (see ``strength.watch``).
Source: predictive distributions with Jeffreys' priors (Gelman et al., Bayesian Data Analysis, 2.6).
"""

from __future__ import annotations

from typing import cast

import numpy as np
from scipy import special

from watchkeeper.analyzers.verdict.core.channels import Floats

WINDOWS = (3, 7, 14, 28, 56)
LEAST = 3
MOST = 3.0
"""Events that one day counts for at most."""
PRIOR = 0.5
HORIZON = 224
MOST_LOOKS = 120
CERTAIN = -690.0


def log_chance(events: Floats, rows: Floats, reference: int, first: int) -> Floats:
    """Give, for each day from ``first`` on, the logarithm of the corrected chance of so many events (one series).

    >>> events = np.zeros(60)
    >>> events[50:] = 8
    >>> [round(float(log_chance(events, np.full(60, 400.0), 28, day)[0])) for day in (45, 59)]
    [0, -15]
    >>> events[3] = 300  # one outage in the reference
    >>> round(float(log_chance(events, np.full(60, 400.0), 28, 59)[0]))
    -9
    """
    count, events = len(events), np.minimum(events, MOST)
    total, seen = _running(events), _running(rows)
    days, active = _running((rows > 0).astype(float)), _running((events > 0).astype(float))
    spread = _dispersion(events, rows, reference)
    ends = np.arange(first, count) + 1
    best = np.zeros(len(ends))
    for length in WINDOWS:
        looks = len(WINDOWS) * min(1 + HORIZON / length, MOST_LOOKS)
        fits = ends - length >= reference
        end, start = ends[fits], ends[fits] - length
        now, exposed = total[end] - total[start], seen[end] - seen[start]
        days_now, active_now = days[end] - days[start], active[end] - active[start]
        enough = (now >= LEAST) & (active_now >= LEAST) & (exposed > 0) & (seen[start] > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ahead = exposed / (exposed + seen[start])
            by_rows = _log_beta_tail(now / spread[start], total[start] / spread[start] + PRIOR, ahead)
        by_days = _log_days_tail(active_now, days_now, active[start], days[start])
        both = np.minimum(np.maximum(by_rows, by_days) + np.log(looks), 0.0)
        best[fits] = np.minimum(best[fits], np.where(enough, both, 0.0))
    return best


def _running(part: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(part)])


def _dispersion(events: Floats, rows: Floats, reference: int) -> Floats:
    """Give, for each day, how much more the days before it differ than independent events would; at least 1."""
    count = len(events)
    total, seen, squares = _running(events), _running(rows), _running(events**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        n = np.arange(count + 1)
        mean = total / n
        spread = (squares / n - mean**2) / mean
    spread = np.maximum(np.nan_to_num(np.where(seen > 0, spread, 1.0), nan=1.0, posinf=1.0), 1.0)
    spread[:reference] = spread[reference]
    return spread


def _log_beta_tail(now: Floats, before: Floats, ahead: Floats) -> Floats:
    """Give log P(at least ``now`` events | ``before``), negative binomial."""
    tail = cast("Floats", special.betainc(np.maximum(now, 1e-9), before, np.nan_to_num(ahead, nan=0.5)))
    return np.log(np.maximum(tail, np.exp(CERTAIN)))


def _log_days_tail(active: Floats, days: Floats, active_before: Floats, days_before: Floats) -> Floats:
    """Give log P(at least ``active`` of ``days`` days | so many before), beta-binomial."""
    a, b = active_before + PRIOR, np.maximum(days_before - active_before, 0) + PRIOR
    most = int(days.max(initial=0))
    k = np.arange(most + 1)[None, :]
    n = days[:, None]
    valid = (k >= active[:, None]) & (k <= n)
    with np.errstate(invalid="ignore"):
        log_choose = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(np.maximum(n - k, 0) + 1)
        terms = log_choose + special.betaln(k + a[:, None], np.maximum(n - k, 0) + b[:, None])
    terms = np.where(valid, terms - special.betaln(a, b)[:, None], -np.inf)
    if terms.shape[1] == 0:
        return np.zeros(len(active))
    top = terms.max(axis=1)
    return np.maximum(top, CERTAIN) + np.log(
        np.maximum(np.exp(terms - np.maximum(top, CERTAIN)[:, None]).sum(axis=1), 1e-300)
    )

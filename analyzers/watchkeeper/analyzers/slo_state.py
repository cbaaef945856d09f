"""One objective at one time: what was promised, what is left of the budget, what is known, what was left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.slo.core.periods import period
from watchkeeper.analyzers.slo.core.policy import HOUR, Row, Seeing, burning, rows_of, seeing
from watchkeeper.analyzers.slo_composite import Weighted, counted_bad
from watchkeeper.analyzers.slo_counts import BadRequests, matured_end, outcomes, planned_for
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import ErrorBudget, Window
from watchkeeper.schemas.objectives import Objective, Planned

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

ALL_MODELS = "*"
LOOKS = 5
"""At how many moments of ``after`` a rule must hold."""


@dataclass(frozen=True, slots=True)
class Restated:
    """A budget that was told and is another one now, as outcomes came late or were corrected."""

    told_at: datetime
    told: float
    now: float


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is said of one objective follows from this. Shares are of events (or of slices of time)."""

    objective: Objective
    model: str
    bad: BadRequests | Weighted
    as_of: datetime
    window: Window
    planned: tuple[Planned, ...] = ()

    @property
    def end(self) -> datetime:
        """Where every window ends."""
        return self.bad.end

    @property
    def whole(self) -> Count:
        """The count over the whole window, or over what has passed of a calendar period."""
        return self.bad.between(self.window.start)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The pairs of windows that are looked at."""
        return rows_of(self.objective, self.bad.finest)

    def over(self, length: timedelta) -> Count:
        """Count bad events over the last stretch of this length."""
        return self.bad.over(length)

    def burn(self, count: Count) -> float:
        """Give the burn rate of a count; 1 is just on budget."""
        return count.share / self.objective.budget

    def burns(self, row: Row, min_bad: float) -> bool:
        """Whether a rule holds now, and has held for as long as it must."""
        moments = [row.after * (number / (LOOKS - 1)) for number in range(LOOKS)] if row.after else [timedelta(0)]
        return all(self._held(row, self.end - ago, min_bad) for ago in moments)

    def _held(self, row: Row, at: datetime, min_bad: float) -> bool:
        long, short = self.bad.between(at - row.long, at), self.bad.between(at - row.short, at)
        return burning(row, self.objective.budget, long, short, min_bad)

    @property
    def allowed(self) -> float:
        """How many events may be bad: of the events so far, or of all slices of a calendar period."""
        step = self.objective.slice
        if self.objective.calendar is not None and step is not None:
            return self.objective.budget * (self.window.length / step)
        return self.objective.budget * self.whole.rows

    @property
    def spent(self) -> float:
        """The share of the budget that is gone; over 1 once overspent, 0 where nothing was counted."""
        return self.whole.affected / self.allowed if self.allowed else 0.0

    def budget_left(self) -> float:
        """Give the share of the budget that is left; below 0 once overspent."""
        return 1 - self.spent

    def left_for(self, burn: float) -> timedelta:
        """How long what is left lasts at this burn rate; nothing once it is spent."""
        return self.objective.period * (max(self.budget_left(), 0.0) / burn)

    def error_budget(self, length: timedelta, burn_limit: float | None = None) -> ErrorBudget:
        """Give what a message says of the budget, with the burn over the last stretch of this length."""
        count = self.over(length)
        burn, left = self.burn(count), self.budget_left()
        return ErrorBudget(
            objective=self.objective.name,
            target=self.objective.target,
            over=Window(self.end - length, self.end),
            bad=count.share,
            interval=count.interval,
            burn=burn,
            left=left,
            gone_at=self.end + self.left_for(burn) if 0 < left <= burn else None,
            burn_limit=burn_limit,
        )

    @property
    def sli(self) -> tuple[float, float, float] | None:
        """The share of good events with its 95 % interval; None where nothing was counted."""
        count = self.whole
        if not count.rows:
            return None
        lower, upper = count.interval
        return 1 - count.share, 1 - upper, 1 - lower

    @property
    def per_hour(self) -> float:
        """Events an hour, over the last seven days (or as long as the window is)."""
        return self._hourly(lambda count: count.rows)

    @property
    def seen_per_hour(self) -> float:
        """Those of them that came an hour: fewer where the sender samples."""
        return self._hourly(lambda count: count.came)

    def _hourly(self, of: Callable[[Count], int]) -> float:
        span = min(timedelta(days=7), self.end - self.window.start)
        return of(self.over(span)) / (span / HOUR) if span else 0.0

    @property
    def seeing(self) -> Seeing:
        """What the rules can see at this traffic, of which maybe a sample comes."""
        return seeing(self.objective, self.seen_per_hour, self.bad.finest)


def state_of(facts: FactReader, declared: Declarations, objective: Objective, as_of: datetime) -> State:
    """Read one objective at one time."""
    model = objective.sli.model or only_model(facts, objective.service, as_of)
    bad = counted_bad(facts, declared, objective, as_of)
    window = window_of(objective, bad.end)
    promised = [part.objective for part in objective.components] or [objective]
    planned = {work.id: work for one in promised for work in planned_for(declared, one, window)}
    return State(objective, model, bad, as_of, window, tuple(planned.values()))


def window_of(objective: Objective, end: datetime) -> Window:
    """Give the window of the promise: rolling, up to ``end``; or the calendar period that ``end`` lies in."""
    if objective.calendar is None:
        return Window(end - objective.period, end)
    return period(objective.calendar, end - timedelta(microseconds=1))


def only_model(facts: FactReader, service: str, as_of: datetime) -> str:
    """Name the service's model if it has one alone, so that the finding joins what else is said of that model."""
    models = {info.model for info in facts.models(as_of) if info.service == service}
    return models.pop() if len(models) == 1 else ALL_MODELS


def restated(facts: FactReader, objective: Objective, as_of: datetime, days: int = 7) -> tuple[Restated, ...]:
    """Say which budgets of the last days were told and are others now: what was told stays, beside what is known.

    Only of outcomes, which come late; the share of the budget that was left is compared.
    """
    if objective.sli.measure != "quality":
        return ()
    found: list[Restated] = []
    for back in range(1, days + 1):
        told_at = as_of.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=back - 1)
        last = matured_end(facts, objective, told_at)
        if last is None:
            continue
        window = window_of(objective, last)
        then, now = (_left(facts, objective, Window(window.start, last), at) for at in (told_at, as_of))
        if then is not None and now is not None and then != now:
            found.append(Restated(told_at, then, now))
    return tuple(found)


def _left(facts: FactReader, objective: Objective, window: Window, as_of: datetime) -> float | None:
    days = outcomes(facts, objective, window, as_of)
    total = sum(day.correct + day.wrong for day in days)
    return 1 - sum(day.wrong for day in days) / total / objective.budget if total else None

"""What does one good answer cost, all failed and repeated requests included?

All cost of the window, over the requests that did not fail; of a model whose outcomes come back, over those that
were right (known share right times requests), on the newest window whose outcomes are known. Misleads when outcomes
are known only for a part that is not like the rest.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, scopes
from watchkeeper.analyzers.maturity import known, outcome_delay, quality_days
from watchkeeper.analyzers.spending import Spend, spending
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Window

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader


def per_success(spend: Spend, right: float = 1.0) -> float | None:
    """Divide all cost by the requests that did not fail and were right; None where there is none.

    >>> per_success(Spend(9.0, "USD", 100, errors=10)), per_success(Spend(9.0, "USD", 100, errors=10), right=0.5)
    (0.1, 0.2)
    """
    successes = (spend.requests - spend.errors) * right
    return spend.amount / successes if successes > 0 else None


class PerSuccess:
    """Money a good answer, by day."""

    name = "cost.per_success"
    question = "What does one good answer cost, failures and repeats included?"
    every = timedelta(days=1)
    span = timedelta(days=1)
    quiet = timedelta(days=3)

    @property
    def params(self) -> dict[str, Param]:
        """Nothing to set."""
        return {}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Price the good answers of every model whose costs are known."""
        readings = [
            reading
            for scope in scopes(self, facts, declared, window, as_of)
            if (reading := self._reading(scope)) is not None
        ]
        return Evaluation((), tuple(readings))

    def _reading(self, scope: Scope) -> Reading | None:
        spend, window, right, maturity = spending(scope, scope.window), scope.window, 1.0, None
        if not spend.known or spend.unknown:
            return None
        delay = None if scope.info.reference is None else outcome_delay(scope, scope.info.reference)
        if delay is not None:
            window = Window(window.start - delay, window.end - delay)
            days, spend = quality_days(scope, window), spending(scope, window)
            answered = sum(day.correct + day.wrong for day in days)
            if answered == 0:
                return None
            right, maturity = sum(day.correct for day in days) / answered, known(days).maturity
        value = per_success(spend, right)
        if value is None:
            return None
        return Reading(
            self.name,
            "cost_per_success",
            scope.service,
            scope.model,
            "cost",
            window,
            scope.as_of,
            value,
            n=spend.rows,
            maturity=maturity,
        )


ANALYZER = PerSuccess()

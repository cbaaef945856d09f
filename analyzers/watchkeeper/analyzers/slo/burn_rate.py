"""Is an objective's error budget being spent too fast?

Several windows and burn rates: a page when 2 % of the budget goes in an hour (5 % in six), a ticket when 10 % goes in
a day (or in three), each confirmed by a window a twelfth as long. For periods under 28 days the windows shrink with
the period, and no row fires below burn 1, which is on budget. Two guards against noise at low traffic: the lower 95 %
Wilson bound of the long window must be over the threshold too, and it must hold at least ``min_bad`` bad requests.
Misleads for targets so low that a row cannot fire even when every request fails: such a row is skipped, and the
snapshot says so. A slow rise that stays within budget is not seen here: see quality and cost.
Source: Google SRE workbook, Alerting on SLOs, 6: multiwindow, multi-burn-rate alerts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Settings, Snapshot, settings_for
from watchkeeper.analyzers.intervals import Count, wilson
from watchkeeper.analyzers.phrases import span_words
from watchkeeper.analyzers.slo_counts import BadRequests, bad_requests
from watchkeeper.schemas.declared import Declarations, Objective
from watchkeeper.schemas.findings import Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.examples import Requests

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
FULL_PERIOD = timedelta(days=28)
ALL_MODELS = "*"
READINGS_EVERY = timedelta(minutes=15)

SUBJECTS = {"latency": "latency", "errors": "ok", "check_failures": "checks", "late": "latency", "retries": "attempts"}
"""What a finding about each measure is about."""

_POLICY = (
    (Severity.PAGE, 0.02, HOUR, 5 * MINUTE),
    (Severity.PAGE, 0.05, 6 * HOUR, 30 * MINUTE),
    (Severity.TICKET, 0.10, 24 * HOUR, 2 * HOUR),
    (Severity.TICKET, 0.10, 72 * HOUR, 6 * HOUR),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One pair of windows and the burn rate over which both must be."""

    severity: Severity
    long: timedelta
    short: timedelta
    burn: float

    def can_fire(self, budget: float) -> bool:
        """Whether requests that all fail would be enough."""
        return self.burn * budget < 1.0

    @property
    def name(self) -> str:
        """The long window, as in ``1 h``."""
        return span_words(self.long).replace(" ", "")


def policy(period: timedelta) -> tuple[Row, ...]:
    """Derive the rows from the objective's period; never copy a 14.4 that belongs to another one.

    >>> [round(row.burn, 2) for row in policy(timedelta(days=30))]
    [14.4, 6.0, 3.0, 1.0]
    >>> [(row.name, round(row.burn, 2)) for row in policy(timedelta(days=7))]
    [('15min', 13.44), ('90min', 5.6), ('6h', 2.8), ('18h', 1.0)]
    """
    scale = min(period / FULL_PERIOD, 1.0)
    rows: list[Row] = []
    for severity, fraction, long, short in _POLICY:
        scaled = _minutes(long * scale)
        rows.append(Row(severity, scaled, _minutes(short * scale), max(fraction * (period / scaled), 1.0)))
    return tuple(rows)


def _minutes(length: timedelta) -> timedelta:
    return max(round(length / MINUTE), 1) * MINUTE


def burning(row: Row, budget: float, long: Count, short: Count, min_bad: float) -> bool:
    """Whether both windows burn faster than the row allows, beyond what few requests do by chance.

    A short window without any request says nothing, and the long one decides.

    >>> row = policy(timedelta(days=28))[0]
    >>> burning(row, 0.01, Count(30, 100), Count(3, 8), 3), burning(row, 0.01, Count(1, 5), Count(1, 1), 3)
    (True, False)
    """
    limit = row.burn * budget
    if long.affected < min_bad or long.share <= limit or wilson(long.affected, long.rows)[0] <= limit:
        return False
    return short.rows == 0 or short.share > limit


class BurnRate:
    """How fast each objective's budget is spent, 1 being just on budget."""

    name = "slo.burn_rate"
    question = "Is an objective's error budget being spent too fast?"
    every = MINUTE
    span = timedelta(days=3)
    quiet = HOUR

    @property
    def params(self) -> dict[str, Param]:
        """The least number of bad requests in the long window."""
        return {"min_bad": 3}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every declared objective at the end of the window."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for objective in declared.objectives:
            model = objective.sli.model or _only_model(facts, objective.service, as_of)
            settings = settings_for(self, declared, objective.service, model)
            if not settings.enabled:
                continue
            state = _State(objective, model, bad_requests(facts, objective, window.end), as_of)
            if state.over(objective.period).rows == 0:
                continue
            judged.add((objective.service, model))
            if (as_of - datetime.min.replace(tzinfo=as_of.tzinfo)) % READINGS_EVERY == timedelta(0):
                readings += self._readings(state)
            finding = self._finding(facts, state, settings)
            findings += [finding] if finding else []
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the burn rate of the long window."""
        bad, total = cast("list[int]", snapshot["long"])
        return Count(bad, total).share / cast("float", snapshot["budget"])

    def _finding(self, facts: FactReader, state: _State, settings: Settings) -> Finding | None:
        """Tell of the loudest row that burns, the fastest first."""
        budget = state.objective.budget
        rows = policy(state.objective.period)
        for row in rows:
            long = state.over(row.long)
            if not row.can_fire(budget) or long.share <= row.burn * budget:
                continue
            short = state.over(row.short)
            if burning(row, budget, long, short, settings.number("min_bad")):
                skipped: list[Json] = [other.name for other in rows if not other.can_fire(budget)]
                snapshot: Snapshot = {
                    "long": [long.affected, long.rows],
                    "short": [short.affected, short.rows],
                    "budget": budget,
                    "burn_limit": row.burn,
                    "cannot_fire": skipped,
                }
                return self._tell(facts, state, settings, row, snapshot)
        return None

    def _tell(self, facts: FactReader, state: _State, settings: Settings, row: Row, snapshot: Snapshot) -> Finding:
        objective, long = state.objective, state.over(row.long)
        observed = self.recompute(snapshot)
        lower, upper = wilson(long.affected, long.rows)
        window = Window(state.end - row.long, state.end)
        return Finding(
            analyzer=self.name,
            service=objective.service,
            model=state.model,
            metric=f"burn_rate {objective.name}",
            subjects=(SUBJECTS[objective.sli.measure], objective.name),
            window=window,
            as_of=state.as_of,
            observed=observed,
            severity=settings.severity_or(row.severity),
            summary=phrases.sentence(
                f"{objective.service}: {phrases.percent(long.share)} of requests missed {objective.name} in the last "
                f"{span_words(row.long)}, {observed:.1f} times what the target allows; {state.exhaustion(observed)}."
            ),
            evidence=Evidence(
                f"burn over {span_words(row.long)} and {span_words(row.short)}", long.rows, None, "C", snapshot
            ),
            interval=(lower / objective.budget, upper / objective.budget),
            reference=row.burn,
            effect=observed - row.burn,
            unit="times the budget",
            examples=facts.example_ids(
                objective.service,
                objective.sli.model or ALL_MODELS,
                window,
                Requests(objective.sli.measure, objective.sli.max_ms),
            ),
        )

    def _readings(self, state: _State) -> list[Reading]:
        objective = state.objective
        whole = state.over(objective.period)
        lower, upper = wilson(whole.affected, whole.rows)

        def reading(metric: str, subject: str, length: timedelta, value: float, n: int, reference: float) -> Reading:
            window = Window(state.end - length, state.end)
            return Reading(
                self.name,
                metric,
                objective.service,
                state.model,
                subject,
                window,
                state.as_of,
                value,
                1 - upper if metric == "slo_sli" else None,
                1 - lower if metric == "slo_sli" else None,
                n,
                reference=reference,
            )

        name, period = objective.name, objective.period
        burns = [
            reading("burn_rate", f"{name} {row.name}", row.long, count.share / objective.budget, count.rows, row.burn)
            for row in policy(period)
            if (count := state.over(row.long)).rows
        ]
        return [
            reading("slo_sli", name, period, 1 - whole.share, whole.rows, objective.target),
            reading("slo_budget_left", name, period, state.budget_left(), whole.rows, 0.0),
            *burns,
        ]


def _only_model(facts: FactReader, service: str, as_of: datetime) -> str:
    """Name the service's model if it has one alone, so that the finding joins what else is said of that model."""
    models = {info.model for info in facts.models(as_of) if info.service == service}
    return models.pop() if len(models) == 1 else ALL_MODELS


@dataclass(frozen=True, slots=True)
class _State:
    """One objective at one time."""

    objective: Objective
    model: str
    bad: BadRequests
    as_of: datetime

    @property
    def end(self) -> datetime:
        """Where every window ends."""
        return self.bad.end

    def over(self, length: timedelta) -> Count:
        """Count bad requests over the last stretch of this length."""
        return self.bad.over(length)

    def budget_left(self) -> float:
        """Give the share of the period's budget that is left; below 0 once overspent."""
        return 1 - self.over(self.objective.period).share / self.objective.budget

    def exhaustion(self, burn: float) -> str:
        """Say when the budget is gone at this rate."""
        left = self.budget_left()
        if left <= 0:
            return "the budget is spent"
        return f"the budget is gone in {_rough(self.objective.period * (left / burn))}"


def _rough(length: timedelta) -> str:
    """Round a time to one unit.

    >>> _rough(timedelta(hours=50)), _rough(timedelta(hours=5)), _rough(timedelta(minutes=7))
    ('2 days', '5 hours', '7 minutes')
    """
    hours = length / HOUR
    number, unit = (hours / 24, "day") if hours >= 48 else (hours, "hour") if hours >= 2 else (hours * 60, "minute")
    return f"{round(number)} {unit}{'' if round(number) == 1 else 's'}"


ANALYZER = BurnRate()

"""Is an objective's error budget being spent too fast?

Several windows and burn rates: a page when 2 % of the budget goes in an hour (5 % in six), a ticket when 10 % goes in
a day (or in three), each confirmed by a window a twelfth as long; or the rules that the objective declares. For
periods under 28 days the windows shrink with the period, and no row fires below burn 1, which is on budget. Two guards
against noise at low traffic: the lower 95 % Wilson bound of the long window must be over the threshold too, and it must
hold at least ``min_bad`` bad requests.
Misleads for targets so low that a row cannot fire even when every request fails: such a row is skipped, and the
snapshot says so. A slow rise that stays within budget is not seen here: see ``slo.slow_burn``.
Source: Google SRE workbook, Alerting on SLOs, 6: multiwindow, multi-burn-rate alerts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import polars as pl

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Settings, Snapshot, settings_for
from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.phrases import span_words
from watchkeeper.analyzers.slo.core.policy import DAY, HOUR, MINUTE, Row
from watchkeeper.analyzers.slo_counts import SLICED, SLICES, young_slices
from watchkeeper.analyzers.slo_own import with_own
from watchkeeper.analyzers.slo_state import State, state_of
from watchkeeper.analyzers.slo_words import SUBJECTS, counted, examples, impact_of, leading, most_of, parts_of
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.durations import rough
from watchkeeper.schemas.findings import DataState, Evidence, Finding, Json, Severity, Window
from watchkeeper.schemas.objectives import COUNTED, Objective
from watchkeeper.store.clock import utc

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

EPOCH = datetime.fromtimestamp(0, UTC)
READINGS_EVERY = timedelta(minutes=15)
WAIT, LEAST_WAIT, SURELY = 0.05, timedelta(minutes=15), 20.0
"""Silence is told once it has lasted as long as an outage takes to spend this share of the budget."""
KEPT_AFTER = timedelta(hours=24)
"""An hour of short slices is kept as a reading once it is so old: what comes later than that changes it no more."""


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
        for objective in with_own(declared):
            if not _due(objective, as_of):
                continue
            state = state_of(facts, declared, objective, window.end)
            model = state.model
            settings = settings_for(self, declared, objective.service, model)
            if not settings.enabled or state.whole.rows == 0:
                continue
            judged.add((objective.service, model))
            findings += self._silence(state, settings) if objective.no_data else []
            if objective.slice is not None and objective.slice < HOUR and (as_of - EPOCH) % HOUR == timedelta(0):
                readings += self._slices(facts, declared, state)
            if (as_of - EPOCH) % READINGS_EVERY == timedelta(0):
                readings += self._readings(state)
            finding = self._finding(facts, declared, state, settings)
            findings += [finding] if finding else []
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the burn rate of the long window."""
        bad, total = cast("list[int]", snapshot["long"])
        return Count(bad, total).share / cast("float", snapshot["budget"])

    def _finding(self, facts: FactReader, declared: Declarations, state: State, settings: Settings) -> Finding | None:
        """Tell of the loudest row that burns, the fastest first."""
        budget = state.objective.budget
        for row in state.rows:
            long = state.over(row.long)
            if not row.can_fire(budget) or long.share <= row.burn * budget:
                continue
            if state.burns(row, settings.number("min_bad")):
                short = state.over(row.short)
                skipped: list[Json] = [other.name for other in state.rows if not other.can_fire(budget)]
                snapshot: Snapshot = {
                    "long": [long.affected, long.rows],
                    "short": [short.affected, short.rows],
                    "budget": budget,
                    "burn_limit": row.burn,
                    "cannot_fire": skipped,
                    **parts_of(state, row.long),
                }
                return self._tell(facts, declared, state, settings, row, snapshot)
        return None

    def _tell(
        self,
        facts: FactReader,
        declared: Declarations,
        state: State,
        settings: Settings,
        row: Row,
        snapshot: Snapshot,
    ) -> Finding:
        objective, long = state.objective, state.over(row.long)
        observed = self.recompute(snapshot)
        lower, upper = long.interval
        window = Window(state.end - row.long, state.end)
        most = leading(state, row.long)
        return Finding(
            analyzer=self.name,
            service=objective.service,
            model=state.model,
            metric=f"burn_rate {objective.name}",
            subjects=(SUBJECTS[objective.sli.measure], objective.name, *(part.name for part, _ in most)),
            window=window,
            as_of=state.as_of,
            observed=observed,
            severity=settings.severity_or(row.severity),
            summary=phrases.sentence(
                f"{objective.service}: {phrases.percent(long.share)} of {counted(objective)} missed {objective.name} "
                f"in the last {span_words(row.long)}{most_of(most)}; {_exhaustion(state, observed)}."
            ),
            evidence=Evidence(
                f"burn over {span_words(row.long)} and {span_words(row.short)}", long.came, None, "C", snapshot
            ),
            interval=(lower / objective.budget, upper / objective.budget),
            reference=row.burn,
            effect=observed - row.burn,
            unit="times the budget",
            impact=impact_of(declared, objective, long.affected * (DAY / row.long)),
            maturity=state.bad.maturity,
            examples=examples(facts, most[0][0].objective if most else objective, window),
            budget=state.error_budget(row.long, row.burn),
            labels={"slo": objective.name},
        )

    def _silence(self, state: State, settings: Settings) -> list[Finding]:
        """Say that nothing is counted, where that was asked for and by now something surely would have been."""
        objective = state.objective
        wait = max(objective.period * objective.budget * WAIT, LEAST_WAIT)
        expected = state.seen_per_hour * (wait / HOUR)
        if expected < SURELY or state.over(wait).rows:
            return []
        return [
            Finding(
                analyzer=self.name,
                service=objective.service,
                model=state.model,
                metric=f"no_data {objective.name}",
                subjects=("traffic", objective.name),
                window=Window(state.end - wait, state.end),
                as_of=state.as_of,
                observed=0.0,
                severity=settings.severity_or(Severity.TICKET),
                summary=phrases.sentence(
                    f"{objective.service}: nothing was counted for {objective.name} in the last {span_words(wait)}, "
                    f"where about {expected:.0f} would be usual; its budget is not known."
                ),
                evidence=Evidence("no events", 0, None, "C", {"long": [0, 1], "budget": 1.0, "expected": expected}),
                data_state=DataState.ABSENT,
                labels={"slo": objective.name},
            )
        ]

    def _slices(self, facts: FactReader, declared: Declarations, state: State) -> list[Reading]:
        """Keep the slices of hours that are a day old, before their minutes are let go of."""
        objective, end = state.objective, state.end - KEPT_AFTER
        span = Window(state.end - SLICED, end)
        done = set(
            facts.readings(SLICES, span, state.as_of, objective.service).filter(subject=objective.name)["window_start"]
        )
        hours = (
            young_slices(facts, declared, objective, state.end)
            .group_by(pl.col("bucket").dt.truncate("1h"))
            .agg(pl.col("bad", "total").sum())
        )
        return [
            Reading(
                self.name, SLICES, objective.service, state.model, objective.name,
                Window(utc(bucket), utc(bucket) + HOUR), state.as_of, bad, n=round(total),
            )
            for bucket, bad, total in hours.iter_rows()
            if utc(bucket) + HOUR <= end and bucket not in done
        ]  # fmt: skip

    def _readings(self, state: State) -> list[Reading]:
        objective = state.objective
        whole = state.whole
        lower, upper = whole.interval

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
            reading("burn_rate", f"{name} {row.name}", row.long, count.share / objective.budget, count.came, row.burn)
            for row in state.rows
            if (count := state.over(row.long)).rows
        ]
        return [
            reading("slo_sli", name, period, 1 - whole.share, whole.came, objective.target),
            reading("slo_budget_left", name, period, state.budget_left(), whole.came, 0.0),
            *burns,
        ]


def _due(objective: Objective, as_of: datetime) -> bool:
    """Whether it is time: what is known by the day is looked at every hour, the rest every minute."""
    parts = [part.objective for part in objective.components] or [objective]
    return any(one.sli.measure in COUNTED for one in parts) or (as_of - EPOCH) % HOUR == timedelta(0)


def _exhaustion(state: State, burn: float) -> str:
    """Say when the budget is gone at this rate."""
    if state.budget_left() <= 0:
        return "the budget is spent"
    return f"the budget is gone in {rough(state.left_for(burn))}"


ANALYZER = BurnRate()

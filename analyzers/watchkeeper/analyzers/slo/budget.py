"""Has so much of an error budget gone that a declared step is due?

At each share of the budget that the objective's policy names (50, 80, 100 %) its step is told: notify and ticket go to
people, page wakes them, close_gate also closes the gate that deploy pipelines ask. A step is over once the budget is
back under its share. Misleads early in a calendar period, when few events make a large share: so no step is due before
three bad events.
Source: Google SRE workbook, Implementing SLOs, error budget policy.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Snapshot, settings_for
from watchkeeper.analyzers.slo.core.policy import DAY, MIN_BAD
from watchkeeper.analyzers.slo_state import State, state_of
from watchkeeper.analyzers.slo_words import SUBJECTS, counted, examples, leading, parts_of
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Severity, Window
from watchkeeper.schemas.objectives import BudgetStep

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

DONE = {
    "notify": "whoever owns it is told",
    "ticket": "a ticket is due",
    "page": "someone must act now",
    "close_gate": "the gate is closed",
}


class Budget:
    """Which steps of the budget policies are due."""

    name = "slo.budget"
    question = "Has so much of an error budget gone that a declared step is due?"
    every = timedelta(minutes=15)
    span = timedelta(days=1)
    quiet = timedelta(minutes=30)

    @property
    def params(self) -> dict[str, Param]:
        """Nothing to set: the objective declares its policy."""
        return {}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every objective that declares a budget policy."""
        findings: list[Finding] = []
        judged: set[tuple[str, str]] = set()
        for objective in declared.objectives:
            if not objective.budget_policy:
                continue
            state = state_of(facts, declared, objective, min(window.end, as_of))
            settings = settings_for(self, declared, objective.service, state.model)
            if state.whole.rows == 0 or not settings.enabled:
                continue
            judged.add((objective.service, state.model))
            due = due_steps(state)
            most = leading(state, state.end - state.window.start)
            about = most[0][0].objective if most else objective
            shown = examples(facts, about, Window(state.window.start, state.end)) if due else ()
            findings += [self._tell(state, step, settings.severity, shown) for step in due]
        return Evaluation(tuple(findings), tuple[Reading, ...](), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the share of the budget that is spent."""
        return cast("float", snapshot["bad"]) / cast("float", snapshot["allowed"])

    def _tell(self, state: State, step: BudgetStep, severity: Severity | None, shown: tuple[str, ...]) -> Finding:
        objective, whole = state.objective, state.whole
        snapshot: Snapshot = {"bad": whole.affected, "total": whole.rows, "allowed": state.allowed, "step": step.do}
        snapshot |= parts_of(state, state.end - state.window.start)
        usual = Severity.PAGE if step.do == "page" else Severity.TICKET
        return Finding(
            analyzer=self.name,
            service=objective.service,
            model=state.model,
            metric=f"budget_spent {objective.name} {100 * step.at:g}%",
            subjects=(SUBJECTS[objective.sli.measure], objective.name),
            window=Window(state.window.start, state.end),
            as_of=state.as_of,
            observed=self.recompute(snapshot),
            severity=severity or usual,
            summary=phrases.sentence(
                f"{objective.service}: {phrases.percent(state.spent)} of the error budget of {objective.name} is spent "
                f"({whole.affected:g} of {state.allowed:.0f} {counted(objective)}), over {phrases.percent(step.at)}: "
                f"{step.what or DONE[step.do]}."
            ),
            evidence=Evidence("budget policy", whole.came, None, "C", snapshot),
            reference=step.at,
            unit="share",
            maturity=state.bad.maturity,
            examples=shown,
            budget=state.error_budget(max(DAY, state.bad.finest)),
            labels={"slo": objective.name},
        )


def due_steps(state: State) -> list[BudgetStep]:
    """Give the steps that are due, the gentlest first."""
    if state.whole.affected_came < MIN_BAD and state.objective.slice is None:
        return []
    return sorted((one for one in state.objective.budget_policy if state.spent >= one.at), key=lambda one: one.at)


ANALYZER = Budget()

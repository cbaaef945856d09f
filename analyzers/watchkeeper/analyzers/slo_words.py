"""What findings about objectives say of them, in words, and which requests they show."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from watchkeeper.analyzers.evaluation import Snapshot
from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.phrases import percent, span_words
from watchkeeper.analyzers.slo_composite import shown_parts
from watchkeeper.analyzers.slo_counts import BadRequests
from watchkeeper.analyzers.slo_state import ALL_MODELS, State
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Impact, Window
from watchkeeper.schemas.objectives import Component, Objective
from watchkeeper.store.facts.examples import Requests

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

SHOWN = frozenset({"latency", "errors", "check_failures", "late", "retries"})
"""Measures whose bad requests can be looked up."""
SUBJECTS = {
    "latency": "latency",
    "errors": "ok",
    "check_failures": "checks",
    "check_coverage": "checks",
    "late": "latency",
    "retries": "attempts",
    "automation": "confidence",
    "quality": "error",
    "cost_per_request": "cost",
    "cost_per_success": "cost",
    "drift": "drift",
    "evaluation_lag": "evaluation",
    "composite": "composite",
}
"""What a finding about each measure is about."""
PRICED: dict[str, Literal["error", "wrong"]] = {"errors": "error", "quality": "wrong"}
"""The kind of outcome whose declared value one bad event of a measure costs."""
EVENTS = {"quality": "answers whose outcome is known", "evaluation_lag": "looks", "composite": "weighted events"}
"""What is counted, in words, where it is not requests."""


def counted(objective: Objective) -> str:
    """Name what is counted."""
    return (
        f"slices of {span_words(objective.slice)}" if objective.slice else EVENTS.get(objective.sli.measure, "requests")
    )


def impact_of(
    declared: Declarations, objective: Objective, per_day: float, called: str = "bad events"
) -> Impact | None:
    """Give what so many bad events a day cost; None where no value is declared for them."""
    kind = PRICED.get(objective.sli.measure)
    model = next((value for value in declared.values if value.service == objective.service), None)
    worth = None if model is None or kind is None else model.values.get(kind)
    if model is None or worth is None:
        return None
    return Impact(-worth * per_day, model.currency, f"{per_day:.0f} {called} a day at {-worth:g} {model.currency} each")


def examples(facts: FactReader, objective: Objective, window: Window) -> tuple[str, ...]:
    """Give a few bad requests of a window, of measures whose requests can be looked up."""
    if objective.sli.measure not in SHOWN:
        return ()
    showing = Requests(objective.sli.measure, objective.sli.max_ms)
    return facts.example_ids(objective.service, objective.sli.model or ALL_MODELS, window, showing)


def leading(state: State, length: timedelta) -> list[tuple[Component, Count]]:
    """Give the parts of a composite objective that were bad over the last stretch, what burns most first."""
    if isinstance(state.bad, BadRequests):
        return []
    return [(part, count) for part, count in state.bad.standing(state.end - length) if count.affected]


def most_of(parts: Sequence[tuple[Component, Count]]) -> str:
    """Say which part of a composite objective burns most, if it has any."""
    return f", most of it {parts[0][0].name} ({percent(parts[0][1].share)} bad)" if parts else ""


def parts_of(state: State, length: timedelta) -> Snapshot:
    """Keep the parts of a composite objective for the snapshot."""
    shown = shown_parts(state.bad, state.end - length)
    return {"parts": shown} if shown else {}
